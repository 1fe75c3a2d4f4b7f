"""Commands about the project as a whole: the help, init, demo, doctor, status."""

from __future__ import annotations

import importlib.machinery
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import tifffile

from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app
from nucprof.config import load_project
from nucprof.demo.plate import write_demo
from nucprof.errors import UserError
from nucprof.io.images import read_image
from nucprof.project import doctor
from nucprof.segmentation import choose


def call(capsys, *words):
    """Run a command; its status, what it said, and what it complained of."""
    status = run_app(build_app(), [str(word) for word in words])
    out, err = capsys.readouterr()
    return status, out, err


class TestHelp:
    SCRIPT = """
import sys
from nucprof.cli import main
sys.argv = ["nucprof", *{words!r}]
try:
    main()
except SystemExit as end:
    print("STATUS", end.code)
heavy = ("torch", "tensorflow", "stardist", "cellpose", "pandas", "scipy", "sklearn", "skimage",
         "matplotlib", "numba", "tifffile", "nd2", "umap")
print("LOADED", [name for name in heavy if name in sys.modules])
"""

    @pytest.mark.parametrize(
        "words", [["--help"], ["segment", "--help"], ["train", "rf", "--help"]]
    )
    def test_it_loads_nothing_heavy(self, words):
        # in a process of its own: this one has loaded all of it
        done = subprocess.run(
            [sys.executable, "-c", self.SCRIPT.format(words=words)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={**os.environ, "COLUMNS": "120", "PYTHONIOENCODING": "utf-8"},
            check=True,
        )
        *_, status, loaded = done.stdout.splitlines()
        assert status == "STATUS 0"
        assert loaded == "LOADED []"

    def test_it_lists_the_commands(self, capsys):
        status, out, _ = call(capsys, "--help")
        assert status == 0
        for name in ("init", "demo", "doctor", "status", "rename", "segment", "align", "crop"):
            assert name in out
        for name in ("features", "gate", "train", "run-all"):
            assert name in out

    def test_python_m_nucprof(self):
        done = subprocess.run(
            [sys.executable, "-m", "nucprof", "--version"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith("nucprof ")


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
        assert f"Next: nucprof run-all {path} --dry-run" in out
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
        assert project.rename.channel_map == {"1": "C1", "2": "C2"}
        assert 'nuclei = "C1"   # a guess: check it' in text

    def test_files_per_channel_with_words(self, capsys, tmp_path):
        names = [f"{well}-01_{c}.tif" for well in ("B-02", "B-03") for c in ("FITC", "DAPI")]
        folder = write_round(tmp_path / "p" / "CP", names, np.zeros((20, 24), np.uint16))
        project, text, _ = self.init(capsys, tmp_path, "--cp", folder)
        assert sorted(project.channels.cell_painting) == ["DAPI", "FITC"]
        assert project.channels.nuclei == "DAPI"
        assert "from the file names" in text

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

    def test_a_folder_name_that_is_no_plate_name(self, capsys, tmp_path):
        data = np.zeros((2, 20, 24), np.uint16)
        folder = write_round(
            tmp_path / "my plate (µ)" / "CP",
            jobs("DNA 405,far red"),
            data,
            photometric="minisblack",
        )
        project, _, _ = self.init(capsys, tmp_path, "--cp", folder)
        assert project.plates[0].name == "my_plate"
        assert project.channels.cell_painting == ["DNA_405", "far_red"]

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
            (["--cp", "{root}/rep1"], "there is no image file (.nd2, .tif, .tiff)"),
            (["--cp", "{root}/rep1/CP", "--gt", "EdU"], "--gt EdU: expected NAME=DIR"),
            (["--cp", "{root}/rep1/CP", "--gt", "CP={root}/rep1/CP"], "--gt CP: this is the name"),
            (["--cp", "{root}/rep1/CP", "--gt", "a b={root}/rep1"], "--gt a b: a name is made of"),
            (["--cp", "{root}/rep1/CP", "--name", "my/plate"], "--name my/plate: a name is made"),
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


SMALL = {"shape": (60, 70), "cells": 4, "wells": {"astro": ["B02"], "neuro": ["C03"]}}


class TestDemo:
    def test_it_is_a_project(self, tmp_path):
        demo = write_demo(tmp_path / "d", **SMALL)
        project = load_project(demo.project)
        assert project.channels.cell_painting == ["DAPI", "FITC", "Cy3", "Cy5"]
        assert sorted(demo.shifts["field"]) == ["B-02-01", "C-03-01"]
        image = read_image(next(iter(sorted((tmp_path / "d" / "CP").iterdir()))))
        assert (image.shape, image.dtype) == ((4, 60, 70), np.uint16)

    def test_the_same_seed_gives_the_same_plate(self, tmp_path):
        def pixels(name, seed):
            write_demo(tmp_path / name, seed=seed, **SMALL)
            return [read_image(path) for path in sorted((tmp_path / name).rglob("*Channel*.tif"))]

        first, again, other = pixels("a", 1), pixels("b", 1), pixels("c", 2)
        assert len(first) == 4
        assert all(np.array_equal(x, y) for x, y in zip(first, again, strict=True))
        assert not any(np.array_equal(x, y) for x, y in zip(first, other, strict=True))

    def test_a_folder_that_is_not_empty_is_refused(self, tmp_path):
        (tmp_path / "mine.txt").write_text("x")
        with pytest.raises(UserError, match="is not empty; name a new folder"):
            write_demo(tmp_path, **SMALL)
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

    def test_the_command_refuses_it_too(self, capsys, tmp_path):
        (tmp_path / "mine.txt").write_text("x")
        status, _, err = call(capsys, "demo", tmp_path)
        assert status == 2
        assert "is not empty" in err


class TestDoctor:
    @pytest.fixture(autouse=True)
    def _torch(self, monkeypatch):
        """Torch as a GPU-less machine has it; importing the real one takes seconds."""
        fake = types.SimpleNamespace(
            __spec__=importlib.machinery.ModuleSpec("torch", None),
            cuda=types.SimpleNamespace(
                is_available=lambda: self.gpu, get_device_name=lambda number: "H200"
            ),
            backends=types.SimpleNamespace(mps=types.SimpleNamespace(is_available=lambda: False)),
        )
        monkeypatch.setitem(sys.modules, "torch", fake)

    gpu = False

    @pytest.mark.parametrize(("gpu", "told"), [(True, "GPU for torch: H200"), (False, "no GPU")])
    def test_the_gpu(self, capsys, monkeypatch, gpu, told):
        monkeypatch.setattr(type(self), "gpu", gpu)
        status, out, _ = call(capsys, "doctor")
        assert status == 0
        assert told in out

    @pytest.fixture
    def project(self, tmp_path):
        path = write_demo(tmp_path / "d", **SMALL).project
        path.write_text(path.read_text() + '\n[segment]\nbackend = "watershed"\n')
        return path

    def test_the_machine(self, capsys):
        status, out, _ = call(capsys, "doctor")
        assert status == 0
        assert "Python" in out
        assert "cores" in out
        assert "FAIL" not in out

    def test_a_project(self, capsys, project):
        before = set(project.parent.rglob("*"))
        status, out, _ = call(capsys, "doctor", project)
        assert status == 0
        assert f"{project} is valid" in out
        assert "segmentation by watershed" in out
        assert "round CP" in out
        assert "2 files" in out
        assert "4 x 60 x 70 uint16" in out
        assert "results need about" in out
        assert set(project.parent.rglob("*")) == before

    @pytest.mark.parametrize(("gpu", "backend"), [(True, "cellpose"), (False, "propagate")])
    def test_whole_cells_are_found_by_what_the_machine_has(
        self, capsys, project, monkeypatch, gpu, backend
    ):
        monkeypatch.setattr(choose, "resolve_device", lambda device: "cuda:0" if gpu else "cpu")
        monkeypatch.setattr(doctor, "find_model", lambda *rest: Path("w"))
        text = project.read_text().replace('backend = "watershed"', 'mode = "cells"')
        project.write_text(text)
        assert f"segmentation by {backend}" in call(capsys, "doctor", project)[1]

    def test_a_wrong_project(self, capsys, project):
        project.write_text(project.read_text() + "pmn = 1\n")
        status, out, _ = call(capsys, "doctor", project)
        assert status == 2
        assert "FAIL  " in out
        assert "unknown key 'segment.pmn'; did you mean 'pmin'?" in out

    def test_a_disk_that_is_full(self, capsys, project, monkeypatch):
        import shutil

        monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=10))
        status, out, _ = call(capsys, "doctor", project)
        assert status == 2
        assert "FAIL  results need about" in out

    def test_a_library_that_is_missing(self, capsys, monkeypatch):
        from importlib import metadata

        def version(name):
            if name == "stardist":
                raise metadata.PackageNotFoundError(name)
            return "1.0"

        monkeypatch.setattr(metadata, "version", version)
        status, out, _ = call(capsys, "doctor")
        assert status == 2
        assert "FAIL  stardist is not installed; run: pip install nucprof" in out


class TestStatus:
    def test_nothing_was_done(self, capsys, tmp_path):
        project = write_demo(tmp_path / "d", **SMALL).project
        before = set(tmp_path.rglob("*"))
        status, out, _ = call(capsys, "status", project)
        assert status == 0
        lines = dict(line.split(maxsplit=1) for line in out.splitlines())
        assert lines["rename"] == "will run: 1 of 1 to do: not run yet"
        assert lines["segment"] == "will run after rename"
        assert lines["train-rf"].startswith("will run after")
        assert set(tmp_path.rglob("*")) == before

    def test_a_missing_project(self, capsys):
        status, _, err = call(capsys, "status", Path("nowhere") / "project.toml")
        assert status == 2
        assert "There is no project file" in err
