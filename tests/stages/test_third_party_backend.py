"""A segmentation backend of another package: installed by pip, used like our own."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nucprof.io.images import read_labels

CODE = Path(__file__).parents[1] / "helpers" / "third_party" / "nucprof_threshold.py"
SHAPE = (30, 42)
BOXES = {200: (5, 5, 8, 8), 400: (15, 20, 8, 9)}  # grey level -> place


def install(folder: Path, code: str, target: str) -> Path:
    """Make a wheel of one module that offers a backend, and install it with pip."""
    wheel = folder / "nucprof_threshold-1.0-py3-none-any.whl"
    info = "nucprof_threshold-1.0.dist-info"
    files = {
        "nucprof_threshold.py": code,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: nucprof-threshold\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[nucprof.segmenters]\nthreshold = {target}\n",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{n},,\n" for n in [*files, f"{info}/RECORD"]))
    where = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--target", str(where), str(wheel)], check=True)
    return where


@pytest.fixture
def plate(masked_plate):
    image = np.full((2, *SHAPE), 50, np.uint16)
    for level, (top, left, height, width) in BOXES.items():
        image[:, top : top + height, left : left + width] = level
    masked_plate.add("B-02-01", image)
    masked_plate.settings = ""
    text = masked_plate.project.read_text().replace('"labels"', '"threshold"')
    path = masked_plate.root / "project.toml"
    path.write_text(text.replace('path = "made"', "level = 300"))
    return path


def nucprof(where: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    paths = [str(where), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, "-m", "nucprof", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"},
        check=False,
    )


def test_it_is_used_like_our_own(plate, tmp_path):
    where = install(tmp_path, CODE.read_text(), "nucprof_threshold:SEGMENTER")
    done = nucprof(where, "run-all", plate, "--until", "segment")
    assert done.returncode == 0, done.stderr
    assert "1 nuclei in 1 field" in done.stdout
    assert "nuclei by threshold" in done.stdout
    mask = read_labels(plate.parent / "results" / "masks" / "p" / "nuclei" / "B-02-01.tif")
    top, left, height, width = BOXES[400]
    expected = np.zeros(SHAPE, int)
    expected[top : top + height, left : left + width] = 1
    np.testing.assert_array_equal(mask > 0, expected)
    plate.write_text(plate.read_text().replace("level = 300", "level = 300\nnoisy = true"))
    assert "up to date" in nucprof(where, "segment", plate).stdout
    lower = nucprof(where, "segment", plate, "--level", "100")
    assert "settings changed (segment.level 300.0 -> 100.0)" in lower.stdout
    assert "2 nuclei in 1 field" in lower.stdout
    shown = nucprof(where, "segment", "--help").stdout
    told = "threshold: nuclei are brighter (grey levels) [default: 100.0]"
    assert told in " ".join(shown.split())


def test_a_key_of_it_is_checked(plate, tmp_path):
    where = install(tmp_path, CODE.read_text(), "nucprof_threshold:SEGMENTER")
    plate.write_text(plate.read_text().replace("level = 300", "levl = 300"))
    done = nucprof(where, "segment", plate)
    assert done.returncode == 2
    assert "unknown key 'segment.levl'; did you mean 'level'?" in done.stderr


@pytest.mark.parametrize(
    ("code", "target", "why"),
    [
        ("raise OSError('no driver')", "nucprof_threshold:SEGMENTER", "OSError: no driver"),
        ("", "nucprof_threshold:SEGMENTER", "has no attribute 'SEGMENTER'"),
        (None, "nucprof_threshold:OTHER", "another package has a backend of the name 'stardist'"),
        (None, "nucprof_threshold:PMIN", "segment.pmin has another type or default"),
    ],
)
def test_a_package_that_does_not_fit_costs_its_own_backend_only(plate, tmp_path, code, target, why):
    more = """
from dataclasses import replace
OTHER = replace(SEGMENTER, name="stardist")
class Pmin(Section):
    pmin: float = setting(5.0, "another one")
PMIN = replace(SEGMENTER, settings=Pmin)
"""
    where = install(tmp_path, CODE.read_text() + more if code is None else code, target)
    plate.write_text(plate.read_text().replace("level = 300\n", ""))
    nucprof(where, "rename", plate)
    refused = nucprof(where, "segment", plate)
    assert refused.returncode == 2
    assert "of the package nucprof-threshold cannot be used" in refused.stderr
    assert why in refused.stderr
    plate.write_text(plate.read_text().replace('"threshold"', '"watershed"'))
    assert nucprof(where, "segment", plate).returncode == 0
