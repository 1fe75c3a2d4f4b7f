"""Whole cells from images to features and crops, on a small demo plate without ground truth."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage as ndi

from nucprof.config import load_project
from nucprof.demo.plate import write_demo
from nucprof.io.images import read_labels, write_labels
from nucprof.io.stacks import read_stack
from nucprof.run.pipeline import Run
from nucprof.stages import stage

STAGES = ("rename", "segment", "features", "crop")
SETTINGS = """
[segment]
mode = "cells"
{segment}
[features]
textures = false
[execution]
workers = 1
device = "cpu"
"""


def make_plate(folder, segment):
    """A demo plate of three fields; its ground-truth round is not part of the project."""
    wells = {"astro": ("B02",), "neuro": ("C02",), "co-culture": ("D02",)}
    demo = write_demo(folder, wells=wells, shape=(170, 210), cells=18, max_shift_px=2)
    text = demo.project.read_text(encoding="utf-8")
    text = text.replace('[plates.ground_truth]\nEdU_BrdU = "GT"\n', "")
    text = text.replace('[channels.ground_truth]\nEdU_BrdU = ["DAPI", "EdU", "BrdU"]\n', "")
    text += SETTINGS.format(segment=segment)
    demo.project.write_text(text, encoding="utf-8")
    return demo


def run(demo):
    run = Run(load_project(demo.project))
    return run, {name: run.run_stage(stage(name)) for name in STAGES}


def masks(run, field):
    return tuple(read_labels(run.results.mask("demo", kind, field)) for kind in ("nuclei", "cells"))


def ids(labels):
    return np.unique(labels[labels > 0]).tolist()


def check_consistent(run, results):
    """What holds of every run: masks, ledger, features and crops tell of the same cells."""
    ledger = pd.read_parquet(run.results.cells)
    kept = ledger[ledger["status"] == "kept"]
    names = kept["Metadata_ROI_img_name"].tolist()
    assert len(ledger) == len(ledger["Metadata_ROI_img_name"].unique())
    assert set(ledger.loc[ledger["status"] == "dropped", "stage"]) <= {"segment"}
    for field in ("B-02-01", "C-02-01", "D-02-01"):
        nuclei, cells = masks(run, field)
        here = kept[kept["Metadata_Well"] == field[0] + field[2:4]]
        assert ids(cells) == ids(nuclei) == sorted(here["Metadata_ObjectNumber"])
        np.testing.assert_array_equal(cells[nuclei > 0], nuclei[nuclei > 0])
    table = pd.read_parquet(run.results.features("CP"))
    assert table["Metadata_ROI_img_name"].tolist() == names
    parts = {column.split("_")[0] for column in table if not column.startswith("Metadata")}
    assert parts == {"Nuclei", "Cytoplasm", "Cells"}
    area = {part: table[f"{part}_AreaShape_Area"] for part in parts}
    np.testing.assert_allclose(area["Nuclei"] + area["Cytoplasm"].fillna(0), area["Cells"])
    index = pd.read_parquet(run.results.crops("cell", 192) / "index.parquet")
    assert index["Metadata_ROI_img_name"].tolist() == names
    assert results["segment"].summary.counts["cells"] == len(kept)
    return ledger, table


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """Cells by default settings on a machine without GPU; the scale is given to save time."""
    demo = make_plate(tmp_path_factory.mktemp("grown") / "demo", "scale = 1.4")
    return demo, *run(demo)


def test_cells_are_grown_where_there_is_no_gpu_and_it_is_said(grown):
    _, _, results = grown
    lines = " ".join(results["segment"].summary.lines)
    assert "cells by propagate, model nucprof-fluo" in lines
    assert "without a GPU" in lines


def test_the_channels_that_bound_cells_are_chosen_and_named(grown):
    _, run, results = grown
    summary = results["segment"].summary
    path = run.results.folder("segment", "cell-channels-demo.json")
    held = json.loads(path.read_text(encoding="utf-8"))
    assert held["nuclei"] == "DAPI"
    assert held["used"]
    assert set(held["used"]) <= set(held["asked"]) == set(held["stains"])
    assert path in summary.outputs
    line = next(line for line in summary.lines if line.startswith("plate demo: cells on "))
    assert all(f"{name} (" in line for name in held["asked"])
    used = line.partition(", without")[0]
    assert [name in used for name in held["asked"]] == [n in held["used"] for n in held["asked"]]


def test_grown_cells_hold_the_true_nuclei(grown):
    demo, run, results = grown
    ledger, table = check_consistent(run, results)
    assert set(ledger["reason"]) == {"", "border"}
    found = true = 0
    for field in ("B-02-01", "C-02-01", "D-02-01"):
        truth = read_labels(demo.folder / "truth" / "nuclei" / f"{field}.tif")
        nuclei, cells = masks(run, field)
        for label in ids(cells):
            own = nuclei == label
            best = truth == np.bincount(truth[own]).argmax()
            true += (own & best).sum() / (own | best).sum() > 0.5
            found += 1
    assert found > 20
    assert true / found > 0.9
    # The bodies are drawn 5 and 9 px wider than nuclei of 9 and 10.5 px radius.
    assert (table["Cells_AreaShape_Area"] > 1.3 * table["Nuclei_AreaShape_Area"]).mean() > 0.9


def test_crops_show_one_cell_each(grown):
    _, run, _ = grown
    _, cells = masks(run, "D-02-01")
    crops = read_stack(run.results.crops("cell", 192) / "demo" / "D-02-01.tif")
    assert crops.shape == (len(ids(cells)), 4, 192, 192)
    for crop, label in zip(crops, ids(cells), strict=True):
        # Masked: no pixel outside the cell; the images are nowhere 0.
        assert np.count_nonzero(crop[0]) <= (cells == label).sum()
        assert np.count_nonzero(crop[0]) >= 0.99 * (cells == label).sum()


def test_overlays_and_figures_are_of_cells(grown):
    _, run, _ = grown
    table = pd.read_csv(run.results.folder("segment", "qc.csv"))
    assert len(table) == 3
    ledger = pd.read_parquet(run.results.cells)
    assert table["objects"].tolist() == ledger.groupby("Metadata_Well").size().tolist()
    assert len(list(run.results.folder("segment", "overlays", "demo").glob("*.png"))) == 3


def test_cells_and_nuclei_made_elsewhere_are_matched(tmp_path):
    demo = make_plate(tmp_path / "demo", 'backend = "labels"\npath = "made"')
    expected = {}
    for field in ("B-02-01", "C-02-01", "D-02-01"):
        nuclei = read_labels(demo.folder / "truth" / "nuclei" / f"{field}.tif").astype(np.uint32)
        distance, nearest = ndi.distance_transform_edt(nuclei == 0, return_indices=True)
        cells = np.where(distance <= 3, nuclei[tuple(nearest)], 0)
        edge = np.concatenate([cells[0], cells[-1], cells[:, 0], cells[:, -1]])
        border = ids(edge)
        lonely, bare = [label for label in ids(cells) if label not in border][:2]
        nuclei[nuclei == lonely] = 0
        cells[cells == bare] = 0
        expected[field] = border, lonely, bare
        # The two masks have labels of their own.
        write_labels(demo.folder / "made" / "nuclei" / f"{field}.tif", nuclei)
        write_labels(
            demo.folder / "made" / "cells" / f"{field}.tif", np.where(cells, cells + 70000, 0)
        )
    done, results = run(demo)
    ledger, _ = check_consistent(done, results)
    for field, (border, lonely, bare) in expected.items():
        here = ledger[ledger["Metadata_Well"] == field[0] + field[2:4]]
        reasons = here.groupby("reason")["Metadata_ObjectNumber"].agg(list)
        assert sorted(reasons.get("border", [])) == [label + 70000 for label in border]
        assert reasons["no_nucleus"] == [lonely + 70000]
        made = read_labels(demo.folder / "made" / "cells" / f"{field}.tif")
        assert reasons["no_cell"] == [int(made.max()) + 1]
        nuclei, cells = masks(done, field)
        truth = read_labels(demo.folder / "truth" / "nuclei" / f"{field}.tif")
        assert bare not in np.unique(truth[nuclei > 0])
        np.testing.assert_array_equal(nuclei > 0, (cells > 0) & (truth > 0))
