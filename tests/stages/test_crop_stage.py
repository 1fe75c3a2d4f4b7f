"""crop: every cell's own box, in the middle, under its own key."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app
from nucprof.errors import ProjectError
from nucprof.io.images import write_labels
from nucprof.io.stacks import read_stack
from nucprof.io.tables import read_table
from nucprof.plate.columns import REAL_BOX

SHAPE = (40, 52)
BOXES = {3: (10, 12, 5, 7), 12345: (20, 30, 6, 4), 70000: (30, 8, 3, 3)}
SIZE = 12


def numbered():
    """Every pixel of both channels different, and none 0."""
    return np.arange(1, 2 * SHAPE[0] * SHAPE[1] + 1, dtype=np.uint16).reshape(2, *SHAPE)


def expected_crop(image, labels, label, size, masked):
    """Pixel by pixel: the box starts at round-half-up(centroid) - size // 2.

    Beyond the image lies its nearest pixel, or 0 where masked.
    """
    ys, xs = np.nonzero(labels == label)
    top = int(np.floor(ys.mean() + 0.5)) - size // 2
    left = int(np.floor(xs.mean() + 0.5)) - size // 2
    crop = np.zeros((len(image), size, size), image.dtype)
    padded = False
    for y in range(size):
        for x in range(size):
            at = (min(max(top + y, 0), SHAPE[0] - 1), min(max(left + x, 0), SHAPE[1] - 1))
            beyond = at != (top + y, left + x)
            padded |= beyond
            if not masked or (not beyond and labels[at] == label):
                crop[:, y, x] = image[:, at[0], at[1]]
    return crop, padded


@pytest.fixture
def plate(masked_plate, paint):
    masked_plate.add("AA-123-07", numbered(), paint(SHAPE, BOXES))
    masked_plate.add("B-02-01", numbered() + 1, paint(SHAPE, {7: (8, 9, 6, 6)}))
    masked_plate.settings = f"[crop]\npatch_size = {SIZE}\n"
    return masked_plate


def folder(plate, region="nucleocentric", size=SIZE):
    return plate.root / "results" / "crops" / f"{region}_{size}"


def index(plate, region="nucleocentric", size=SIZE):
    return read_table(folder(plate, region, size) / "index.parquet")


def check(plate, paint, region, masked, boxes=BOXES, field="AA-123-07"):
    """Every row of the index leads to the crop that was computed by hand."""
    rows = index(plate, region)
    rows = rows[rows["stack"] == f"p/{field}.tif"]
    stack = read_stack(folder(plate, region) / "p" / f"{field}.tif")
    assert len(rows) == len(stack) == len(boxes)
    labels = paint(SHAPE, boxes)
    for row in rows.itertuples():
        crop, padded = expected_crop(numbered(), labels, row.Metadata_ObjectNumber, SIZE, masked)
        np.testing.assert_array_equal(stack[row.row], crop)
        assert row.padded == padded


class TestRegions:
    def test_nucleocentric_shows_the_surroundings(self, plate, paint):
        _, results = plate.run("crop")
        check(plate, paint, "nucleocentric", masked=False)
        assert results["crop"].summary.counts == {"crops": 4, "padded": 0}

    def test_a_nucleus_is_masked(self, plate, paint):
        plate.settings += 'region = "nucleus"\n'
        plate.run("crop")
        check(plate, paint, "nucleus", masked=True)
        stack = read_stack(folder(plate, "nucleus") / "p" / "AA-123-07.tif")
        assert [np.count_nonzero(crop[0]) for crop in stack] == [5 * 7, 6 * 4, 3 * 3]

    @pytest.mark.parametrize(("region", "masked"), [("nucleocentric", True), ("nucleus", False)])
    def test_masked_or_not_by_setting(self, plate, paint, region, masked):
        plate.settings += f'region = "{region}"\nmasked = {str(masked).lower()}\n'
        plate.run("crop")
        check(plate, paint, region, masked=masked)

    def test_whole_cells_need_cell_mode(self, plate, capsys):
        plate.run()
        assert run_app(build_app(), ["crop", str(plate.project), "--region", "cell"]) == 2
        assert (
            "crop.region = cell needs whole cells: set segment.mode = cells"
            in capsys.readouterr().err
        )

    def test_published_sizes(self, plate):
        plate.settings = ""
        plate.run("crop")
        stack = read_stack(folder(plate, "nucleocentric", 60) / "p" / "B-02-01.tif")
        assert stack.shape == (1, 2, 60, 60)


def test_the_index_names_every_cell_by_its_key(plate):
    plate.run("crop")
    table = index(plate)
    assert table.drop(columns=["padded", *REAL_BOX]).to_dict("list") == {
        "Metadata_Plate": ["p"] * 4,
        "Metadata_Well": ["AA123"] * 3 + ["B02"],
        "Metadata_Site": [7] * 3 + [1],
        "Metadata_ObjectNumber": [3, 12345, 70000, 7],
        "Metadata_ROI_img_name": [
            "AA-123-07_0003", "AA-123-07_12345", "AA-123-07_70000", "B-02-01_0007",
        ],
        "stack": ["p/AA-123-07.tif"] * 3 + ["p/B-02-01.tif"],
        "row": [0, 1, 2, 0],
    }  # fmt: skip


def test_fault_02_after_a_cell_has_left_the_others_keep_their_own_crops(plate, paint):
    # Published: crops are written with a running number and read back by label.
    plate.run("crop")
    left = {label: box for label, box in BOXES.items() if label != 3}
    write_labels(plate.root / "made" / "AA-123-07.tif", paint(SHAPE, left))
    plate.run("crop")
    check(plate, paint, "nucleocentric", masked=False, boxes=left)
    assert "AA-123-07_0003" not in index(plate)["Metadata_ROI_img_name"].tolist()


def test_fault_03_overlapping_boxes_do_not_overwrite_each_other(plate, paint):
    # Published: patches are painted into one label image, later ones over earlier ones.
    near = {1: (10, 10, 5, 5), 2: (10, 16, 5, 5), 3: (16, 12, 5, 5)}
    write_labels(plate.root / "made" / "AA-123-07.tif", paint(SHAPE, near))
    plate.run("crop")
    check(plate, paint, "nucleocentric", masked=False, boxes=near)


def test_fault_11_edge_cells_are_padded_centred_and_flagged(plate, paint):
    # Published: a box that reaches beyond the image gives a smaller crop, or none at all.
    plate.settings = f"clear_border = false\n[crop]\npatch_size = {SIZE}\n"
    edge = {
        1: (0, 0, 4, 4),
        2: (0, 25, 3, 5),
        3: (36, 48, 4, 4),
        4: (18, 0, 4, 3),
        9: (18, 24, 5, 5),
    }
    write_labels(plate.root / "made" / "AA-123-07.tif", paint(SHAPE, edge))
    plate.run("crop")
    check(plate, paint, "nucleocentric", masked=False, boxes=edge)
    rows = index(plate)[lambda t: t["stack"] == "p/AA-123-07.tif"]
    assert rows["padded"].tolist() == [True, True, True, True, False]
    # 40 x 52 pixels: label 3 is centred on (38, 50), so its box of 12 starts at (32, 44)
    assert rows[REAL_BOX].to_numpy()[[2, 4]].tolist() == [[0, 0, 8, 8], [0, 0, SIZE, SIZE]]
    stack = read_stack(folder(plate) / "p" / "AA-123-07.tif")
    assert stack.shape == (5, 2, SIZE, SIZE)
    # the centroid of label 1 is (1.5, 1.5): pixel (2, 2) is in the middle
    assert stack[0, 0, SIZE // 2, SIZE // 2] == numbered()[0, 2, 2]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_fault_13_pixels_keep_their_type(masked_plate, paint, dtype):
    image = (numbered() % 200).astype(dtype)
    masked_plate.add("B-02-01", image, paint(SHAPE, BOXES))
    masked_plate.settings = f"[crop]\npatch_size = {SIZE}\n"
    masked_plate.run("crop")
    stack = read_stack(folder(masked_plate) / "p" / "B-02-01.tif")
    assert stack.dtype == np.dtype(dtype)
    crop, _ = expected_crop(image, paint(SHAPE, BOXES), 3, SIZE, False)
    np.testing.assert_array_equal(stack[0], crop)


def test_a_field_without_cells_has_no_stack_and_no_rows(plate, paint):
    plate.run("crop")
    write_labels(plate.root / "made" / "AA-123-07.tif", paint(SHAPE, {}))
    _, results = plate.run("crop")
    assert results["crop"].status == "done"
    assert sorted(p.name for p in (folder(plate) / "p").iterdir()) == ["B-02-01.tif"]
    assert index(plate)["Metadata_ROI_img_name"].tolist() == ["B-02-01_0007"]
    assert plate.run("crop")[1]["crop"].status == "up to date"


class TestSingleCrops:
    def names(self, plate, field="AA-123-07"):
        return sorted(path.name for path in (folder(plate) / "p" / field).iterdir())

    def test_one_file_per_cell(self, plate, paint):
        plate.settings += "export_tiff = true\n"
        plate.run("crop")
        assert self.names(plate) == [
            "AA-123-07_0003.tif",
            "AA-123-07_12345.tif",
            "AA-123-07_70000.tif",
        ]
        crop, _ = expected_crop(numbered(), paint(SHAPE, BOXES), 12345, SIZE, False)
        found = tifffile.imread(folder(plate) / "p" / "AA-123-07" / "AA-123-07_12345.tif")
        np.testing.assert_array_equal(found, crop)

    def test_cells_that_left_leave_no_file(self, plate, paint):
        plate.settings += "export_tiff = true\n"
        plate.run("crop")
        left = {label: box for label, box in BOXES.items() if label != 3}
        write_labels(plate.root / "made" / "AA-123-07.tif", paint(SHAPE, left))
        plate.run("crop")
        assert self.names(plate) == ["AA-123-07_12345.tif", "AA-123-07_70000.tif"]


def test_segment_has_not_run(plate, capsys):
    plate.run("rename")
    assert run_app(build_app(), ["crop", str(plate.project)]) == 2
    assert "'segment' has not run yet; run: nucprof segment PROJECT" in capsys.readouterr().err


def test_fields_that_leave_the_project_take_their_files(plate):
    plate.run("crop")
    (plate.root / "CP" / "B-02-01.tif").unlink()
    plate.run("crop")
    assert sorted(p.name for p in (folder(plate) / "p").iterdir()) == ["AA-123-07.tif"]
    assert set(index(plate)["Metadata_Well"]) == {"AA123"}
    assert not (plate.root / "results" / "masks" / "p" / "nuclei" / "B-02-01.tif").exists()
    assert {name[:7] for name in plate.ledger()} == {"AA-123-"}


class TestNuclearSize:
    """Boxes of 12 x 20 px: their disk of equal area is 17.5 px wide."""

    @pytest.fixture
    def large(self, masked_plate, paint):
        masked_plate.add("B-02-01", numbered(), paint(SHAPE, {7: (20, 26, 12, 20)}))
        return masked_plate

    def test_a_patch_that_cuts_nuclei_off_is_told(self, large):
        large.settings = "[crop]\npatch_size = 16\n"
        _, results = large.run("crop")
        (warning,) = results["crop"].summary.warnings
        assert "16 px" in warning
        assert "p 17.48 px" in warning
        assert "--patch-size 36" in warning  # two diameters, a multiple of 4

    def test_a_large_enough_patch_is_not(self, large):
        large.settings = "[crop]\npatch_size = 24\n"
        _, results = large.run("crop")
        assert results["crop"].summary.warnings == []

    def test_auto_follows_the_nuclei(self, large):
        large.settings = '[crop]\npatch_size = "auto"\n'
        large.run("crop")
        assert read_stack(folder(large, size=36) / "p" / "B-02-01.tif").shape == (1, 2, 36, 36)
        # A wrong number is an error of the file, not a size.
        large.settings = '[crop]\npatch_size = "large"\n'
        (large.root / "project.toml").unlink()
        with pytest.raises(ProjectError, match="patch_size"):
            large.run("crop")
