"""``segment``'s figures, overlays and preview on a small plate of discs, by the watershed."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from scipy import ndimage as ndi

from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app
from nucprof.config import load_project
from nucprof.io.images import read_labels, write_image
from nucprof.run.manifest import Manifest
from nucprof.run.pipeline import Run
from nucprof.stages import stage

PROJECT = """
[project]
name = "discs"
[[plates]]
name = "rep1"
cell_painting = "CP"
[channels]
cell_painting = ["DAPI"]
nuclei = "DAPI"
[segment]
backend = "watershed"
diameter = 12
[execution]
workers = 1
"""
BLURRED, EMPTY = "C-03-01", "C-04-01"
WELLS = [f"{row}0{column}" for row in "BCD" for column in (2, 3, 4, 5)]


def discs(seed, blur=0.0):
    """Discs of 12 px on a jittered lattice, one of them across the border."""
    rng = np.random.default_rng(seed)
    image = np.zeros((90, 110))
    yy, xx = np.mgrid[:90, :110]
    for cy in (0, 22, 44, 66):
        for cx in (14, 36, 58, 80, 100):
            if cy == 0 and cx != 14:
                continue
            y, x = np.array([cy, cx]) + rng.uniform(-2, 2, 2)
            image[(yy - y) ** 2 + (xx - x) ** 2 < 36] = rng.uniform(2000, 2500)
    image = ndi.gaussian_filter(image, 0.8 + blur)
    return np.clip(image + 200 + rng.normal(0, 6, image.shape), 0, 65535).astype(np.uint16)


@pytest.fixture
def plate(tmp_path):
    for seed, well in enumerate(WELLS):
        key = f"{well[0]}-{well[1:]}-01"
        image = discs(seed, blur=2.5 if key == BLURRED else 0)
        if key == EMPTY:
            image = np.random.default_rng(0).normal(200, 6, image.shape).astype(np.uint16)
        write_image(tmp_path / "CP" / f"{key}.tif", image[None])
    (tmp_path / "project.toml").write_text(PROJECT, encoding="utf-8")
    return tmp_path


def run(folder, *, force=False):
    from nucprof.run.pipeline import Options

    run = Run(load_project(folder / "project.toml"), Options(force=force))
    return [run.run_stage(stage(name)) for name in ("rename", "segment")][-1]


def contents(folder):
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_fields_that_stand_out_are_flagged_and_drawn(plate):
    result = run(plate)
    table = pd.read_csv(plate / "results" / "segment" / "qc.csv", keep_default_na=False)
    assert table.columns.tolist() == [
        "plate", "well", "site", "focus", "saturated_share", "illumination", "objects",
        "median_area_px", "brightness", "border_share", "tiny_share", "dim_share",
        "odd_size_share", "flag", "reason",
    ]  # fmt: skip
    assert table["well"].tolist() == sorted(WELLS)
    assert table["plate"].unique().tolist() == ["rep1"]
    reasons = table.set_index("well")["reason"]
    assert table.loc[table["flag"], "well"].tolist() == ["C03", "C04"]
    assert reasons["C03"].startswith("focus ")
    assert reasons["C04"].startswith("no objects")
    assert (reasons.drop(["C03", "C04"]) == "").all()
    usual = table[~table["flag"]]
    assert usual["objects"].between(15, 16).all()
    assert usual["median_area_px"].between(90, 150).all()
    drawn = {path.stem for path in (plate / "results/segment/overlays/rep1").iterdir()}
    assert len(drawn) == 8  # six, evenly spaced, and those flagged
    assert {"B-02-01", "D-05-01", BLURRED, EMPTY} <= drawn
    warnings = result.summary.warnings
    assert any("2 of 12 fields stand out" in text for text in warnings)
    assert any("rep1/C-03-01" in text and "blurred" in text for text in warnings)
    assert any("rep1/C-04-01" in text and "--scale" in text for text in warnings)
    assert result.summary.counts["flagged"] == 2
    assert (
        "segment/qc.csv" in Manifest.read(plate / "results/manifest.json").stages["segment"].outputs
    )


def test_overlay_shows_the_mask_where_the_nuclei_are(plate):
    run(plate)
    picture = imread(plate / "results/segment/overlays/rep1/B-02-01.png")[..., :3]
    factor = picture.shape[0] // 90
    assert picture.shape == (90 * factor, 110 * factor, 3)
    labels = read_labels(plate / "results/masks/rep1/nuclei/B-02-01.tif")
    colour = np.ptp(picture, axis=2) > 0.2  # all but the outlines is grey
    big = labels.repeat(factor, 0).repeat(factor, 1)
    assert (big[colour] > 0).all()
    assert set(np.unique(big[colour])) == set(np.unique(labels)) - {0}
    centre = np.round(ndi.center_of_mass(labels == labels.max())).astype(int) * factor
    assert picture[tuple(centre)].mean() > 0.8  # a nucleus is bright
    assert picture[44 * factor, 2].mean() < 0.3  # and the background is dark


def test_overlays_of_former_flags_are_removed(plate):
    run(plate)
    assert (plate / "results/segment/overlays/rep1" / f"{BLURRED}.png").exists()
    write_image(plate / "CP" / f"{BLURRED}.tif", discs(99)[None])
    run(plate)
    drawn = {path.stem for path in (plate / "results/segment/overlays/rep1").iterdir()}
    assert BLURRED not in drawn
    assert len(drawn) == 7


def test_masks_of_a_field_do_not_depend_on_the_overlays(plate):
    run(plate)
    before = contents(plate / "results" / "masks")
    assert run(plate).status == "up to date"
    (plate / "results/segment/qc.csv").unlink()
    assert run(plate).status == "done"
    assert (plate / "results/segment/qc.csv").exists()
    assert contents(plate / "results" / "masks") == before


def test_preview_changes_nothing_else(plate, capsys):
    project = str(plate / "project.toml")
    assert run_app(build_app(), ["rename", project]) == 0
    before = contents(plate)
    capsys.readouterr()
    assert run_app(build_app(), ["segment", project, "--preview", "3", "--diameter", "13"]) == 0
    said = capsys.readouterr().out
    after = contents(plate)
    preview = plate / "results" / "segment" / "preview"
    new = {path for path in after if path not in before and path.name != ".lock"}
    assert all(path.is_relative_to(preview) for path in new)
    assert {path: after[path] for path in before} == before
    fields = ["B-02-01", "C-04-01", "D-05-01"]
    assert sorted(p.stem for p in (preview / "rep1").glob("*.png")) == fields
    assert "nuclei by watershed" in said
    for field in fields:
        count = len(np.unique(read_labels(preview / "rep1" / "nuclei" / f"{field}.tif"))) - 1
        assert f"rep1/{field}: {count} nuclei, {preview / 'rep1' / field}.png" in said
    assert "diameter = 13.0" in said  # how to make the flag permanent

    # After a run as before it; a smaller preview leaves nothing of the larger one.
    run(plate)
    before = contents(plate)
    assert run_app(build_app(), ["segment", project, "--preview", "1", "--fields", "B03"]) == 0
    after = contents(plate)
    changed = {p for p in before.keys() | after.keys() if before.get(p) != after.get(p)}
    assert all(path.is_relative_to(preview) for path in changed)
    assert [p.stem for p in (preview / "rep1").glob("*.png")] == ["B-03-01"]
    assert run(plate).status == "up to date"


def test_preview_of_what_is_not_there(plate, capsys):
    project = str(plate / "project.toml")
    assert run_app(build_app(), ["segment", project, "--preview", "3"]) == 2
    assert "rename" in capsys.readouterr().err
    run_app(build_app(), ["rename", project])
    assert run_app(build_app(), ["segment", project, "--preview", "0"]) == 2
    assert run_app(build_app(), ["segment", project, "--preview", "1", "--fields", "H09"]) == 2


def test_preview_of_a_field_that_cannot_be_read(plate, capsys):
    project = str(plate / "project.toml")
    run_app(build_app(), ["rename", project])
    (plate / "CP" / "B-02-01.tif").write_bytes(b"II*\0cut")
    assert run_app(build_app(), ["segment", project, "--preview", "2"]) == 0
    shown = capsys.readouterr().out
    assert "B-02-01.tif" in shown  # left out, with the reason
    assert "D-05-01: 1" in shown


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--mode", "cells"], "does not find cells: choose cellpose or labels or propagate"),
        (["--backend", "propagate"], "does not find nuclei"),
    ],
)
def test_backend_and_mode_must_fit(plate, capsys, flags, words):
    project = str(plate / "project.toml")
    run_app(build_app(), ["rename", project])
    assert run_app(build_app(), ["segment", project, *flags]) == 2
    assert words in capsys.readouterr().err
