"""Every object carries its evidence: in a table of its own, and in the feature tables."""

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage as ndi

from nucprof.config import load_project
from nucprof.io.images import read_labels, write_image
from nucprof.io.tables import read_table
from nucprof.run.pipeline import Run
from nucprof.segmentation.backends.base import Segmentation
from nucprof.stages import stage
from nucprof.stages.segment import field as segment_field

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
diameter = 14
{more}
[execution]
workers = 1
"""


PLACES = ((20, 20), (20, 60), (50, 25), (45, 90))


def discs(radius):
    yy, xx = np.mgrid[:70, :120]
    return [(yy - y) ** 2 + (xx - x) ** 2 <= radius**2 for y, x in PLACES]


@pytest.fixture
def plate(tmp_path, monkeypatch):
    """Two fields: three bright discs on dark ground, and a dim fourth on a glow of its own.

    A backend finds just these, with probabilities 0.9, 0.8, 0.7 and 0.6.
    """
    labels = np.zeros((70, 120), np.int32)
    for seed, field in enumerate(("B-02-01", "B-03-01")):
        rng = np.random.default_rng(seed)
        image = np.zeros(labels.shape)
        image[discs(18)[3]] = 700
        for label, (inside, level) in enumerate(
            zip(discs(7), (2000, 2000, 2000, 1150), strict=True), start=1
        ):
            image[inside], labels[inside] = level, label
        image = ndi.gaussian_filter(image, 0.8) + 200 + rng.normal(0, 6, image.shape)
        write_image(tmp_path / "CP" / f"{field}.tif", image.astype(np.uint16)[None])
    found = Segmentation(nuclei=labels, probability=np.array([0.9, 0.8, 0.7, 0.6], np.float32))
    monkeypatch.setattr(segment_field, "_segment", lambda job, planes: found)
    return tmp_path


def run(plate, *stages, more=""):
    (plate / "project.toml").write_text(PROJECT.format(more=more), encoding="utf-8")
    runner = Run(load_project(plate / "project.toml"))
    return [runner.run_stage(stage(name)) for name in ("rename", "segment", *stages)][-1]


def test_objects_and_what_speaks_for_them(plate):
    run(plate, more="min_contrast = 0.0")
    table = read_table(plate / "results/segment/objects.parquet")
    assert table.columns.tolist() == [
        "Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_ObjectNumber",
        "Metadata_ROI_img_name", "reason", "Area", "Probability", "Contrast", "Significance",
        "EdgeShare", "Touching", "AreaRatio",
    ]  # fmt: skip
    assert table["Metadata_Well"].unique().tolist() == ["B02", "B03"]
    labels = read_labels(plate / "results/masks/rep1/nuclei/B-02-01.tif")
    own = table[table["Metadata_Well"] == "B02"]
    assert own["Metadata_ObjectNumber"].tolist() == np.unique(labels)[1:].tolist()
    assert own["Metadata_ROI_img_name"].tolist() == [
        f"B-02-01_{k:04d}" for k in np.unique(labels)[1:]
    ]
    np.testing.assert_array_equal(own["Area"], np.bincount(labels.ravel())[np.unique(labels)[1:]])
    assert (own["reason"] == "").all()
    np.testing.assert_allclose(own["Probability"], [0.9, 0.8, 0.7, 0.6], rtol=1e-6)
    middle = labels[20, 20]
    row = own[own["Metadata_ObjectNumber"] == middle].iloc[0]
    assert row["Contrast"] > 0.9
    assert row["EdgeShare"] == 1
    assert row["Touching"] == 0
    assert row["AreaRatio"] == pytest.approx(1, abs=0.15)


def test_objects_of_low_contrast_leave_with_their_reason(plate):
    run(plate)
    labels = read_labels(plate / "results/masks/rep1/nuclei/B-02-01.tif")
    assert labels[20, 20] > 0
    assert labels[45, 90] == 0
    table = read_table(plate / "results/segment/objects.parquet")
    gone = table[table["reason"] != ""]
    assert gone["reason"].tolist() == ["low_contrast", "low_contrast"]
    assert (gone["Contrast"] < 0.7).all()
    ledger = read_table(plate / "results/cells.parquet")
    assert (ledger["reason"] == "low_contrast").sum() == 2
    assert run(plate, more="min_contrast = 0.0").summary.counts["cells"] == 8


def test_feature_tables_carry_the_evidence_as_metadata(plate):
    run(plate, "features")
    features = pd.read_parquet(plate / "results/features/CP.parquet")
    names = ["Probability", "Contrast", "EdgeShare", "Touching", "AreaRatio"]
    objects = read_table(plate / "results/segment/objects.parquet")
    kept = objects[objects["reason"] == ""].set_index("Metadata_ROI_img_name")
    assert len(features) == len(kept) == 6
    for name in names:
        np.testing.assert_allclose(
            features[f"Metadata_{name}"], kept.loc[features["Metadata_ROI_img_name"], name]
        )
