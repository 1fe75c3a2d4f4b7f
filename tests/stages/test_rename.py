"""rename: raw names to field keys, by key and never by position."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app
from nucprof.config import load_project
from nucprof.errors import ProjectError
from nucprof.io.images import read_channels
from nucprof.io.tables import read_table
from nucprof.raw.index import ImageIndex
from nucprof.raw.renaming import BESIDE
from nucprof.run.pipeline import Options, Run
from nucprof.stages import stage

H, W = 12, 15


def plane(value):
    return np.full((H, W), value, np.uint16)


def write(folder, files, **how):
    """Write images by name: planes of the values given, or a single plane."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in files.items():
        data = plane(values) if np.isscalar(values) else np.stack([plane(v) for v in values])
        tifffile.imwrite(folder / name, data, photometric="minisblack", **how)
    return folder


def jobs(well, site=1, channels="DNA,GFP", sequence=0):
    return f"Well{well}_Point{well}_{site:04d}_Channel{channels}_Seq{sequence:04d}.tif"


class Plate:
    """A folder with a project file; what it says can be changed by sections."""

    def __init__(self, root):
        self.root = root
        self.cp, self.gt = root / "CP", root / "GT"
        self.channels = ["DNA", "GFP"]
        self.truth = None
        self.sections = {}

    def write(self):
        quote = json.dumps
        text = '[project]\nname = "p"\n[[plates]]\nname = "p"\ncell_painting = "CP"\n'
        if self.truth:
            text += '[plates.ground_truth]\nGT = "GT"\n'
        text += f"[channels]\ncell_painting = {quote(self.channels)}\n"
        text += f"nuclei = {quote(self.channels[0])}\n"
        if self.truth:
            text += f"[channels.ground_truth]\nGT = {quote(self.truth)}\n"
        for section, values in self.sections.items():
            text += f"[{section}]\n" + "".join(
                f"{quote(k)} = {quote(v)}\n" for k, v in values.items()
            )
        path = self.root / "project.toml"
        path.write_text(text)
        return path

    def run(self, **options):
        run = Run(load_project(self.write()), Options(**options))
        return run.run_stage(stage("rename"))

    def index(self):
        return ImageIndex.read(self.root / "results" / "images.csv")

    def names(self, folder="CP"):
        """The images of a folder; the list of their old names apart."""
        return sorted(p.name for p in (self.root / folder).iterdir() if p.name != BESIDE)

    def command(self, *words):
        return run_app(build_app(), ["rename", str(self.write()), *words])


@pytest.fixture
def plate(tmp_path):
    return Plate(tmp_path)


def snapshot(root):
    """All files with their content, the project file and results left out."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != "project.toml" and "results" not in path.parts
    }


def warnings(result):
    return "\n".join(result.summary.warnings)


class TestIndex:
    def test_the_table(self, plate):
        write(plate.cp, {jobs("B02"): (1, 2), jobs("AA123", 7): (3, 4)})
        before = snapshot(plate.root)
        result = plate.run()
        assert result.status == "done"
        table = read_table(plate.root / "results" / "images.csv")
        assert table.to_dict("split")["columns"] == [
            "plate", "well", "row", "column", "site", "round", "channel", "path", "plane",
            "position", "time", "projection", "zoom", "pixel_size_um", "parts",
            "illumination",
        ]  # fmt: skip
        rows = [
            (*tuple(row)[:7], Path(row.path).name, row.plane)
            for row in table.itertuples(index=False)
        ]
        first, second = jobs("AA123", 7), jobs("B02")
        assert rows == [
            ("p", "AA123", "AA", 123, 7, "CP", "DNA", first, 0),
            ("p", "AA123", "AA", 123, 7, "CP", "GFP", first, 1),
            ("p", "B02", "B", 2, 1, "CP", "DNA", second, 0),
            ("p", "B02", "B", 2, 1, "CP", "GFP", second, 1),
        ]
        assert snapshot(plate.root) == before  # index touches nothing

    def test_channels_are_read_in_the_order_asked_for(self, plate):
        write(plate.cp, {jobs("B02"): (1, 2)})
        plate.run()
        sources = plate.index().sources("p", "B-02-01", "CP", ["GFP", "DNA"])
        assert read_channels(sources)[:, 0, 0].tolist() == [2, 1]

    def test_fault_01_a_missing_field_shifts_no_pair(self, plate):
        # Published: the sorted CP files are paired with the sorted GT files by position.
        plate.truth = ["EdU"]
        wells = ["B02", "B03", "B04", "B05"]
        write(plate.cp, {jobs(w, sequence=n): (n, n) for n, w in enumerate(wells)})
        write(plate.gt, {jobs(w, sequence=n): n for n, w in enumerate(wells) if w != "B03"})
        result = plate.run()
        index = plate.index()
        paired = {}
        for p, field in index.fields("CP"):
            if (p, field, "GT") in index.channels:
                (painted,) = read_channels(index.sources(p, field, "CP", ["DNA"]))[:, 0, 0]
                (truth,) = read_channels(index.sources(p, field, "GT", ["EdU"]))[:, 0, 0]
                paired[field] = (painted, truth)
        assert paired == {"B-02-01": (0, 0), "B-04-01": (2, 2), "B-05-01": (3, 3)}
        assert "1 fields have no image in GT, left out of all later stages: B-03-01" in warnings(
            result
        )

    def test_a_ground_truth_field_without_painting(self, plate):
        plate.truth = ["EdU"]
        write(plate.cp, {jobs("B02"): (1, 2)})
        write(plate.gt, {jobs("B02"): 1, jobs("B09"): 1})
        assert "1 fields have no image in CP, ignored: B-09-01" in warnings(plate.run())

    def test_wells_with_fewer_fields(self, plate):
        sites = [("B02", 1), ("B02", 2), ("B03", 1), ("B04", 1), ("B04", 3)]
        write(plate.cp, {jobs(w, s): (1, 2) for w, s in sites})
        assert "wells with fewer fields than others: B03 (1 of 2)" in warnings(plate.run())

    def test_files_that_do_not_match_are_listed(self, plate):
        strange = [f"overview {n}.tif" for n in range(7)]
        write(plate.cp, {jobs("B02"): (1, 2), **dict.fromkeys(strange, 1)})
        (plate.cp / "notes.txt").write_text("not an image")
        (plate.cp / "Thumbs.db").write_bytes(b"what Windows leaves")
        (plate.cp / "._WellB02.tif").write_bytes(b"what macOS leaves")
        told = warnings(plate.run())
        assert "7 files left out: their names do not match pattern 'nis-jobs'" in told
        assert "overview 0.tif" in told
        assert "and 2 more" in told
        assert "1 hidden file ignored: ._WellB02.tif" in told
        assert "notes" not in told
        assert "Thumbs" not in told

    def test_a_file_that_cannot_be_read_costs_its_field_only(self, plate):
        write(plate.cp, {jobs("B02"): (1, 2), jobs("B03"): (3, 4)})
        (plate.cp / jobs("B02")).write_bytes(b"II*\0")
        result = plate.run()
        assert result.status == "done"
        assert "cannot be read" in warnings(result)
        assert "field B-02-01 left out" in warnings(result)
        assert plate.index().fields("CP") == [("p", "B-03-01")]
        assert result.summary.counts == {"fields": {"p/CP": 1}}

    def test_wells_and_fields_left_out(self, plate):
        write(plate.cp, {jobs(w, s): (1, 2) for w, s in [("B02", 1), ("B03", 1), ("B03", 2)]})
        path = plate.write()
        path.write_text(
            path.read_text().replace('name = "p"', 'name = "p"\nexclude = ["B02", "B-03-02"]', 1)
        )
        Run(load_project(path)).run_stage(stage("rename"))
        assert plate.index().fields("CP") == [("p", "B-03-01")]

    def test_only_one_extension(self, plate):
        write(plate.cp, {jobs("B02"): (1, 2)})
        write(plate.cp, {jobs("B02").replace(".tif", ".tiff"): (3, 4)})
        plate.sections["rename"] = {"extension": ".tiff"}
        plate.run()
        sources = plate.index().sources("p", "B-02-01", "CP", ["DNA"])
        assert sources[0].path.suffix == ".tiff"

    def test_a_pattern_of_ones_own(self, plate):
        write(plate.cp, {"scan row2 col11 f3.tif": (1, 2)})
        plate.sections["rename"] = {"pattern": r"row(?P<row>\d+) col(?P<column>\d+) f(?P<site>\d+)"}
        plate.run()
        assert plate.index().fields("CP") == [("p", "B-11-03")]

    def test_the_real_plate(self, plate, shared_data):
        real = shared_data / "coculture"
        plate.write()
        path = plate.root / "project.toml"
        path.write_text(
            f'[project]\nname = "p"\n[[plates]]\nname = "p"\n'
            f'cell_painting = "{(real / "CP").as_posix()}"\n'
            f'[plates.ground_truth]\nGT = "{(real / "GT").as_posix()}"\n'
            '[channels]\ncell_painting = ["DNA", "GFP"]\nnuclei = "DNA"\n'
            '[channels.ground_truth]\nGT = ["DNA", "untreated", "treated"]\n'
        )
        result = Run(load_project(path)).run_stage(stage("rename"))
        assert result.summary.counts == {"fields": {"p/CP": 16, "p/GT": 16}}
        assert result.summary.warnings == []
        sources = plate.index().sources("p", "D-02-01", "GT", ["treated"])
        assert [source.plane for source in sources] == [2]


class TestFilesPerChannel:
    def files(self, plate, names):
        write(plate.cp, names)

    def channels(self, plate, field="A-01-01"):
        sources = plate.index().sources("p", field, "CP", plate.channels)
        return read_channels(sources)[:, 0, 0].tolist()

    def test_a_map_names_the_tokens(self, plate):
        self.files(plate, {"Channel1-01-A-01.tif": 1, "Channel2-01-A-01.tif": 2})
        plate.sections["rename.channel_map"] = {"Channel1": "GFP", "Channel2": "DNA"}
        plate.run()
        assert self.channels(plate) == [2, 1]

    @pytest.mark.parametrize("tokens", [("1", "2"), ("w1", "w2"), ("ch1", "ch2"), ("C1", "C2")])
    def test_spellings_of_a_token(self, plate, tokens):
        self.files(plate, {"A01_s1_w1.tif": 1, "A01_s1_w2.tif": 2})
        plate.sections["rename.channel_map"] = dict(zip(tokens, ["GFP", "DNA"], strict=True))
        plate.run()
        assert self.channels(plate) == [2, 1]

    def test_without_a_map_numbers_follow_the_order(self, plate):
        self.files(plate, {"r01c01f01p01-ch1sk1fk1fl1.tif": 1, "r01c01f01p01-ch2sk1fk1fl1.tif": 2})
        plate.run()
        assert self.channels(plate) == [1, 2]

    def test_words_name_their_channel(self, plate):
        self.files(plate, {"A-01-01_GFP.tif": 2, "A-01-01_DNA.tif": 1})
        plate.run()
        assert self.channels(plate) == [1, 2]

    def test_a_channel_that_is_not_used(self, plate):
        self.files(plate, {"A01_s1_w1.tif": 1, "A01_s1_w2.tif": 2, "A01_s1_w3.tif": 3})
        plate.sections["rename.channel_map"] = {"w1": "DNA", "w2": "GFP", "w3": "brightfield"}
        plate.run()
        assert self.channels(plate) == [1, 2]

    def test_a_token_that_nothing_names(self, plate):
        self.files(plate, {"A01_s1_w1.tif": 1, "A01_s1_w9.tif": 2})
        with pytest.raises(
            ProjectError, match="does not say which channel '9' in the file names is"
        ) as caught:
            plate.run()
        assert '"9" = "DNA" under [rename.channel_map]' in str(caught.value)

    def test_two_files_of_one_channel(self, plate):
        self.files(plate, {"A01_s1_w1.tif": 1, "A01_s1_w2.tif": 2})
        plate.sections["rename.channel_map"] = {"w1": "DNA", "w2": "DNA"}
        with pytest.raises(
            ProjectError, match=r"A01_s1_w1\.tif and A01_s1_w2\.tif are both channel DNA"
        ):
            plate.run()

    def test_a_file_of_several_planes(self, plate):
        # grey saved as red, green and blue: which of them counts?
        self.files(plate, {"A01_s1_w1.tif": (0, 0, 7), "A01_s1_w2.tif": 2})
        with pytest.raises(ProjectError, match=r"A01_s1_w1\.tif holds 3 planes"):
            plate.run()

    def test_a_missing_file_is_told_and_costs_its_field_only(self, plate):
        self.files(plate, {"A01_s1_w1.tif": 1, "A01_s1_w2.tif": 2, "A02_s1_w1.tif": 3})
        told = warnings(plate.run())
        assert self.channels(plate) == [1, 2]
        assert "A-02-01 (GFP)" in told


class TestErrors:
    """One message, exit status 2, and nothing has changed on disk."""

    @pytest.fixture
    def refused(self, plate, capsys):
        def check(told, *words):
            before = snapshot(plate.root)
            assert plate.command(*words) == 2
            err = capsys.readouterr().err
            assert err.count("\n") == 1
            assert told in err
            assert snapshot(plate.root) == before
            assert not (plate.root / "results" / "images.csv").exists()
            return err

        return check

    def test_planes_are_not_as_many_as_channels(self, plate, refused):
        write(plate.cp, {jobs("B02"): (1, 2, 3)})
        refused(
            f"{jobs('B02')} holds 3 planes, but the project lists 2 channels for CP: DNA, GFP.",
            "--mode", "move",
        )  # fmt: skip

    def test_two_files_for_a_field(self, plate, refused):
        write(plate.cp, {jobs("B02", sequence=1): (1, 2), jobs("B02", sequence=2): (3, 4)})
        err = refused(
            "would all be the same image of field B-02-01 (pattern 'nis-jobs')", "--mode", "move"
        )
        assert jobs("B02", sequence=1) in err
        assert jobs("B02", sequence=2) in err

    def test_no_image(self, plate, refused):
        plate.cp.mkdir()
        refused("there is no image file (.nd2, .tif, .tiff, ")

    def test_no_name_matches(self, plate, refused):
        write(plate.cp, {"one.tif": (1, 2)})
        refused("No built-in pattern reads these file names, e.g. 'one'")

    def test_ones_own_pattern_reads_nothing(self, plate, refused):
        write(plate.cp, {jobs("B02"): (1, 2)})
        err = refused("reads none of 1 file names", "--pattern", r"x(?P<well>\w+)")
        assert jobs("B02") in err

    @pytest.mark.parametrize("mode", ["move", "link"])
    def test_a_name_that_is_taken(self, plate, refused, mode):
        write(plate.cp, {jobs("B02"): (1, 2), jobs("B03"): (1, 2)})
        plate.sections["rename"] = {"mode": mode, "extension": ".tif"}
        folder = plate.cp if mode == "move" else plate.root / "results" / "raw" / "p" / "CP"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "B-03-01.tif").mkdir()
        refused("these names exist already, nothing was renamed")
        assert (
            sorted(p.name for p in folder.iterdir() if p.is_file() and "Well" not in p.name) == []
        )

    def test_undo_without_a_move(self, plate, refused):
        write(plate.cp, {jobs("B02"): (1, 2)})
        refused("there is nothing to undo", "--undo")

    def test_an_unknown_mode(self, plate, refused):
        write(plate.cp, {jobs("B02"): (1, 2)})
        refused("command line: 'rename.mode' = 'copy'", "--mode", "copy")


class TestLink:
    def test_hard_links_below_the_results(self, plate):
        write(plate.cp, {jobs("B02"): (1, 2), jobs("AA03", 2): (3, 4)})
        before = snapshot(plate.root)
        plate.sections["rename"] = {"mode": "link"}
        plate.run()
        folder = plate.root / "results" / "raw" / "p" / "CP"
        assert sorted(p.name for p in folder.iterdir()) == ["AA-03-02.tif", "B-02-01.tif"]
        assert (folder / "B-02-01.tif").samefile(plate.cp / jobs("B02"))
        assert snapshot(plate.root) == before
        (source,) = plate.index().sources("p", "B-02-01", "CP", ["DNA"])
        assert source.path == folder / "B-02-01.tif"

    def test_files_per_channel_keep_their_channel(self, plate):
        write(plate.cp, {"A01_s1_w1.tif": 1, "A01_s1_w2.tif": 2})
        plate.sections["rename"] = {"mode": "link"}
        plate.run()
        folder = plate.root / "results" / "raw" / "p" / "CP"
        assert sorted(p.name for p in folder.iterdir()) == ["A-01-01_DNA.tif", "A-01-01_GFP.tif"]

    def test_again(self, plate):
        write(plate.cp, {jobs("B02"): (1, 2)})
        plate.sections["rename"] = {"mode": "link"}
        assert plate.run().status == "done"
        assert plate.run().status == "up to date"
        assert plate.run(force=True).status == "done"


class TestMove:
    @pytest.fixture
    def moved(self, plate):
        plate.truth = ["EdU"]
        write(plate.cp, {jobs("B02"): (1, 2), jobs("B03"): (3, 4)})
        write(plate.gt, {"A01_s1.tif": 5, "B02_s1.tif": 6})
        plate.sections["rename"] = {"mode": "move"}
        plate.before = snapshot(plate.root)
        assert plate.run().status == "done"
        return plate

    def test_files_get_their_keys(self, moved):
        assert moved.names("CP") == ["B-02-01.tif", "B-03-01.tif"]
        assert moved.names("GT") == ["A-01-01.tif", "B-02-01.tif"]
        sources = moved.index().sources("p", "B-03-01", "CP", ["DNA", "GFP"])
        assert read_channels(sources)[:, 0, 0].tolist() == [3, 4]

    def test_a_second_run_does_nothing(self, moved):
        assert moved.run().status == "up to date"
        assert moved.run(force=True).status == "done"
        assert moved.names("CP") == ["B-02-01.tif", "B-03-01.tif"]

    def test_undo_gives_the_old_names_back(self, moved, capsys):
        assert moved.command("--undo") == 0
        assert "4 files have their old names again." in capsys.readouterr().out
        assert snapshot(moved.root) == moved.before

    def test_undo_after_the_results_were_deleted(self, moved, capsys):
        shutil.rmtree(moved.root / "results")
        assert moved.command("--undo") == 0
        assert "4 files have their old names again." in capsys.readouterr().out
        assert snapshot(moved.root) == moved.before

    def test_undo_after_a_second_move(self, moved, capsys):
        write(moved.cp, {jobs("C04"): (7, 8)})
        added = snapshot(moved.root)["CP/" + jobs("C04")]
        assert moved.run().status == "done"
        assert "C-04-01.tif" in moved.names("CP")
        assert moved.command("--undo") == 0
        assert snapshot(moved.root) == moved.before | {"CP/" + jobs("C04"): added}

    def test_undo_where_an_old_name_is_taken(self, moved, capsys):
        write(moved.cp, {jobs("B02"): (9, 9)})
        before = snapshot(moved.root)
        assert moved.command("--undo") == 2
        assert "these names exist already, nothing was moved" in capsys.readouterr().err
        assert snapshot(moved.root) == before

    def test_after_undo_the_stage_runs_again(self, moved, capsys):
        assert moved.command("--undo") == 0
        assert moved.run().status == "done"
        assert moved.names("CP") == ["B-02-01.tif", "B-03-01.tif"]
        assert moved.command("--undo") == 0
        moved.sections = {}
        assert moved.run().status == "done"
        sources = moved.index().sources("p", "B-03-01", "CP", ["DNA"])
        assert sources[0].path.name == jobs("B03")

    @pytest.mark.parametrize("words", ["DAPI", "DAPI-FITC", "DAPI,FITC"])
    def test_words_in_a_name_do_not_count_where_the_planes_do(self, plate, words):
        write(plate.cp, {jobs("B02", channels=words): (1, 2)})
        plate.sections["rename"] = {"mode": "move"}
        plate.run()
        assert plate.names() == ["B-02-01.tif"]

    def test_new_files_beside_moved_ones(self, moved):
        # moved names are read whatever the pattern
        write(moved.cp, {jobs(w): (1, 2) for w in ("D04", "D05", "D06")})
        moved.run()
        assert len(moved.index().fields("CP")) == 5

    def test_a_move_that_breaks_off_can_be_undone(self, plate, monkeypatch, capsys):
        write(plate.cp, {jobs("B02"): (1, 2), jobs("B03"): (3, 4)})
        before = snapshot(plate.root)
        rename = Path.rename

        def fail_at_b03(self, target):
            if Path(target).name == "B-03-01.tif":
                raise PermissionError("held open")
            return rename(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", fail_at_b03)
            assert plate.command("--mode", "move") == 2
        assert "held open" in capsys.readouterr().err
        assert plate.command("--undo") == 0
        assert snapshot(plate.root) == before


def test_it_is_up_to_date_until_a_file_changes(plate):
    write(plate.cp, {jobs("B02"): (1, 2)})
    assert plate.run().status == "done"
    assert plate.run().status == "up to date"
    write(plate.cp, {jobs("B03"): (1, 2)})
    assert plate.run().status == "done"
    assert len(plate.index().fields("CP")) == 2
    (plate.cp / jobs("B02")).unlink()
    plate.run()
    assert plate.index().fields("CP") == [("p", "B-03-01")]
