"""`init`: from folders of images to a project file."""

from __future__ import annotations

import itertools
import sys
import types
from typing import ClassVar

import numpy as np
import pytest
import tifffile

from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app
from nucprof.config import load_project
from nucprof.plate.patterns import user_pattern


def call(capsys, *words):
    """Run a command; its status, what it said, and what it complained of."""
    status = run_app(build_app(), [str(word) for word in words])
    out, err = capsys.readouterr()
    return status, out, err


def write_round(folder, names, data, **how):
    folder.mkdir(parents=True)
    for name in names:
        tifffile.imwrite(folder / name, data, **how)
    return folder


WELLS = ("B02", "C03")
JOBS = "Well{well}_Point{well}_0001_Channel{channels}_Seq0001.tif"


def jobs(channels):
    return [JOBS.format(well=well, channels=channels) for well in WELLS]


class TestInit:
    @pytest.fixture
    def painted(self, tmp_path):
        data = np.zeros((2, 20, 24), np.uint16)
        return write_round(
            tmp_path / "rep1" / "CP", jobs("DNA,GFP"), data, photometric="minisblack"
        )

    def init(self, capsys, folder, *words):
        path = folder / "project.toml"
        status, out, err = call(capsys, "init", *words, "--output", path)
        assert (status, err) == (0, "")
        assert f"Next: nucprof doctor {path}\nNext: nucprof run-all {path}" in out
        return load_project(path), path.read_text(encoding="utf-8"), out

    def test_planes_count_and_not_words_in_the_name(self, capsys, tmp_path, painted):
        # three planes in a file whose name lists two channels
        data = np.zeros((3, 20, 24), np.uint16)
        truth = write_round(
            tmp_path / "rep1" / "GT",
            jobs("DNA,GFP"),
            data,
            photometric="rgb",
            planarconfig="separate",
        )
        project, text, out = self.init(capsys, tmp_path, "--cp", painted, "--gt", f"EdU={truth}")
        assert project.channels.cell_painting == ["DNA", "GFP"]
        assert project.channels.nuclei == "DNA"
        assert project.channels.ground_truth == {"EdU": ["C1", "C2", "C3"]}
        assert "not in the files: name them" in text
        assert "rep1, EdU: 2 fields" in out

    def test_the_real_two_rounds(self, capsys, tmp_path, shared_data):
        real = shared_data / "coculture"
        project, _, out = self.init(
            capsys, tmp_path, "--cp", real / "CP", "--gt", f"GT={real / 'GT'}",
            "--layout", real / "layout.xlsx", "--name", "co",
        )  # fmt: skip
        assert project.channels.cell_painting == ["DNA", "GFP"]
        assert project.channels.ground_truth == {"GT": ["C1", "C2", "C3"]}
        assert project.plates[0].layout == (real / "layout.xlsx").resolve()
        assert project.project.name == "co"
        assert "coculture, CP: 16 fields" in out

    def test_real_files_per_channel_are_numbered(self, capsys, tmp_path, shared_data):
        project, text, _ = self.init(capsys, tmp_path, "--cp", shared_data / "bbbc013" / "images")
        assert project.channels.cell_painting == ["C1", "C2"]
        assert project.rename.channel_map == {}  # named in one place, by their order
        assert (
            project.channels.nuclei == "C2"
        )  # DNA; the other is GFP, in the cytoplasm or the nucleus
        assert "compact bright objects a field: check it" in text

    def test_files_per_channel_with_words(self, capsys, tmp_path):
        names = [f"{well}-01_{c}.tif" for well in ("B-02", "B-03") for c in ("FITC", "DAPI")]
        folder = write_round(tmp_path / "p" / "CP", names, np.zeros((20, 24), np.uint16))
        project, text, _ = self.init(capsys, tmp_path, "--cp", folder)
        assert sorted(project.channels.cell_painting) == ["DAPI", "FITC"]
        assert project.channels.nuclei == "DAPI"
        assert "from the file names" in text
        assert "in the order" not in text  # each channel has a file of its own

    def test_two_plates_each_with_its_round(self, capsys, tmp_path):
        painted, truth = [], []
        for plate in ("rep1", "rep2"):
            data = np.zeros((2, 20, 24), np.uint16)
            how = {"photometric": "minisblack"}
            painted.append(write_round(tmp_path / plate / "CP", jobs("DNA,GFP"), data, **how))
            truth.append(write_round(tmp_path / plate / "GT", jobs("EdU,BrdU"), data, **how))
        project, text, _ = self.init(
            capsys, tmp_path, "--cp", painted[0], "--cp", painted[1],
            "--gt", f"T={truth[0]}", "--gt", f"T={truth[1]}",
        )  # fmt: skip
        assert [plate.name for plate in project.plates] == ["rep1", "rep2"]
        assert [plate.cell_painting for plate in project.plates] == painted
        assert [plate.ground_truth["T"] for plate in project.plates] == truth
        assert 'cell_painting = "rep1/CP"' in text  # relative to the file

    def test_names_with_spaces_and_brackets(self, capsys, tmp_path):
        data = np.zeros((2, 20, 24), np.uint16)
        folder = write_round(
            tmp_path / "my plate (µ)" / "CP",
            jobs("DNA 405,far red"),
            data,
            photometric="minisblack",
        )
        project, _, _ = self.init(capsys, tmp_path, "--cp", folder)
        assert project.plates[0].name == "my plate (µ)"
        assert project.channels.cell_painting == ["DNA 405", "far red"]

    def test_numbers_of_two_rounds_are_told_apart(self, capsys, tmp_path, painted):
        how = {"photometric": "minisblack"}
        truth = [
            write_round(tmp_path / name, ["B-02-01.tif"], np.zeros((2, 20, 24), np.uint16), **how)
            for name in ("G1", "G2")
        ]
        project, _, _ = self.init(
            capsys, tmp_path, "--cp", painted, "--gt", f"a.1={truth[0]}", "--gt", f"b={truth[1]}"
        )
        assert project.channels.ground_truth == {"a.1": ["C1", "C2"], "b": ["b_C1", "b_C2"]}
        assert project.rounds == ["a.1", "b"]

    def test_images_beside_the_project_file(self, capsys, tmp_path):
        data = np.zeros((2, 20, 24), np.uint16)
        folder = write_round(tmp_path / "rep1", jobs("DNA,GFP"), data, photometric="minisblack")
        project, _, _ = self.init(capsys, folder, "--cp", folder)
        assert project.project.output == tmp_path / "rep1-results"

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no quotes in names")
    def test_quotes_in_a_path(self, capsys, tmp_path):
        data = np.zeros((2, 20, 24), np.uint16)
        folder = write_round(
            tmp_path / 'a "b" \\c' / "CP", jobs("DNA,GFP"), data, photometric="minisblack"
        )
        project, _, _ = self.init(capsys, tmp_path, "--cp", folder)
        assert project.plates[0].cell_painting == folder

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["--cp", "{root}/none"], "There is no folder {root}/none"),
            (["--cp", "{root}/rep1"], "there is no image file (.nd2, .tif, .tiff, "),
            (["--cp", "{root}/rep1/CP", "--gt", "EdU"], "--gt EdU: expected NAME=DIR"),
            (["--cp", "{root}/rep1/CP", "--gt", "CP={root}/rep1/CP"], "--gt CP: this is the name"),
            (
                ["--cp", "{root}/rep1/CP", "--gt", "a,b={root}/rep1"],
                "--gt 'a,b': a name is made of",
            ),
            (["--cp", "{root}/rep1/CP", "--name", "my/plate"], "--name 'my/plate': a name is made"),
            (
                ["--cp", "{root}/rep1/CP", "--gt", "T={root}/rep1", "--gt", "T={root}/rep1"],
                "there are more folders of this round than plates",
            ),
            (
                ["--cp", "{root}/rep1/CP", "--layout", "{root}/none.xlsx"],
                "none.xlsx cannot be read",
            ),
        ],
    )
    def test_what_cannot_be_understood_writes_nothing(self, capsys, tmp_path, painted, words, told):
        words = [word.format(root=tmp_path.as_posix()) for word in words]
        status, _, err = call(capsys, "init", *words, "--output", tmp_path / "p.toml")
        assert status == 2
        assert told.format(root=tmp_path.as_posix()) in err.replace("\\", "/")
        assert not (tmp_path / "p.toml").exists()

    def test_a_project_file_is_never_overwritten(self, capsys, tmp_path, painted):
        (tmp_path / "p.toml").write_text("mine")
        status, _, err = call(capsys, "init", "--cp", painted, "--output", tmp_path / "p.toml")
        assert status == 2
        assert "exists already; choose another name with --output" in err
        assert (tmp_path / "p.toml").read_text() == "mine"

    def test_names_that_no_pattern_reads(self, capsys, tmp_path):
        folder = write_round(tmp_path / "p", ["scan 1.tif"], np.zeros((9, 9), np.uint8))
        status, _, err = call(capsys, "init", "--cp", folder, "--output", tmp_path / "p.toml")
        assert status == 2
        assert "No built-in pattern reads these file names, e.g. 'scan 1'" in err


def blobs(seed, count=12, side=96):
    """A plane with round bright objects on noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    plane = rng.normal(100, 5, (side, side))
    for cy, cx in rng.integers(6, side - 6, (count, 2)):
        plane += 800 * ((y - cy) ** 2 + (x - cx) ** 2 < 25)
    return plane.astype(np.uint16)


def noise(seed, side=96):
    return np.random.default_rng(seed).normal(100, 5, (side, side)).astype(np.uint16)


class TestGuess:
    """Names that no built-in pattern reads, and the nuclear stain by its pixels."""

    def plate(self, folder, form="Zelle {w} Bild {s} {c}", planes=None):
        folder.mkdir(parents=True, exist_ok=True)
        planes = planes or {"rot": noise, "blau": blobs}
        for number, (well, site) in enumerate(itertools.product(("B02", "C03"), (1, 2))):
            for channel, make in planes.items():
                name = form.format(w=well, s=site, c=channel) + ".tif"
                tifffile.imwrite(folder / name, make(number))
        return folder

    def test_the_proposal_is_shown_and_written_as_toml(self, capsys, tmp_path):
        folder = self.plate(tmp_path / "rep1" / "CP")
        path = tmp_path / "p.toml"
        status, out, err = call(capsys, "init", "--cp", folder, "--output", path)
        assert (status, err) == (0, "")
        assert "these names are new to nucprof" in out
        assert "Zelle B02 Bild 1 blau.tif  B02   1     blau     1  1" in out
        assert "4 fields in 2 wells, channels: blau, rot" in out
        project = load_project(path)
        assert user_pattern(project.rename.pattern).parse("Zelle D11 Bild 7 rot").key.site == 7
        assert project.channels.cell_painting == ["blau", "rot"]

    def test_the_nuclear_channel_by_its_pixels(self, capsys, tmp_path):
        folder = self.plate(tmp_path / "CP")
        _, out, _ = call(capsys, "init", "--cp", folder, "--output", tmp_path / "p.toml")
        assert load_project(tmp_path / "p.toml").channels.nuclei == "blau"
        assert "compact bright objects a field: check it" in out

    def test_an_empty_channel_is_not_nuclear_whatever_its_name(self, capsys, tmp_path):
        folder = self.plate(tmp_path / "CP", planes={"DAPI": noise, "x": blobs})
        _, out, _ = call(capsys, "init", "--cp", folder, "--output", tmp_path / "p.toml")
        assert load_project(tmp_path / "p.toml").channels.nuclei == "x"
        assert "DAPI is empty" in out

    def test_a_pattern_of_ones_own(self, capsys, tmp_path):
        folder = self.plate(tmp_path / "CP", "{c}.{s}.{w}.x")
        own = r"^(?P<channel>\w+)\.(?P<site>\d)\.(?P<well>\w+)\.x$"
        path = tmp_path / "p.toml"
        status, *_ = call(capsys, "init", "--cp", folder, "--pattern", own, "--output", path)
        assert status == 0
        assert f"pattern = '{own}'" in path.read_text(encoding="utf-8")
        assert load_project(path).rename.pattern == own

    def test_at_a_terminal_it_asks(self, capsys, tmp_path, monkeypatch):
        folder = self.plate(tmp_path / "CP")
        answers = iter(["(", r"Zelle (?P<well>\w+) Bild (?P<site>\d+) (?P<channel>\w+)", ""])
        monkeypatch.setattr("sys.stdin", types.SimpleNamespace(isatty=lambda: True))
        monkeypatch.setattr("builtins.input", lambda prompt: next(answers))
        _, out, _ = call(capsys, "init", "--cp", folder, "--output", tmp_path / "p.toml")
        assert "rename.pattern is not a regular expression" in out
        assert load_project(tmp_path / "p.toml").rename.pattern.startswith("Zelle (?P<well>")

    def test_the_end_of_the_input_is_no_answer(self, capsys, tmp_path, monkeypatch):
        def ended(prompt: str) -> str:
            raise EOFError

        folder = self.plate(tmp_path / "CP")
        monkeypatch.setattr("sys.stdin", types.SimpleNamespace(isatty=lambda: True))
        monkeypatch.setattr("builtins.input", ended)
        status, _, err = call(capsys, "init", "--cp", folder, "--output", tmp_path / "p.toml")
        assert (status, "Interrupted" in err) == (130, True)
        assert not (tmp_path / "p.toml").exists()

    def test_only_one_round_needs_a_pattern(self, capsys, tmp_path):
        painted = self.plate(tmp_path / "CP", "B-02-0{s}_{c}", planes={"DAPI": blobs})
        truth = self.plate(tmp_path / "GT", "Zelle {w} Bild {s} {c}", planes={"EdU": blobs})
        path = tmp_path / "p.toml"
        call(capsys, "init", "--cp", painted, "--gt", f"GT={truth}", "--output", path)
        assert list(load_project(path).rename.pattern) == ["GT"]


class TestAxes:
    def test_the_keys_to_set_and_the_command_that_sets_them(self, capsys, tmp_path):
        folder = tmp_path / "CP"
        folder.mkdir()
        data = np.stack([[[blobs(z + 3 * t)] for z in range(3)] for t in range(2)])
        tifffile.imwrite(folder / "B02.tif", data, imagej=True, metadata={"axes": "TZCYX"})
        path = tmp_path / "p.toml"
        status, out, _ = call(capsys, "init", "--cp", folder, "--output", path)
        assert status == 0
        assert "3 focal planes (Z) and 2 time points (T)" in out
        assert 'projection = "max" (or "mean", "best_focus", or a plane, 1 to 3), time = 1' in out
        assert f"Next: nucprof rename {path} --projection max --time 1 --save" in out
        assert "in the order in which the files store them" in path.read_text(encoding="utf-8")
        status, _, err = call(capsys, "rename", path)
        assert status == 2
        assert "the images have 3 focal planes (Z) and 2 time points (T); choose" in err
        status, *_ = call(capsys, "rename", path, "--projection", "max", "--time", 2, "--save")
        assert status == 0
        project = load_project(path)
        assert (project.rename.projection, project.rename.time) == ("max", 2)

    def test_the_same_choice_for_two_rounds_is_one_comment(self, capsys, tmp_path):
        data = np.stack([[blobs(z)] for z in range(3)])
        for name in ("CP", "GT"):
            (tmp_path / name).mkdir()
            place = tmp_path / name / "B02.tif"
            tifffile.imwrite(place, data, imagej=True, metadata={"axes": "ZCYX"})
        path = tmp_path / "p.toml"
        rounds = ("--cp", tmp_path / "CP", "--gt", f"EdU={tmp_path / 'GT'}")
        _, out, _ = call(capsys, "init", *rounds, "--output", path)
        text = path.read_text(encoding="utf-8")
        assert text.count("# projection =") == 1
        assert "# CP, EdU: choose before the first run" in text
        assert "CP, EdU: first choose under [rename]: projection" in out

    def test_chosen_at_once(self, capsys, tmp_path):
        folder = tmp_path / "CP"
        folder.mkdir()
        data = np.stack([[blobs(z)] for z in range(3)])
        tifffile.imwrite(folder / "B02.tif", data, imagej=True, metadata={"axes": "ZCYX"})
        path = tmp_path / "p.toml"
        call(capsys, "init", "--cp", folder, "--projection", 2, "--output", path)
        assert load_project(path).rename.projection == 2

    def test_a_projection_that_is_none(self, capsys, tmp_path):
        words = ("--cp", tmp_path, "--projection", "sum", "--output", tmp_path / "p.toml")
        status, _, err = call(capsys, "init", *words)
        assert status == 2
        assert "--projection sum" in err


class TestPlates:
    """Which folder and layout belong to which plate."""

    @pytest.fixture
    def root(self, tmp_path):
        for plate in ("rep1", "rep2"):
            for kind in ("CP", "GT"):
                (tmp_path / plate / kind).mkdir(parents=True)
                name = tmp_path / plate / kind / "B02.tif"
                tifffile.imwrite(name, blobs(1)[None], metadata={"axes": "CYX"})
            (tmp_path / plate / "layout.csv").write_text("well,culture\nB2,astro\n")
        return tmp_path

    def plates(self, capsys, root, *words):
        path = root / "p.toml"
        words = [word.format(r1=root / "rep1", r2=root / "rep2") for word in words]
        status, out, err = call(capsys, "init", *words, "--output", path)
        assert (status, err) == (0, "")
        return {
            p.name: (
                p.cell_painting.parent.name,
                {name: folder.parent.name for name, folder in p.ground_truth.items()},
                p.layout.parent.name if p.layout else None,
            )
            for p in load_project(path).plates
        }, out

    both: ClassVar = {
        "rep1": ("rep1", {"EdU": "rep1"}, "rep1"),
        "rep2": ("rep2", {"EdU": "rep2"}, "rep2"),
    }

    def test_by_the_folder_they_lie_in(self, capsys, root):
        found, out = self.plates(
            capsys, root, "--cp", "{r1}/CP", "--cp", "{r2}/CP", "--gt", "EdU={r2}/GT",
            "--gt", "EdU={r1}/GT", "--layout", "{r2}/layout.csv", "--layout", "{r1}/layout.csv",
        )  # fmt: skip
        assert found == self.both
        assert f"plate rep2: CP in {root / 'rep2' / 'CP'}, EdU in {root / 'rep2' / 'GT'}" in out

    def test_by_name(self, capsys, root):
        found, _ = self.plates(
            capsys, root, "--cp", "a={r1}/CP", "--cp", "b={r2}/CP", "--gt", "b/EdU={r1}/GT",
            "--layout", "b={r2}/layout.csv", "--layout", "a={r1}/layout.csv",
        )  # fmt: skip
        assert found == {"a": ("rep1", {}, "rep1"), "b": ("rep2", {"EdU": "rep1"}, "rep2")}

    def test_whole_plates(self, capsys, root):
        found, _ = self.plates(
            capsys, root, "--plate", "rep1", "{r1}/CP", "EdU={r1}/GT", "{r1}/layout.csv",
            "--plate", "rep2", "{r2}/CP", "-", "-",
        )  # fmt: skip
        assert found == {"rep1": self.both["rep1"], "rep2": ("rep2", {}, None)}

    def test_one_layout_for_all(self, capsys, root):
        found, out = self.plates(
            capsys, root, "--cp", "{r1}/CP", "--cp", "{r2}/CP", "--layout", "{r1}/layout.csv"
        )
        assert [layout for *_, layout in found.values()] == ["rep1", "rep1"]
        assert "A = astro (1 well)" in out

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            ([], "Name the folder of the Cell Painting images: --cp DIR"),
            (["--cp", "a={r1}/CP", "--cp", "a={r2}/CP"], "Two plates are called a"),
            (["--plate", "a", "{r1}/CP"], "expected --plate NAME CP GT LAYOUT"),
            (["--cp", "{r1}/CP", "--gt", "x/EdU={r1}/GT"], "no plate x lacks this round"),
            (["--cp", "{r1}/CP", "--layout", "x={r1}/layout.csv"], "there is no plate x without"),
        ],
    )
    def test_what_is_refused(self, capsys, root, words, told):
        words = [word.format(r1=root / "rep1", r2=root / "rep2") for word in words]
        status, _, err = call(capsys, "init", *words, "--output", root / "p.toml")
        assert status == 2
        assert told in err
