"""``status`` and ``clean``: what is there, how it was made, and what is deleted."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app

SHAPE = (40, 52)


@pytest.fixture
def call(masked_plate, paint, capsys):
    """Run a command on a plate of two fields that is processed up to the crops."""
    rng = np.random.default_rng(0)
    for field in ("B-02-01", "B-03-01"):
        image = rng.integers(1, 999, (2, *SHAPE), dtype=np.uint16)
        masked_plate.add(field, image, paint(SHAPE, {2: (8, 9, 6, 6), 5: (20, 30, 5, 7)}))
    masked_plate.settings = "[crop]\npatch_size = 12\n"

    def run(*words):
        first, *rest = words
        status = run_app(build_app(), [*first.split(), str(masked_plate.project), *rest])
        out, err = capsys.readouterr()
        return status, out, err

    assert run("run-all", "--until", "crop")[0] == 0
    return run


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_status_tells_what_is_there_and_how_large_it_is(call, masked_plate):
    rows = {line.split()[0]: line.split()[1:] for line in call("status")[1].splitlines()}
    assert rows["stage"] == ["done", "time", "size", "state"]
    masks = sum(p.stat().st_size for p in (masked_plate.root / "results" / "masks").rglob("*.tif"))
    done, _, unit, size, *_ = rows["segment"]
    assert (done, unit) == ("2", "s")
    assert float(size) * 1000 >= masks
    assert rows["features"][:3] == ["-", "-", "-"]


def test_provenance_names_settings_and_the_commands_to_repeat(call, masked_plate):
    assert call("segment", "--pmin", "2", "--force")[0] == 0
    status, out, _ = call("status", "--provenance")
    assert status == 0
    assert "  crop.patch_size = 12" in out
    assert "segment.pmax" not in out  # at its default
    assert "pmin = 2.0" in out.partition("To run it again")[2]  # was given as a flag
    assert f"nucprof run-all {masked_plate.project}" in out
    assert "numpy" in out


class TestClean:
    def test_without_a_choice_it_only_lists(self, call, masked_plate):
        before = contents(masked_plate.root)
        status, out, _ = call("clean")
        assert status == 0
        assert [line.split()[0] for line in out.splitlines()[:2]] == ["segment", "crop"]
        assert "rename" not in out
        assert contents(masked_plate.root) == before

    def test_without_a_terminal_it_asks_for_yes(self, call, masked_plate):
        before = contents(masked_plate.root)
        status, out, _ = call("clean", "--stage", "crop")
        assert status == 0
        assert "add --yes" in out
        assert contents(masked_plate.root) == before

    def test_what_is_deleted_is_made_again_identically(self, call, masked_plate):
        results = masked_plate.root / "results"
        before = contents(results / "crops")
        (results / "crops" / "notes.txt").write_text("mine")
        status, out, _ = call("clean", "--stage", "crop", "--yes")
        assert status == 0
        assert "Deleted" in out
        assert [p.name for p in (results / "crops").rglob("*") if p.is_file()] == ["notes.txt"]
        assert call("run-all", "--until", "crop")[0] == 0
        (results / "crops" / "notes.txt").unlink()
        assert contents(results / "crops") == before

    @pytest.mark.parametrize("name", ["rename", "features", "nothing"])
    def test_a_stage_without_files_to_delete_is_named(self, call, name):
        status, _, err = call("clean", "--stage", name, "--yes")
        assert status == 2
        assert f"--stage {name}: there is nothing to delete" in err
        assert "segment, crop" in err

    def test_a_journal_that_names_another_file_does_not_delete_it(self, call, masked_plate):
        mine = masked_plate.root / "mine.txt"
        mine.write_text("mine")
        journal = masked_plate.root / "results" / "journal" / "crop.jsonl"
        lines = [json.loads(line) for line in journal.read_text().splitlines()]
        lines[0]["outputs"]["<results>/../mine.txt"] = [4, 1, "x"]
        lines[0]["outputs"][str(mine)] = [4, 1, "x"]
        journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
        call("clean", "--stage", "crop", "--yes")
        assert mine.read_text() == "mine"
