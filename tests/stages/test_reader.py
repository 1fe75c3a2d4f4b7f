"""Results read without a run: what is read is what lies on disk."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import tifffile

import nucprof
from nucprof.errors import ProjectError, UserError
from nucprof.project.notebook import project_html
from nucprof.run.manifest import StageRecord


@pytest.fixture
def opened(processed):
    return nucprof.open_project(processed)


def test_tables(opened, processed):
    root = processed.parent / "results"
    pd.testing.assert_frame_equal(opened.cells, pd.read_parquet(root / "cells.parquet"))
    for name, file in (("CP", "CP"), ("EdU_BrdU", "GT_EdU_BrdU")):
        expected = pd.read_parquet(root / "features" / f"{file}.parquet")
        pd.testing.assert_frame_equal(opened.features(name), expected)
    assert len(opened.registration) == 7
    assert set(opened.images["channel"]) == {"DAPI", "FITC", "Cy3", "Cy5", "EdU", "BrdU"}
    assert set(opened.classes["true_condition"]) <= {"astro", "neuro", "undefined"}
    assert len(opened.embeddings) == len(opened.features())
    assert set(opened.composition()["class"]) == {"astro", "neuro"}
    assert opened.metrics("rf")["evaluation"] == "cv"
    assert {"p_astro", "p_neuro"} <= set(opened.predictions("cnn").columns)


def test_pixels(opened, processed):
    (raw,) = (processed.parent / "CP").glob("WellB02*")
    np.testing.assert_array_equal(opened.image("demo", "B-02-01"), tifffile.imread(raw))
    assert opened.image("demo", "B-02-01", "EdU_BrdU").shape == (3, 150, 160)
    mask = opened.mask("demo", "B-02-01")
    kept = opened.cells.query("status == 'kept' and Metadata_Well == 'B02'")
    assert set(np.unique(mask)) - {0} == set(kept["Metadata_ObjectNumber"])
    assert set(np.unique(mask)) < set(np.unique(opened.mask("demo", "B-02-01", aligned=False)))
    crops, keys = opened.crops("demo", "B-02-01")
    assert crops.shape == (len(kept), 4, 24, 24)
    assert keys == kept["Metadata_ROI_img_name"].tolist()


def test_what_is_not_there_names_the_command(opened, tmp_path):
    with pytest.raises(UserError, match=r"run: nucprof train cnn PROJECT"):
        opened.metrics("cnn", "other")
    with pytest.raises(UserError, match="There is no round 'GT'; rounds are CP, EdU_BrdU"):
        opened.features("GT")
    with pytest.raises(UserError, match=r"Z-09-01\.tif; run: nucprof align"):
        opened.mask("demo", "Z-09-01")
    with pytest.raises(ProjectError, match="There is no project file"):
        nucprof.open_project(tmp_path / "none.toml")


def test_a_notebook_shows_the_stages(opened):
    html = opened._repr_html_()
    assert "<td>train-rf</td><td>done</td>" in html
    assert "<b>demo</b>" in html
    assert html.count("<img") == 4
    assert 'alt="gate/scatter.png"' in html


def test_a_notebook_shows_no_markup_of_the_users(tmp_path):
    """Names of a project, of its folder and of classes are text."""
    wild = "<script>alert(1)</script>"
    record = StageRecord("done", counts={"classes": {wild: 3}, "failed": 0, "f1_macro": 0.98765})
    html = project_html(wild, tmp_path / "<b>", {wild: record}, {f"{wild}.png": tmp_path})
    assert "<script" not in html
    assert "<b></td>" not in html
    assert "classes: 3 &lt;script" in html
    assert "f1_macro: 0.988" in html
    assert "failed" not in html


def test_figures_are_pictures(opened, processed):
    assert {"gate/scatter.png", "gradcam/crops.png", "train/rf/default/roc.png"} <= {
        *opened.figures
    }
    path = processed.parent / "results" / "gate" / "scatter.png"
    with PIL.Image.open(path) as expected:
        np.testing.assert_array_equal(np.asarray(opened.figure("gate/scatter.png")), expected)
    with pytest.raises(UserError, match=r"did you mean 'gate/scatter\.png'"):
        opened.figure("gate/scater.png")


def test_importing_the_package_costs_nothing():
    code = (
        "import sys, nucprof; print([m for m in ('pandas', 'torch', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
