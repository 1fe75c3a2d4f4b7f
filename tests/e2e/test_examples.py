"""Every example runs on the small plates that its script makes, and gives what it promises."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import tifffile
from documents import commands

from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app
from nucprof.io.images import read_labels

EXAMPLES = Path(__file__).parents[2] / "examples"
FAKE_SLURM = Path(__file__).parents[1] / "helpers" / "fake_slurm" / "slurm.py"
WELLS = ("B-02-01", "B-03-01", "C-02-01", "C-03-01", "D-02-01", "D-03-01", "D-04-01")


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the examples, with their data."""
    folder = tmp_path_factory.mktemp("user") / "examples"
    leave = shutil.ignore_patterns("data", "results", "__pycache__")
    shutil.copytree(EXAMPLES, folder, ignore=leave)
    subprocess.run([sys.executable, str(folder / "make_data.py")], check=True)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _few_permutations() -> Iterator[None]:
    # hundreds of forests on permuted labels would take most of the time
    with patch("nucprof.learn.forest.chance.ARRANGEMENTS", 3):
        yield


def nucprof(*words: str | Path) -> int:
    """Run a command in this process, in as few workers as possible."""
    alone = {"NUCPROF_EXECUTION__WORKERS": "1", "NUCPROF_EXECUTION__DEVICE": "cpu"}
    with patch.dict(os.environ, alone):
        return run_app(build_app(), list(map(str, words)))


def table(example: Path, name: str) -> pd.DataFrame:
    path = example / "results" / name
    return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)


def found_nuclei(example: Path, truth: Path) -> float:
    """The share of the true nuclei away from the border that the masks hit, over all fields."""
    hit = total = 0
    for field in WELLS:
        true = tifffile.imread(truth / f"{field}.tif")
        border = {*true[0], *true[-1], *true[:, 0], *true[:, -1]}
        inside = set(np.unique(true)) - border
        mask = read_labels(example / "results" / "masks" / "rep1" / "nuclei" / f"{field}.tif")
        hit += len(inside & set(np.unique(true[mask > 0])))
        total += len(inside)
    return hit / total


def test_mixed_culture_by_the_commands_of_the_tutorial(
    examples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = examples / "mixed-culture"
    monkeypatch.chdir(example)
    tutorial = EXAMPLES.parent / "docs" / "tutorial.md"
    told = [words for words in commands(tutorial) if words[0] not in ("demo", "init")]
    assert [words[0] for words in told[:4]] == ["doctor", "rename", "segment", "align"]
    assert ["train", "cnn", "project.toml"] in told
    for words in told:
        assert nucprof(*words) == 0, words
    truth = pd.read_csv(examples / "data" / "rep1" / "truth" / "shifts.csv")
    registration = table(example, "registration.csv")
    assert np.abs(registration["shift_y"].to_numpy() - truth["shift_y"].to_numpy()).max() < 0.25
    assert (example / "results" / "gradcam" / "crops.png").is_file()
    composition = table(example, "predict/default/composition.csv")
    assert set(composition["well"]) == {"B02", "B03", "C02", "C03", "D02", "D03", "D04"}
    pure = composition[(composition["well"] == "B02") & (composition["class"] == "astro")]
    assert pure["share"].item() > 0.8


def test_monocultures(examples: Path) -> None:
    example = examples / "monocultures"
    assert nucprof("run-all", example / "project.toml") == 0
    predictions = table(example, "train/rf/default/predictions.csv")
    assert set(predictions["well"]) == {"B02", "B03", "C02", "C03"}
    assert set(predictions["true_condition"]) == {"astro", "neuro"}
    assert not (example / "results" / "gate" / "GT_data.csv").exists()


def test_replicates_are_tested_on_an_unseen_plate(examples: Path) -> None:
    example = examples / "replicates"
    assert nucprof("run-all", example / "project.toml") == 0
    split = table(example, "train/rf/default/split.csv")
    assert set(split["plate"]) == {"rep1", "rep2"}
    assert (split.groupby("plate")["fold"].nunique() == 1).all()
    assert split["fold"].nunique() == 2


def test_whole_cells(examples: Path) -> None:
    example = examples / "whole-cells"
    assert nucprof("run-all", example / "project.toml", "--until", "features") == 0
    features = table(example, "features/CP.parquet")
    assert (features["Cells_AreaShape_Area"] > features["Nuclei_AreaShape_Area"]).mean() > 0.95
    assert "Cytoplasm_Intensity_MeanIntensity_FITC" in features


def test_own_masks(examples: Path) -> None:
    example = examples / "own-masks"
    assert nucprof("run-all", example / "project.toml", "--until", "features") == 0
    assert found_nuclei(example, examples / "data" / "masks") == 1.0


def test_z_stacks(examples: Path) -> None:
    example = examples / "z-stacks"
    assert nucprof("run-all", example / "project.toml", "--until", "features") == 0
    index = table(example, "images.csv")
    assert (index["projection"] == "max").all()
    assert found_nuclei(example, examples / "data" / "masks") > 0.9


def test_own_names(examples: Path) -> None:
    example = examples / "own-names"
    assert nucprof("run-all", example / "project.toml", "--until", "features") == 0
    index = table(example, "images.csv")
    token = index["path"].str.extract(r" (\w+)\.tif$")[0]
    called = {"DAPI": "blue", "FITC": "green", "Cy3": "mCherry", "Cy5": "far"}
    assert (index["channel"].map(called) == token).all()
    assert found_nuclei(example, examples / "data" / "masks") > 0.9


def test_a_backend_in_a_package(examples: Path, tmp_path: Path) -> None:
    example = examples / "backend"
    # what `pip install ./backend` does, without a network for its build
    info = tmp_path / "nucprof_blobs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nucprof-blobs\nVersion: 1.0\n")
    group = (example / "pyproject.toml").read_text().partition('"nucprof.segmenters"]\n')[2]
    entry = group.splitlines()[0].replace('"', "")
    (info / "entry_points.txt").write_text(f"[nucprof.segmenters]\n{entry}\n")
    paths = [str(tmp_path), str(example), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-m", "nucprof", "run-all", "project.toml", "--until", "segment"],
        cwd=example,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nuclei by blobs" in done.stdout
    assert found_nuclei(example, examples / "data" / "masks") > 0.8


def test_notebook(examples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    example = examples / "notebook"
    monkeypatch.chdir(example)
    book = json.loads((example / "from_images_to_composition.ipynb").read_text(encoding="utf-8"))
    shown: dict[str, object] = {}
    for cell in book["cells"]:
        text = cell["source"]
        if cell["cell_type"] == "code" and text.startswith("!nucprof "):
            assert nucprof(*text.split()[1:]) == 0
        elif cell["cell_type"] == "code":
            exec(compile(text, "notebook", "exec"), shown)
    assert len(shown["composition"]) == 14  # seven wells of two classes
    import matplotlib.pyplot as plt

    assert len(plt.get_fignums()) == 3
    plt.close("all")


@pytest.mark.skipif(sys.platform == "win32", reason="SLURM runs on Linux")
def test_slurm(examples: Path, tmp_path: Path) -> None:
    example, tools, jobs = examples / "slurm", tmp_path / "bin", tmp_path / "jobs"
    tools.mkdir()
    jobs.mkdir()
    for name in ("sbatch", "scancel"):
        script = tools / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE_SLURM}" {name} "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    words = ["cluster.py", "--jobs=2", "--queue=normal", "--memory=1GB", "--wait=120", "--"]
    done = subprocess.run(
        [sys.executable, *words, "run-all", "project.toml", "--until", "features"],
        cwd=example,
        env={
            **os.environ,
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "FAKE_SLURM": str(jobs),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "features: 7 of 7 to do" in done.stdout
    assert len(table(example, "registration.csv")) == 7
    scripts = [path.read_text() for path in jobs.glob("*.sh")]
    assert len(scripts) == 2
    assert "#SBATCH -p normal" in scripts[0]
    assert len(list(jobs.glob("*.cancelled"))) == 2
