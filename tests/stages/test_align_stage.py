"""The align stage on a small plate whose shifts are known."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import ndimage as ndi

from nucprof.config import load_project
from nucprof.demo.plate import Demo, write_demo
from nucprof.run.pipeline import Options, Run
from nucprof.stages import stage

WELLS = {"astro": ["B02", "B03"], "neuro": ["C02", "C03"]}


@pytest.fixture
def plate(tmp_path: Path) -> Demo:
    made = write_demo(tmp_path / "demo", wells=WELLS, shape=(220, 260), cells=24)
    add(made, '[segment]\nbackend = "labels"\npath = "truth/nuclei"\n[execution]\nworkers = 1\n')
    return made


def add(plate: Demo, text: str) -> None:
    with plate.project.open("a", encoding="utf-8") as file:
        file.write(text)


def files(plate: Demo, folder: str) -> dict[str, Path]:
    """Image by field."""
    paths = sorted((plate.folder / folder).glob("*.tif"))
    return {f"{p.name[4]}-{p.name[5:7]}-01": p for p in paths}


def align(plate: Demo) -> Run:
    run = Run(load_project(plate.project))
    for name in ("rename", "segment", "align"):
        run.last = run.run_stage(stage(name))
    return run


def registered(run: Run) -> pd.DataFrame:
    table = pd.read_csv(run.results.registration)
    table.index = [f"{w[0]}-{w[1:]}-{s:02d}" for w, s in zip(table.well, table.site, strict=True)]
    return table


def assert_shifts(table: pd.DataFrame, plate: Demo, *, within: float = 0.25) -> None:
    true = plate.shifts.set_index("field").loc[table.index]
    for axis in ("shift_y", "shift_x"):
        np.testing.assert_allclose(table[axis], true[axis], atol=within)


def test_shifts_cells_and_images(plate: Demo) -> None:
    run = align(plate)
    table = registered(run)
    assert (table.status == "ok").all()
    assert (table.score > table.threshold).all()
    assert_shifts(table, plate)
    for field, row in table.iterrows():
        shift = row.shift_y, row.shift_x
        mask = tifffile.imread(run.results.mask("demo", "nuclei", field))
        kept = tifffile.imread(run.results.aligned_mask("demo", "nuclei", field))
        # the rule by hand: a cell stays if each of its pixels, moved, lies in the other image
        for label in np.unique(mask[mask > 0]):
            y, x = np.nonzero(mask == label)
            inside = (y + shift[0] >= 0) & (y + shift[0] <= mask.shape[0] - 1)
            inside &= (x + shift[1] >= 0) & (x + shift[1] <= mask.shape[1] - 1)
            assert (label in kept) == bool(inside.all()), (field, label)
        moved = tifffile.imread(run.results.aligned_image("demo", "EdU_BrdU", field))
        painted = tifffile.imread(files(plate, "CP")[field])
        assert moved.shape == (3, *painted.shape[1:])
        both = kept > 0
        assert np.corrcoef(moved[0][both], painted[0][both])[0, 1] > 0.8
    ledger = pd.read_parquet(run.results.cells)
    gone = ledger[ledger.stage == "align"]
    assert set(gone.reason) == {"outside_overlap"}
    assert len(ledger[ledger.status == "kept"]) == table.cells_kept.sum()
    assert len(gone) == (table.cells_in - table.cells_kept).sum()


def test_fault_01_a_missing_partner_costs_that_field_only(plate: Demo) -> None:
    # the published script paired by sorted position: every later pair was shifted
    files(plate, "GT")["B-03-01"].unlink()
    run = align(plate)
    table = registered(run)
    assert list(table.index) == ["B-02-01", "C-02-01", "C-03-01"]
    assert_shifts(table, plate)
    assert [(e.field, e.reason) for e in run.last.excluded] == [("B-03-01", "no_partner")]
    assert not run.last.failed
    ledger = pd.read_parquet(run.results.cells)
    lost = ledger[(ledger.Metadata_Well == "B03") & (ledger.stage == "align")]
    assert set(lost.reason) == {"no_partner"}


def test_a_field_that_matches_nothing_is_failed_and_left_out(plate: Demo) -> None:
    ground_truth = files(plate, "GT")
    other = tifffile.imread(ground_truth["C-03-01"])[:, ::-1, ::-1]
    tifffile.imwrite(
        ground_truth["B-02-01"],
        np.ascontiguousarray(other),
        metadata={"axes": "CYX"},
        photometric="minisblack",
    )
    run = align(plate)
    table = registered(run)
    assert table.loc["B-02-01", "status"] == "failed"
    assert table.loc["B-02-01", "score"] <= table.loc["B-02-01", "threshold"]
    assert table.loc["B-02-01", "cells_kept"] == 0
    assert (table.drop("B-02-01").status == "ok").all()
    assert not run.results.aligned_mask("demo", "nuclei", "B-02-01").exists()
    assert run.last.status == "done"


def test_a_round_of_another_size_and_type_without_nuclear_stain(plate: Demo) -> None:
    for path in files(plate, "GT").values():
        image = tifffile.imread(path)[1:, :-30, :-17].astype(np.float32)
        tifffile.imwrite(path, image, metadata={"axes": "CYX"}, photometric="minisblack")
    text = plate.project.read_text(encoding="utf-8")
    plate.project.write_text(
        text.replace('["DAPI", "EdU", "BrdU"]', '["EdU", "BrdU"]'), encoding="utf-8"
    )
    run = align(plate)
    table = registered(run)
    assert (table.status == "ok").all()
    assert_shifts(table, plate, within=0.5)
    assert any("no nuclear stain" in text for text in run.last.summary.warnings)
    moved = tifffile.imread(run.results.aligned_image("demo", "EdU_BrdU", "B-02-01"))
    assert moved.dtype == np.float32
    assert moved.shape == (2, 220, 260)


def test_a_nucleus_that_washed_away_is_lost(plate: Demo) -> None:
    field = "B-02-01"
    path = files(plate, "GT")[field]
    image = tifffile.imread(path)
    mask = tifffile.imread(plate.folder / "truth" / "nuclei" / f"{field}.tif")
    shift = plate.shifts.set_index("field").loc[field].round().astype(int)
    inner = {
        label
        for label in np.unique(mask)
        if label
        and not {*np.nonzero(mask == label)[0]} & {*range(24), *range(196, 220)}
        and not {*np.nonzero(mask == label)[1]} & {*range(24), *range(236, 260)}
    }
    victim = sorted(inner)[0]
    y, x = np.nonzero(mask == victim)
    box = (
        slice(y.min() + shift.shift_y - 4, y.max() + shift.shift_y + 5),
        slice(x.min() + shift.shift_x - 4, x.max() + shift.shift_x + 5),
    )
    image[(slice(None), *box)] = 300
    tifffile.imwrite(path, image, metadata={"axes": "CYX"}, photometric="minisblack")
    run = align(plate)
    ledger = pd.read_parquet(run.results.cells)
    lost = ledger[ledger.reason == "lost_nucleus"]
    assert f"{field}_{victim:04d}" in set(lost.Metadata_ROI_img_name)


def rewrite(path: Path, image: np.ndarray) -> None:
    tifffile.imwrite(path, image, metadata={"axes": "CYX"}, photometric="minisblack")


def test_a_turned_round_keeps_its_cells(plate: Demo) -> None:
    """By a shift alone, cells took the values of their neighbours without a word."""
    degrees = 3.0
    for path in files(plate, "GT").values():
        image = tifffile.imread(path).astype(np.float64)
        turn = np.radians(degrees)
        back = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        centre = (np.array(image.shape[1:]) - 1) / 2
        turned = [
            ndi.affine_transform(p, back, centre - back @ centre, order=1, mode="nearest")
            for p in image
        ]
        rewrite(path, np.rint(turned).astype(np.uint16))
    run = align(plate)
    table = registered(run)
    assert (table.status == "ok").all()
    np.testing.assert_allclose(table.angle, degrees, atol=0.2)
    np.testing.assert_allclose(table.scale, 1, atol=0.005)
    assert (table.residual < 1).all()
    assert table.cells_kept.sum() > 0.85 * table.cells_in.sum()
    for field in table.index:
        moved = tifffile.imread(run.results.aligned_image("demo", "EdU_BrdU", field))
        painted = tifffile.imread(files(plate, "CP")[field])
        both = tifffile.imread(run.results.aligned_mask("demo", "nuclei", field)) > 0
        assert np.corrcoef(moved[0][both], painted[0][both])[0, 1] > 0.8
    assert "turned or magnified" in run.last.summary.lines[0]


def test_by_a_shift_alone_a_turned_round_is_refused_with_its_angle(plate: Demo) -> None:
    path = files(plate, "GT")["B-02-01"]
    image = tifffile.imread(path)
    rewrite(path, ndi.rotate(image, 6, axes=(1, 2), reshape=False, order=1, mode="nearest"))
    add(plate, '[align]\nmodel = "translation"\n')
    run = align(plate)
    assert registered(run).loc["B-02-01", "status"] == "failed"
    (excluded,) = run.last.excluded
    assert "turned by 6." in excluded.message or "turned by 5.9" in excluded.message
    assert 'align.model = "auto"' in excluded.message


def test_lost_cells_are_named(plate: Demo) -> None:
    path = files(plate, "GT")["B-02-01"]
    image = tifffile.imread(path)
    image[:, :, : image.shape[2] // 2] = np.random.default_rng(0).normal(
        300, 15, image[:, :, : image.shape[2] // 2].shape
    )
    rewrite(path, image)
    run = align(plate)
    warnings = "\n".join(run.last.summary.warnings)
    assert "have lost their nucleus since Cell Painting" in warnings
    assert "B02 site 1 (" in warnings
    assert "B03" not in warnings


def test_one_well_cannot_tell_the_camera_from_its_nuclei(tmp_path: Path) -> None:
    made = write_demo(tmp_path / "demo", wells={"astro": ["B02"]}, shape=(220, 260), cells=24)
    add(made, '[segment]\nbackend = "labels"\npath = "truth/nuclei"\n[execution]\nworkers = 1\n')
    painted = tifffile.imread(files(made, "CP")["B-02-01"])
    noise = np.random.default_rng(0).normal(0, 5, (3, *painted.shape[1:]))
    rewrite(files(made, "GT")["B-02-01"], np.rint(painted[:1] + noise).clip(0).astype(np.uint16))
    run = align(made)
    assert registered(run).loc["B-02-01", "status"] == "unsure"
    assert any("B02 site 1" in w and "camera" in w for w in run.last.summary.warnings)
    assert registered(run).loc["B-02-01", "cells_kept"] > 0


def test_specks_of_the_camera_make_no_match(plate: Demo) -> None:
    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[:220, :260]
    specks = sum(
        12000 * np.exp(-((yy - y) ** 2 + (xx - x) ** 2) / 12)
        for y, x in rng.uniform(10, (210, 250), (20, 2))
    )
    originals = {field: tifffile.imread(p) for field, p in files(plate, "GT").items()}
    following = dict(zip(originals, [*list(originals)[1:], next(iter(originals))], strict=True))
    for field, path in files(plate, "GT").items():
        other = originals[following[field]][:, ::-1]  # the round of another well
        rewrite(path, np.rint(other + specks).astype(np.uint16))
    for path in files(plate, "CP").values():
        rewrite(path, np.rint(tifffile.imread(path) + specks).astype(np.uint16))
    run = align(plate)
    assert (registered(run).status == "failed").all()


def test_the_plates_pattern_does_not_depend_on_what_was_run(plate: Demo) -> None:
    whole = align(plate)
    path = whole.results.folder("align", "pattern", "demo", "EdU_BrdU.npz")
    first, table = path.read_bytes(), registered(whole)
    shutil.rmtree(whole.results.root)
    run = Run(load_project(plate.project), Options(fields=("C03",)))
    for name in ("rename", "segment", "align"):
        run.run_stage(stage(name))
    assert path.read_bytes() == first
    pd.testing.assert_series_equal(registered(run).loc["C-03-01"], table.loc["C-03-01"])
