"""Uneven illumination: estimated by rename, removed on reading, recorded and hashed."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app
from nucprof.config import load_project
from nucprof.errors import ProjectError
from nucprof.io.images import read_channels
from nucprof.io.tables import read_table
from nucprof.run.pipeline import Run
from nucprof.stages import STAGES, stage

SHAPE = (120, 130)
DROP = 0.4
MEAN = "Nuclei_Intensity_MeanIntensity_DNA"


def vignette(drop=DROP):
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    r2 = ((y - 50) / SHAPE[0]) ** 2 + ((x - 75) / SHAPE[1]) ** 2
    light = 1 - drop * r2 / r2.max()
    return light / light.mean()


def scene(number):
    """Nuclei of one brightness on a grid that differs from field to field, and their labels."""
    rng = np.random.default_rng(number)
    light, labels = np.full(SHAPE, 60.0), np.zeros(SHAPE, int)
    top, left = rng.integers(4, 18, 2)
    places = [(y, x) for y in range(top, 105, 20) for x in range(left, 115, 20)]
    for label, (y, x) in enumerate(places, start=1):
        light[y : y + 9, x : x + 9] += 500
        labels[y : y + 9, x : x + 9] = label
    return light, labels


def photograph(plate, drop):
    """Add fields whose first channel has a vignette; the second one is even."""
    for number in range(12):
        light, labels = scene(number)
        noise = np.random.default_rng(100 + number).normal(0, 3, (2, *SHAPE))
        image = np.stack([light * vignette(drop), light]) + 100 + noise
        key = f"B-{number // 4 + 2:02d}-{number % 4 + 1:02d}"
        plate.add(key, image.round().astype(np.uint16), labels.astype(np.uint16))


@pytest.fixture
def plate(masked_plate):
    photograph(masked_plate, DROP)
    return masked_plate


def spread(plate):
    """Relative standard deviation of what is the same in every nucleus."""
    table = read_table(plate.root / "results" / "features" / "CP.parquet")
    above = table[MEAN] - 160
    return float(above.std() / above.mean())


def test_it_is_off_by_default(plate):
    plate.run("features")
    assert spread(plate) > 0.05
    assert not (plate.root / "results" / "illumination").exists()


def test_features_are_even_and_what_is_even_stays(plate):
    plate.run("features")
    before = read_table(plate.root / "results" / "features" / "CP.parquet")
    plate.settings = '[illumination]\nmethod = "median"\n'
    _, results = plate.run("features")
    assert spread(plate) < 0.02
    assert "illumination of p/CP DNA: 7" in "\n".join(results["rename"].summary.lines)
    after = read_table(plate.root / "results" / "features" / "CP.parquet")
    gfp = "Nuclei_Intensity_MeanIntensity_GFP"
    np.testing.assert_allclose(after[gfp], before[gfp], rtol=0.01)


def test_it_is_saved_as_images_and_shown(plate):
    plate.settings = '[illumination]\nmethod = "median"\n'
    plate.run("rename")
    folder = plate.root / "results" / "illumination" / "p"
    gain, floor = tifffile.imread(folder / "CP" / "DNA.tif")
    assert (gain - vignette()).std() < 0.02
    assert floor.shape == SHAPE
    assert (folder / "CP.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("drop", "told"), [(0.4, []), (0.7, ["DNA"])])
def test_light_that_falls_too_far_to_be_corrected_is_told(masked_plate, drop, told):
    photograph(masked_plate, drop)
    masked_plate.settings = '[illumination]\nmethod = "median"\n'
    _, results = masked_plate.run("rename")
    warnings = [w for w in results["rename"].summary.warnings if "illumination" in w]
    assert [w.partition(":")[0].rpartition(" ")[2] for w in warnings] == told


def test_a_changed_method_makes_what_reads_images_stale(plate):
    plate.run("crop", "features")
    plate.settings = '[illumination]\nmethod = "median"\n'
    plate.run("rename")
    changed = Run(load_project(plate.project))
    stale = {s.name for s in STAGES if s.name in ("segment", "crop", "features")
             and not changed.assess(s).up_to_date}  # fmt: skip
    assert stale == {"segment", "crop", "features"}
    plate.run("segment", "crop", "features")
    again = Run(load_project(plate.project))
    assert all(again.assess(stage(name)).up_to_date for name in ("rename", "segment", "features"))


def test_a_second_estimate_of_the_same_images_changes_nothing(plate):
    plate.settings = '[illumination]\nmethod = "median"\n'
    plate.run("features")
    plate.run("rename", force=True)
    run = Run(load_project(plate.project))
    assert all(run.assess(stage(name)).up_to_date for name in ("segment", "features"))


def test_the_results_stay_valid_where_they_are_moved_to(plate):
    plate.settings = '[illumination]\nmethod = "median"\n'
    plate.run("features")
    there = plate.root.parent / "elsewhere"
    plate.root.rename(there)
    run = Run(load_project(there / "project.toml"))
    assert run.assess(stage("features")).up_to_date
    (source,) = run.images.sources("p", "B-02-01", "CP", ["DNA"])
    assert source.illumination.is_relative_to(there)
    assert read_channels([source]).shape == (1, *SHAPE)


def test_too_few_fields_are_refused(plate):
    for path in list((plate.root / "CP").iterdir())[7:]:
        path.unlink()
    plate.settings = '[illumination]\nmethod = "median"\n'
    with pytest.raises(ProjectError, match="needs 8 fields, but 7 can be read"):
        plate.run("rename")


def test_an_unreadable_field_is_left_to_the_stage_that_needs_it(plate):
    path = sorted((plate.root / "CP").iterdir())[3]
    data = path.read_bytes()
    path.write_bytes(data[:-200] + b"")
    plate.settings = '[illumination]\nmethod = "median"\n'
    _, results = plate.run("rename")
    assert results["rename"].status == "done"


def test_as_a_flag(plate, capsys):
    words = ["rename", str(plate.project), "--illumination-method", "median"]
    assert run_app(build_app(), words) == 0
    told = capsys.readouterr().out
    assert "[illumination]" in told
    assert 'method = "median"' in told


def test_basicpy(plate):
    pytest.importorskip(
        "basicpy", reason="basicpy is no extra: it asks for an older scipy than nucprof does"
    )
    plate.settings = '[illumination]\nmethod = "basicpy"\ndark = 100\n'
    plate.run("rename")
    gain, _ = tifffile.imread(plate.root / "results" / "illumination" / "p" / "CP" / "DNA.tif")
    assert (gain - vignette()).std() < 0.05


def test_without_basicpy_the_message_says_how_to_install_it(plate, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "basicpy", None)
    plate.settings = '[illumination]\nmethod = "basicpy"\n'
    with pytest.raises(ProjectError, match="pip install --no-deps basicpy"):
        plate.run("rename")
