"""The align stage on a small plate whose shifts are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from nucprof.config import load_project
from nucprof.demo.plate import Demo, write_demo
from nucprof.run.pipeline import Run
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
