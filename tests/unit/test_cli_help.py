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
heavy = ("torch", "tensorflow", "stardist", "cellpose", "numpy", "pandas", "scipy", "sklearn",
         "skimage", "matplotlib", "numba", "tifffile", "nd2", "umap")
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
            if name.startswith("stardist"):
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
        place = out.index("state")
        lines = {line.split()[0]: line[place:] for line in out.splitlines()}
        assert lines["rename"] == "will run: 1 of 1 to do: not run yet"
        assert lines["segment"] == "will run after rename"
        assert lines["train-rf"].startswith("will run after")
        assert set(tmp_path.rglob("*")) == before

    def test_a_missing_project(self, capsys):
        status, _, err = call(capsys, "status", Path("nowhere") / "project.toml")
        assert status == 2
        assert "There is no project file" in err
