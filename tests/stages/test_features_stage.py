"""features: tables whose every row belongs to its own cell, equal to scikit-image's figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from skimage.feature import graycomatrix, graycoprops
from skimage.measure import regionprops

from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app
from nucprof.io.images import write_labels
from nucprof.io.tables import read_table

SHAPE = (40, 52)
BOXES = {3: (10, 12, 5, 7), 12345: (20, 30, 6, 4), 70000: (30, 8, 3, 3)}
PATCH = 14
LAYOUT = ",2,123\nAA,,astro\nB,neuro,\n"


def pixels(seed=0, dtype=np.uint16):
    return np.random.default_rng(seed).integers(1, 4000, (2, *SHAPE)).astype(dtype)


@pytest.fixture
def plate(masked_plate, paint):
    masked_plate.add("AA-123-07", pixels(), paint(SHAPE, BOXES))
    masked_plate.add("B-02-01", pixels(1), paint(SHAPE, {7: (8, 9, 6, 6)}))
    masked_plate.settings = f"[features]\npatch_size = {PATCH}\n"
    masked_plate.layout = "layout.csv"
    (masked_plate.root / "layout.csv").write_text(LAYOUT)
    return masked_plate


def table(plate, suffix="parquet"):
    return read_table(plate.root / "results" / "features" / f"CP.{suffix}")


def box(image, y, x):
    """The patch as stated: clipped at the edge, starting at round-half-up(centroid) - size // 2."""
    top, left = (int(np.floor(c + 0.5)) - PATCH // 2 for c in (y, x))
    return image[max(top, 0) : top + PATCH, max(left, 0) : left + PATCH]


def texture(values):
    """Of a rectangle without masked pixels, as DESIGN defines it."""
    grey = np.floor(255 * values.astype(float) / values.max()).astype(np.uint8)
    pairs = graycomatrix(grey, [1], [0], 256, symmetric=False)
    names = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "ASM")
    return {name[0].upper() + name[1:]: graycoprops(pairs, name)[0, 0] for name in names}


def expected_rows(image, labels):
    """One dict per object by scikit-image, object by object."""
    rows = {}
    for region in regionprops(labels):
        y, x = region.centroid
        row = {
            "Metadata_Center_Y": y,
            "Metadata_Center_X": x,
            "Nuclei_AreaShape_Area": region.area,
            "Nuclei_AreaShape_Eccentricity": region.eccentricity,
            "Nuclei_AreaShape_Perimeter": region.perimeter,
            "Nuclei_AreaShape_MaxFeretDiameter": region.feret_diameter_max,
            "Nuclei_AreaShape_FormFactor": 4 * np.pi * region.area / region.perimeter**2,
        }
        inside = labels == region.label
        for channel, name in enumerate(("DNA", "GFP")):
            patch = box(image[channel], y, x)
            for compartment, values in (("Nuclei", image[channel][inside]), ("Patch", patch)):
                start = f"{compartment}_Intensity"
                row[f"{start}_MeanIntensity_{name}"] = values.mean()
                row[f"{start}_MaxIntensity_{name}"] = values.max()
                row[f"{start}_MinIntensity_{name}"] = values.min()
                row[f"{start}_StdIntensity_{name}"] = values.astype(float).std(ddof=0)
            nucleus = image[channel][region.slice]  # the boxes are full rectangles
            for compartment, values in (("Nuclei", nucleus), ("Patch", patch)):
                for feature, value in texture(values).items():
                    row[f"{compartment}_Texture_{feature}_{name}"] = value
        rows[region.label] = row
    return rows


def check(found, image, labels, field="AA-123-07"):
    expected = expected_rows(image, labels)
    rows = found[found["Metadata_ROI_img_name"].str.startswith(f"{field}_")]
    assert rows["Metadata_ObjectNumber"].tolist() == sorted(expected)
    for row in rows.to_dict("records"):
        for name, value in expected[row["Metadata_ObjectNumber"]].items():
            assert row[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name


def test_fault_02_every_row_is_of_its_own_cell(plate, paint):
    # Published: regions written with a running number are read back by label, so that gapped labels
    # get another cell's values.
    plate.run("features")
    check(table(plate), pixels(), paint(SHAPE, BOXES))
    left = {label: box for label, box in BOXES.items() if label != 3}
    write_labels(plate.root / "made" / "AA-123-07.tif", paint(SHAPE, left))
    plate.run("features")
    check(table(plate), pixels(), paint(SHAPE, left))
    check(table(plate), pixels(1), paint(SHAPE, {7: (8, 9, 6, 6)}), "B-02-01")


def test_fault_03_patches_that_overlap_are_each_measured_whole(plate, paint):
    # Published: patches painted into one image overwrite each other.
    near = {1: (10, 10, 5, 5), 2: (10, 16, 5, 5), 3: (16, 12, 5, 5)}
    write_labels(plate.root / "made" / "AA-123-07.tif", paint(SHAPE, near))
    plate.run("features")
    check(table(plate), pixels(), paint(SHAPE, near))


def test_fault_03_patches_beyond_the_edge_are_clipped(plate, paint):
    # Published: a negative start selects nothing.
    plate.settings = "clear_border = false\n" + plate.settings
    edge = {1: (0, 0, 4, 4), 2: (0, 25, 3, 5), 3: (36, 48, 4, 4), 4: (18, 0, 4, 3)}
    write_labels(plate.root / "made" / "AA-123-07.tif", paint(SHAPE, edge))
    plate.run("features")
    check(table(plate), pixels(), paint(SHAPE, edge))


def test_fault_10_no_row_is_lost_where_texture_means_nothing(plate, paint):
    # Published: a bare "except: pass" around texture drops the cell.
    image = pixels()
    image[:, 30:33, 8:11] = 0  # a black nucleus
    image[:, 20:26, 30:34] = 50  # a flat one
    dots = BOXES | {5: (5, 40, 1, 1), 6: (8, 40, 3, 1)}  # no pair of pixels side by side
    plate.add("AA-123-07", image, paint(SHAPE, dots))
    _, results = plate.run("features")
    found = table(plate)
    rows = found[found["Metadata_Well"] == "AA123"]
    assert rows["Metadata_ObjectNumber"].tolist() == sorted(dots)
    assert results["features"].summary.counts["CP"] == len(dots) + 1
    assert set(plate.ledger().values()) == {""}
    intensity = rows.filter(like="_Intensity_")
    assert not intensity.isna().any(axis=None)


class TestMetadata:
    def test_columns(self, plate):
        plate.run("features")
        found = table(plate)
        assert list(found.columns[:9]) == [
            "Metadata_Plate",
            "Metadata_Well",
            "Metadata_Site",
            "Metadata_ObjectNumber",
            "Metadata_ROI_img_name",
            "Metadata_Target",
            "Metadata_Center_X",
            "Metadata_Center_Y",
            "Metadata_FieldCellCount",
        ]
        assert found.iloc[:, :6].to_dict("list") == {
            "Metadata_Plate": ["p"] * 4,
            "Metadata_Well": ["AA123"] * 3 + ["B02"],
            "Metadata_Site": [7] * 3 + [1],
            "Metadata_ObjectNumber": [3, 12345, 70000, 7],
            "Metadata_ROI_img_name": [
                "AA-123-07_0003",
                "AA-123-07_12345",
                "AA-123-07_70000",
                "B-02-01_0007",
            ],
            "Metadata_Target": ["astro"] * 3 + ["neuro"],
        }
        assert found["Metadata_FieldCellCount"].tolist() == [3, 3, 3, 1]

    def test_every_feature_says_its_compartment_and_category(self, plate):
        plate.run("features")
        features = [name for name in table(plate).columns if not name.startswith("Metadata_")]
        start = {"_".join(name.split("_")[:2]) for name in features}
        categories = {"Nuclei_AreaShape", "Nuclei_Intensity", "Nuclei_Texture"}
        assert start >= categories | {"Patch_Intensity", "Patch_Texture"}
        assert not {name for name in start if name.split("_")[0] not in ("Nuclei", "Patch")}
        shape = {
            "Area", "ConvexArea", "FilledArea", "MajorAxisLength", "MinorAxisLength",
            "Eccentricity", "EquivalentDiameter", "Extent", "MaxFeretDiameter", "Orientation",
            "Perimeter", "PerimeterCrofton", "Solidity", "FormFactor",
        }  # fmt: skip
        assert {n.split("_")[2] for n in features if n.startswith("Nuclei_AreaShape")} == shape

    def test_no_position_and_no_density_is_a_feature(self, plate):
        plate.run("features")
        features = [name for name in table(plate).columns if not name.startswith("Metadata_")]
        for word in ("Center", "Count", "Location", "Number", "Density"):
            assert not [name for name in features if word in name]

    def test_a_well_without_culture_is_told_and_has_no_target(self, plate):
        (plate.root / "layout.csv").write_text(",2,123\nB,neuro,\n")
        _, results = plate.run("features")
        found = table(plate)
        assert found["Metadata_Target"].isna().tolist() == [True, True, True, False]
        (warning,) = results["features"].summary.warnings
        assert warning.startswith("plate p: the layout has no culture for AA123")

    def test_a_plate_without_layout(self, plate):
        plate.layout = ""
        _, results = plate.run("features")
        assert table(plate)["Metadata_Target"].isna().all()
        assert results["features"].summary.warnings == []

    def test_another_layout_writes_the_tables_and_measures_nothing(self, plate):
        plate.run("features")
        before = table(plate)
        (plate.root / "layout.csv").write_text(LAYOUT.replace("astro", "glia"))
        _, results = plate.run("features")
        assert results["features"].reason == "what its tables are made from changed"
        found = table(plate)
        assert found["Metadata_Target"].tolist() == ["glia"] * 3 + ["neuro"]
        same = [name for name in found.columns if name != "Metadata_Target"]
        pd.testing.assert_frame_equal(found[same], before[same])


class TestSettings:
    def test_without_texture(self, plate):
        plate.settings += "textures = false\n"
        plate.run("features")
        names = table(plate).columns
        assert not [name for name in names if "_Texture_" in name]
        assert "Nuclei_Intensity_MeanIntensity_DNA" in names

    def test_one_region(self, plate):
        plate.settings += 'regions = ["Patch"]\n'
        plate.run("features")
        names = [n for n in table(plate).columns if not n.startswith("Metadata_")]
        assert {name.split("_")[0] for name in names} == {"Patch"}

    @pytest.mark.parametrize("region", ["Cells", "Cytoplasm"])
    def test_whole_cells_need_cell_mode(self, plate, capsys, region):
        plate.run()
        words = ["features", str(plate.project), "--regions", region]
        assert run_app(build_app(), words) == 2
        message = f"features.regions: {region} needs whole cells: set segment.mode = cells"
        assert message in capsys.readouterr().err

    def test_csv_beside_parquet(self, plate):
        plate.settings += "csv = true\n"
        _, results = plate.run("features")
        pd.testing.assert_frame_equal(table(plate, "csv"), table(plate))
        names = [path.name for path in results["features"].summary.outputs]
        assert names == ["CP.parquet", "CP.csv"]

    def test_csv_asked_for_later_measures_nothing(self, plate):
        plate.run("features")
        plate.settings += "csv = true\n"
        _, results = plate.run("features")
        assert results["features"].reason == "what its tables are made from changed"
        assert len(table(plate, "csv")) == 4

    def test_background_included_as_published(self, plate, paint):
        plate.run("features")
        without = table(plate)
        plate.settings += 'texture_background = "include"\n'
        plate.run("features")
        include = table(plate)
        column = "Nuclei_Texture_Contrast_DNA"
        assert (include[column] != without[column]).all()
        # the masked crop: the nucleus in its box, everything else black
        labels, row = paint(SHAPE, BOXES), include.iloc[0]
        crop = box(
            np.where(labels == 3, pixels()[0], 0),
            row["Metadata_Center_Y"],
            row["Metadata_Center_X"],
        )
        assert crop.shape == (PATCH, PATCH)
        assert row[column] == pytest.approx(texture(crop)["Contrast"], rel=1e-6)


def test_a_field_without_cells_has_no_rows(plate, paint):
    write_labels(plate.root / "made" / "AA-123-07.tif", paint(SHAPE, {}))
    _, results = plate.run("features")
    assert results["features"].status == "done"
    assert table(plate)["Metadata_ROI_img_name"].tolist() == ["B-02-01_0007"]
    assert table(plate)["Metadata_Target"].tolist() == ["neuro"]


def test_no_cell_at_all(plate, paint):
    for field in ("AA-123-07", "B-02-01"):
        write_labels(plate.root / "made" / f"{field}.tif", paint(SHAPE, {}))
    _, results = plate.run("features")
    assert len(table(plate)) == 0
    assert results["features"].summary.counts["CP"] == 0


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_fault_13_any_depth(masked_plate, paint, dtype):
    image = (pixels() % 251 + 1).astype(dtype)
    masked_plate.add("AA-123-07", image, paint(SHAPE, BOXES))
    masked_plate.settings = f"[features]\npatch_size = {PATCH}\n"
    masked_plate.run("features")
    check(table(masked_plate), image, paint(SHAPE, BOXES))


def test_pixels_that_are_no_numbers_leave_their_field_out(plate, paint):
    image = pixels(dtype=np.float32)
    image[1, 3, 3] = np.nan
    plate.add("AA-123-07", image, paint(SHAPE, BOXES))
    _, results = plate.run("features")
    (left,) = results["segment"].excluded
    assert "AA-123-07" in left.message
    assert "holds 1 pixel without a finite value" in left.message
    assert table(plate)["Metadata_ROI_img_name"].tolist() == ["B-02-01_0007"]
