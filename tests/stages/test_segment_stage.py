"""segment: masks, the ledger's rows, what is left out; by watershed, and masks made elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app
from nucprof.config import load_project
from nucprof.demo.plate import write_demo
from nucprof.io.images import read_labels, write_labels
from nucprof.run.pipeline import Run
from nucprof.stages import stage

SHAPE = (30, 42)
RNG = np.random.default_rng(0)


def noise(shape=SHAPE):
    return RNG.integers(0, 1000, (2, *shape), dtype=np.uint16)


def mask(plate, field, kind="nuclei"):
    return read_labels(plate.root / "results" / "masks" / "p" / kind / f"{field}.tif")


class TestMasksMadeElsewhere:
    def test_fault_13_gapped_labels_above_65535_stay_as_they_are(self, masked_plate, paint):
        labels = paint(SHAPE, {3: (4, 4, 5, 6), 12345: (12, 20, 6, 4), 70000: (20, 5, 4, 4)})
        masked_plate.add("AA-123-07", noise(), labels)
        _, results = masked_plate.run()
        found = mask(masked_plate, "AA-123-07")
        np.testing.assert_array_equal(found, labels)
        assert found.dtype == np.uint32
        assert masked_plate.ledger() == {
            "AA-123-07_0003": "",
            "AA-123-07_12345": "",
            "AA-123-07_70000": "",
        }
        assert results["segment"].summary.counts["cells"] == 3

    def test_objects_at_the_border_leave_with_their_reason(self, masked_plate, paint):
        boxes = {
            2: (0, 10, 4, 4),  # top
            3: (26, 10, 4, 4),  # bottom
            5: (10, 0, 4, 4),  # left
            7: (10, 38, 4, 4),  # right
            8: (1, 20, 4, 4),  # one pixel away
            70000: (15, 20, 4, 4),
        }
        masked_plate.add("B-02-01", noise(), paint(SHAPE, boxes))
        masked_plate.run()
        inside = {label: boxes[label] for label in (8, 70000)}
        np.testing.assert_array_equal(mask(masked_plate, "B-02-01"), paint(SHAPE, inside))
        gone = "segment: border"
        assert masked_plate.ledger() == {
            "B-02-01_0002": gone,
            "B-02-01_0003": gone,
            "B-02-01_0005": gone,
            "B-02-01_0007": gone,
            "B-02-01_0008": "",
            "B-02-01_70000": "",
        }

    def test_objects_at_the_border_stay_where_they_may(self, masked_plate, paint):
        labels = paint(SHAPE, {2: (0, 10, 4, 4), 8: (10, 20, 4, 4)})
        masked_plate.add("B-02-01", noise(), labels)
        masked_plate.settings = "clear_border = false\n"
        masked_plate.run()
        np.testing.assert_array_equal(mask(masked_plate, "B-02-01"), labels)
        assert set(masked_plate.ledger().values()) == {""}

    def test_a_field_without_objects(self, masked_plate, paint):
        masked_plate.add("B-02-01", noise(), paint(SHAPE, {}))
        masked_plate.add("B-03-01", noise(), paint(SHAPE, {1: (0, 0, 4, 4)}))
        masked_plate.add("B-04-01", noise(), paint(SHAPE, {1: (5, 5, 4, 4)}))
        _, results = masked_plate.run()
        assert results["segment"].status == "done"
        assert not mask(masked_plate, "B-02-01").any()
        assert not mask(masked_plate, "B-03-01").any()
        assert masked_plate.ledger() == {"B-03-01_0001": "segment: border", "B-04-01_0001": ""}
        warnings = results["segment"].summary.warnings
        assert [w for w in warnings if "no cells found" in w] == [
            "p/B-02-01: no cells found",
            "p/B-03-01: no cells found",
        ]

    def test_a_field_without_mask_is_left_out(self, masked_plate, paint):
        masked_plate.add("B-02-01", noise())
        masked_plate.add("B-03-01", noise(), paint(SHAPE, {1: (5, 5, 4, 4)}))
        _, results = masked_plate.run()
        (left_out,) = results["segment"].excluded
        assert (left_out.field, left_out.reason) == ("B-02-01", "no_mask")
        assert "p/B-02-01 has no mask" in left_out.message
        assert str(masked_plate.root / "made" / "B-02-01.tif") in left_out.message
        assert results["segment"].status == "done"
        assert run_app(build_app(), ["segment", str(masked_plate.project), "--quiet"]) == 0

    @pytest.mark.parametrize("place", ["p/nuclei", "nuclei", "p", "."])
    def test_where_masks_are_looked_for(self, masked_plate, paint, place):
        labels = paint(SHAPE, {4: (5, 5, 4, 4)})
        masked_plate.add("B-02-01", noise())
        write_labels(masked_plate.root / "made" / place / "B-02-01.tif", labels)
        masked_plate.run()
        np.testing.assert_array_equal(mask(masked_plate, "B-02-01"), labels)

    def test_a_mask_of_another_size_fails_its_field(self, masked_plate, paint, capsys):
        masked_plate.add("B-02-01", noise(), paint((30, 41), {1: (5, 5, 4, 4)}))
        masked_plate.add("B-03-01", noise(), paint(SHAPE, {1: (5, 5, 4, 4)}))
        _, results = masked_plate.run(keep_going=True)
        (failed,) = results["segment"].failed
        assert (failed.field, failed.reason) == ("B-02-01", "FieldError")
        assert "is (30, 41), but its image is (30, 42)" in failed.message
        assert results["segment"].status == "failed"
        assert masked_plate.ledger() == {"B-03-01_0001": ""}
        capsys.readouterr()
        assert run_app(build_app(), ["segment", str(masked_plate.project), "--keep-going"]) == 1
        assert "failed p/B-02-01: " in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("pixels", "told"),
        [
            (np.full(SHAPE, -1, np.int16), "holds negative labels"),
            (np.full(SHAPE, 0.5, np.float32), "holds fractions"),
            (np.zeros((2, *SHAPE), np.uint16), "has 2 planes; a label image has one"),
        ],
    )
    def test_what_is_no_mask_fails_its_field(self, masked_plate, pixels, told):
        masked_plate.add("B-02-01", noise())
        path = masked_plate.root / "made" / "B-02-01.tif"
        path.parent.mkdir()
        tifffile.imwrite(path, pixels, photometric="minisblack")
        _, results = masked_plate.run()
        (failed,) = results["segment"].failed
        assert told in failed.message

    def test_a_mask_that_was_corrected_runs_its_field_again(self, masked_plate, paint):
        for field in ("B-02-01", "B-03-01"):
            masked_plate.add(field, noise(), paint(SHAPE, {1: (5, 5, 4, 4)}))
        masked_plate.run()
        assert masked_plate.run()[1]["segment"].status == "up to date"
        corrected = paint(SHAPE, {1: (5, 5, 4, 4), 9: (15, 15, 4, 4)})
        write_labels(masked_plate.root / "made" / "B-03-01.tif", corrected)
        _, results = masked_plate.run()
        assert results["segment"].reason.startswith("1 of 2 to do: input changed")
        assert masked_plate.ledger() == {
            "B-02-01_0001": "",
            "B-03-01_0001": "",
            "B-03-01_0009": "",
        }

    def test_only_some_fields(self, masked_plate, paint):
        for field in ("B-02-01", "B-03-01", "C-02-01"):
            masked_plate.add(field, noise(), paint(SHAPE, {1: (5, 5, 4, 4)}))
        masked_plate.run("rename")
        results = masked_plate.run("segment", fields=("B03",))[1]
        assert results["segment"].status == "partial"
        assert sorted(masked_plate.ledger()) == ["B-03-01_0001"]
        assert masked_plate.run("segment")[1]["segment"].status == "done"
        write_labels(masked_plate.root / "made" / "B-03-01.tif", paint(SHAPE, {2: (5, 5, 4, 4)}))
        write_labels(masked_plate.root / "made" / "C-02-01.tif", paint(SHAPE, {2: (5, 5, 4, 4)}))
        results = masked_plate.run("segment", fields=("C-02-01",))[1]
        assert results["segment"].status == "partial"
        assert sorted(masked_plate.ledger()) == ["B-02-01_0001", "B-03-01_0001", "C-02-01_0002"]

    def test_a_field_that_is_not_there(self, masked_plate, paint, capsys):
        masked_plate.add("B-02-01", noise(), paint(SHAPE, {1: (5, 5, 4, 4)}))
        masked_plate.run("rename")
        words = ["segment", str(masked_plate.project), "--fields", "B09", "--force"]
        assert run_app(build_app(), words) == 2
        assert "--fields B09: no such well or field here" in capsys.readouterr().err

    def test_rename_has_not_run(self, masked_plate, paint, capsys):
        masked_plate.add("B-02-01", noise(), paint(SHAPE, {1: (5, 5, 4, 4)}))
        assert run_app(build_app(), ["segment", str(masked_plate.project)]) == 2
        assert "'rename' has not run yet; run: nucprof rename" in capsys.readouterr().err


WELLS = {"astro": ["B02"], "co-culture": ["D02"]}


@pytest.fixture(scope="module")
def watershed(tmp_path_factory):
    """A demo plate of two fields, segmented."""
    folder = tmp_path_factory.mktemp("watershed") / "d"
    demo = write_demo(folder, shape=(160, 180), cells=12, wells=WELLS)
    text = '[segment]\nbackend = "watershed"\n[execution]\nworkers = 1\n'
    demo.project.write_text(demo.project.read_text() + text)
    run = Run(load_project(demo.project))
    run.run_stage(stage("rename"))
    assert run.run_stage(stage("segment")).status == "done"
    return demo, run


class TestWatershed:
    def test_the_true_nuclei_are_found(self, watershed):
        demo, run = watershed
        found = wanted = 0
        for field in ("B-02-01", "D-02-01"):
            truth = read_labels(demo.folder / "truth" / "nuclei" / f"{field}.tif")
            labels = read_labels(run.results.mask("demo", "nuclei", field))
            assert labels.shape == truth.shape == (160, 180)
            edge = np.unique(np.concatenate([truth[0], truth[-1], truth[:, 0], truth[:, -1]]))
            for label in np.setdiff1d(np.unique(truth), edge):
                own = truth == label
                best = np.bincount(labels[own]).argmax()
                both = np.count_nonzero(own & (labels == best))
                either = np.count_nonzero(own | (labels == best))
                found += best > 0 and both / either > 0.6
                wanted += 1
        assert wanted >= 12
        assert found >= 0.9 * wanted

    def test_no_object_touches_the_border(self, watershed):
        _, run = watershed
        for field in ("B-02-01", "D-02-01"):
            labels = read_labels(run.results.mask("demo", "nuclei", field))
            edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
            assert not edge.any()

    def test_the_ledger_counts_them(self, watershed):
        from nucprof.io.tables import read_table

        _, run = watershed
        table = read_table(run.results.cells)
        for field, rows in table.groupby(table["Metadata_ROI_img_name"].str[:7]):
            labels = read_labels(run.results.mask("demo", "nuclei", str(field)))
            kept = rows[rows["status"] == "kept"]["Metadata_ObjectNumber"]
            assert kept.tolist() == np.setdiff1d(np.unique(labels), [0]).tolist()
            dropped = rows[rows["status"] == "dropped"]
            assert set(dropped["reason"]) <= {"border"}

    def test_an_empty_image(self, masked_plate):
        masked_plate.add("B-02-01", np.full((2, *SHAPE), 7, np.uint16))
        masked_plate.add("B-03-01", np.zeros((2, *SHAPE), np.float32))
        run = Run(load_project(masked_plate.project, {"segment": {"backend": "watershed"}}))
        run.run_stage(stage("rename"))
        result = run.run_stage(stage("segment"))
        assert result.status == "done"
        assert not mask(masked_plate, "B-02-01").any()
        assert not mask(masked_plate, "B-03-01").any()
        assert masked_plate.ledger() == {}

    def test_another_channel(self, masked_plate, paint):
        image = np.zeros((2, *SHAPE), np.uint16)
        image[1][paint(SHAPE, {1: (8, 10, 12, 12)}) > 0] = 1000
        masked_plate.add("B-02-01", image + 100)
        flags = {"segment": {"backend": "watershed", "channels": ["GFP"]}}
        run = Run(load_project(masked_plate.project, flags))
        run.run_stage(stage("rename"))
        run.run_stage(stage("segment"))
        assert masked_plate.ledger() == {"B-02-01_0001": ""}

    def test_a_file_broken_since_costs_its_field_only(self, tmp_path):
        plate = write_demo(tmp_path / "d", shape=(80, 90), cells=4, wells=WELLS)
        broken = next((tmp_path / "d" / "CP").glob("*B02*"))
        plate.project.write_text(plate.project.read_text() + '[segment]\nbackend = "watershed"\n')
        words = ["segment", str(plate.project), "--quiet", "--workers", "1", "--keep-going"]
        assert run_app(build_app(), ["rename", str(plate.project), "--quiet"]) == 0
        broken.write_bytes(broken.read_bytes()[:5000])
        assert run_app(build_app(), words) == 0
        run = Run(load_project(plate.project))
        entry = run.entries("segment")["demo", "B-02-01"]
        assert (entry.status, entry.reason) == ("excluded", "unreadable")
        assert run.entries("segment")["demo", "D-02-01"].status == "done"
        broken.unlink()
        assert run_app(build_app(), [*words, "--force"]) == 1  # a file that is gone is a failure

    def test_masks_do_not_depend_on_the_number_of_workers(self, watershed):
        demo, first = watershed
        before = {p.name: p.read_bytes() for p in first.results.folder("masks").rglob("*.tif")}
        again = Run(load_project(demo.project, {"execution": {"workers": 2}}))
        again.options = type(again.options)(force=True)
        assert again.run_stage(stage("segment")).status == "done"
        after = {p.name: p.read_bytes() for p in first.results.folder("masks").rglob("*.tif")}
        assert before == after
        assert len(before) == 2
