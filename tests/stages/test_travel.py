"""A project moved, copied, and stripped of its raw images: what runs, and what asks for them."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app
from nucprof.config import load_project
from nucprof.demo.plate import write_demo
from nucprof.io.images import write_image
from nucprof.run.pipeline import Run
from nucprof.stages import stage

SMALL = {"shape": (80, 90), "cells": 8, "wells": {"astro": ["B02"], "neuro": ["C03"]}}
DONE = ("rename", "segment", "align", "features")


@pytest.fixture(scope="module")
def processed(tmp_path_factory):
    """A small plate, measured; tests work on copies."""
    root = tmp_path_factory.mktemp("travel") / "plate"
    path = write_demo(root, **SMALL).project
    path.write_text(
        path.read_text() + '\n[segment]\nbackend = "watershed"\n[execution]\nworkers = 1\n'
    )
    for name in DONE:
        assert Run(load_project(path)).run_stage(stage(name)).status == "done"
    return root


@pytest.fixture
def project(processed, tmp_path):
    return shutil.copytree(processed, tmp_path / "copied") / "project.toml"


def call(capsys, *words):
    status = run_app(build_app(), [str(word) for word in words])
    out, err = capsys.readouterr()
    return status, out + err


def states(project):
    run = Run(load_project(project))
    return {name: run.run_stage(stage(name)).status for name in DONE}


class TestWithoutImages:
    @pytest.fixture(autouse=True)
    def _strip(self, project):
        for name in ("CP", "GT"):
            shutil.rmtree(project.parent / name)

    def test_status_tells_what_is_there(self, capsys, project):
        status, out = call(capsys, "status", project)
        assert status == 0
        assert "there is no such folder" in out

    def test_what_needs_no_pixels_runs(self, capsys, project):
        # markers by hand: two wells are too few for the automatic gate
        words = ("--class", "astro=EdU", "--class", "neuro=BrdU", "--cutoff", "EdU=300")
        status, out = call(capsys, "gate", project, *words, "--cutoff", "BrdU=300")
        assert status == 0, out
        assert (project.parent / "results" / "gate" / "GT_data.csv").is_file()

    @pytest.mark.parametrize("name", ["rename", "run-all"])
    def test_what_needs_them_asks_by_name(self, capsys, project, name):
        status, out = call(capsys, name, project)
        assert status == 2
        assert f"({project.parent / 'CP'}): there is no such folder" in out
        assert "nucprof relink PROJECT --cp NEW" in out


class TestRelink:
    @pytest.fixture
    def elsewhere(self, project, tmp_path):
        """The images on another disk."""
        for name in ("CP", "GT"):
            shutil.move(project.parent / name, tmp_path / "disk" / name)
        return tmp_path / "disk"

    def test_found_by_content_and_nothing_is_done_again(self, capsys, project, elsewhere):
        words = ("--cp", elsewhere / "CP", "--gt", f"EdU_BrdU={elsewhere / 'GT'}")
        status, out = call(capsys, "relink", project, *words)
        assert status == 0, out
        assert f"plate demo, round CP: 2 files found in {elsewhere / 'CP'}" in out
        plate = load_project(project).plates[0]
        assert plate.cell_painting == elsewhere / "CP"
        assert plate.ground_truth == {"EdU_BrdU": elsewhere / "GT"}
        assert "# " in project.read_text()  # comments stay
        rest = dict.fromkeys(DONE[1:], "up to date")
        assert states(project) == {"rename": "done", **rest}

    def test_an_edited_path_does_as_well(self, project, elsewhere):
        text = project.read_text().replace('"CP"', f'"{(elsewhere / "CP").as_posix()}"')
        project.write_text(text.replace('"GT"', f'"{(elsewhere / "GT").as_posix()}"'))
        assert states(project) == {"rename": "done", **dict.fromkeys(DONE[1:], "up to date")}

    def test_below_the_project_a_path_is_relative(self, capsys, project):
        (project.parent / "raw").mkdir()
        shutil.move(project.parent / "CP", project.parent / "raw" / "CP")
        status, out = call(capsys, "relink", project, "--cp", project.parent / "raw" / "CP")
        assert status == 0, out
        assert 'cell_painting = "raw/CP"' in project.read_text()

    @pytest.mark.parametrize(
        ("change", "told"),
        [("other", "1 of 2 files differ from"), ("gone", "lacks 1 of 2 files")],
    )
    def test_other_images_are_refused(self, capsys, project, elsewhere, change, told):
        path = next((elsewhere / "CP").iterdir())
        if change == "gone":
            path.unlink()
        else:
            write_image(path, np.zeros((4, 80, 90), np.uint16))
        before = project.read_text()
        status, out = call(capsys, "relink", project, "--cp", elsewhere / "CP")
        assert status == 2
        assert told in out
        assert project.read_text() == before

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            ((), "Say where the images are now"),
            (("--cp", "x={new}/CP"), "names no one folder; plates (and rounds) are: demo (CP, "),
            (("--gt", "EdU={new}/GT"), "names no one folder"),
            (("--cp", "{new}/none"), "There is no folder"),
            (("--cp", "{new}"), "They may be in {new}/CP."),
        ],
    )
    def test_names_that_fit_nothing(self, capsys, project, elsewhere, words, told):
        status, out = call(capsys, "relink", project, *(w.format(new=elsewhere) for w in words))
        assert status == 2
        assert told.format(new=elsewhere) in out

    def test_nothing_has_been_listed(self, capsys, project):
        shutil.rmtree(project.parent / "results")
        status, out = call(capsys, "relink", project, "--cp", project.parent / "CP")
        assert status == 2
        assert "edit the folders in the project file" in out
