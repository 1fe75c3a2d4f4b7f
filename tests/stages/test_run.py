"""Running stages: what is done again, what is refused, what remains, and the exit status."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest

from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app
from nucprof.config import load_project
from nucprof.demo.plate import write_demo
from nucprof.errors import FieldError
from nucprof.io.images import read_labels, write_labels
from nucprof.io.tables import read_table
from nucprof.run.lock import locked
from nucprof.run.pipeline import Options, Run
from nucprof.stages import stage

SHAPE = (40, 52)
SETTINGS = "[features]\npatch_size = 14\ntextures = false\n[crop]\npatch_size = 12\n"


@pytest.fixture
def plate(masked_plate, paint):
    """Three fields of two cells each, without ground truth."""
    rng = np.random.default_rng(0)
    for field in ("B-02-01", "B-03-01", "C-02-01"):
        image = rng.integers(1, 999, (2, *SHAPE), dtype=np.uint16)
        masked_plate.add(field, image, paint(SHAPE, {2: (8, 9, 6, 6), 5: (20, 30, 5, 7)}))
    masked_plate.settings = SETTINGS
    return masked_plate


@pytest.fixture
def call(plate, capsys):
    """Run a command on the plate; exit status, what it said, what it complained of."""

    def run(*words):
        first, *rest = words
        status = run_app(build_app(), [*first.split(), str(plate.project), *rest])
        out, err = capsys.readouterr()
        return status, out, err

    return run


def states(out):
    """Stage -> state, of `status` (whose first line names the columns) and of a dry run."""
    lines = out.splitlines()
    if lines[0].startswith("stage "):
        place = lines[0].index("state")
        return {line.split()[0]: line[place:] for line in lines[1:]}
    return dict(line.split(maxsplit=1) for line in lines)


class TestRunAll:
    def test_a_second_run_does_nothing_and_says_so(self, call, plate):
        assert call("run-all", "--until", "features")[0] == 0
        before = {p: p.stat().st_mtime_ns for p in (plate.root / "results").rglob("*")}
        status, out, err = call("run-all", "--until", "features")
        assert status == 0
        assert "Everything is up to date; nothing was done." in out
        # The plate is noise, and its doubts are repeated; there is no other complaint.
        assert all(line.startswith("doubtful: ") for line in err.splitlines())
        after = {p: p.stat().st_mtime_ns for p in (plate.root / "results").rglob("*")}
        lock = plate.root / "results"
        assert {p: t for p, t in after.items() if p != lock} == {
            p: t for p, t in before.items() if p != lock
        }

    def test_only_what_depends_on_a_change_runs(self, call, plate):
        assert call("run-all", "--until", "features")[0] == 0
        plate.settings = SETTINGS.replace("patch_size = 12", "patch_size = 10")
        status, out, _ = call("run-all", "--until", "features", "--dry-run")
        assert status == 0
        found = states(out)
        assert found["segment"] == "up to date (3 done)"
        assert found["align"] == "not needed (the project has no ground-truth round)"
        assert found["features"] == "up to date (3 done)"
        assert found["crop"] == (
            "will run: 3 of 3 to do: settings changed (crop.patch_size 12 -> 10)"
        )

    def test_a_dry_run_does_nothing(self, call, plate):
        assert call("run-all", "--dry-run")[0] == 0
        assert not (plate.root / "results").exists()

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["--from", "segmnt"], "There is no stage 'segmnt'; stages are rename, segment, align"),
            (["--until", "x"], "There is no stage 'x'"),
            (["--from", "crop", "--until", "segment"], "--from crop lies after --until segment"),
        ],
    )
    def test_stages_that_are_not_there(self, call, words, told):
        status, _, err = call("run-all", *words)
        assert status == 2
        assert told in err

    def test_an_input_stage_has_not_run(self, call):
        status, _, err = call("run-all", "--from", "crop")
        assert status == 2
        assert "has not run yet; run: nucprof" in err

    @pytest.fixture
    def counted(self, monkeypatch):
        """Stages that were planned, that is, looked at in full."""
        planned = []
        assess = Run.assess
        monkeypatch.setattr(
            Run, "assess", lambda self, s, **o: planned.append(s.name) or assess(self, s, **o)
        )
        return planned

    def test_status_looks_closer_only_where_something_changed(self, call, counted):
        call("run-all", "--until", "features")
        counted.clear()
        first = call("status")
        assert {"segment", "features"} & set(counted) == set()
        assert states(first[1])["features"] == "up to date (3 done)"
        assert call("run-all", "--until", "features")[0] == 0
        assert counted == []

    @pytest.mark.parametrize(
        ("where", "stage_name", "told"),
        [
            ("results/masks/p/nuclei/B-02-01.tif", "segment", "output missing or changed"),
            ("results/features/CP.parquet", "features", "output missing or changed"),
            ("results/journal/crop.jsonl", "crop", "will run: 3 of 3 to do: not run yet"),
            ("made/C-02-01.tif", "segment", "will run: 1 of 3 to do"),
            ("CP/B-03-01.tif", "rename", "will run: 1 of 1 to do"),
        ],
    )
    def test_whatever_vanishes_is_seen(self, call, plate, where, stage_name, told):
        call("run-all", "--until", "features")
        assert states(call("status")[1])["features"] == "up to date (3 done)"
        (plate.root / where).unlink()
        assert told in states(call("status")[1])[stage_name]

    def test_a_new_raw_file_is_seen(self, call, plate):
        call("run-all", "--until", "features")
        for folder in ("made", "CP"):
            shutil.copy(plate.root / folder / "B-02-01.tif", plate.root / folder / "B-02-02.tif")
        assert states(call("status")[1])["rename"].startswith("will run")
        assert call("run-all", "--until", "features")[0] == 0
        assert states(call("status")[1])["features"] == "up to date (4 done)"

    def test_changed_settings_are_seen_and_taken_back(self, call, plate):
        call("run-all", "--until", "features")
        plate.settings = SETTINGS.replace("patch_size = 12", "patch_size = 10")
        assert states(call("status")[1])["crop"].startswith("will run")
        plate.settings = SETTINGS
        assert states(call("status")[1])["crop"] == "up to date (3 done)"

    @pytest.mark.parametrize("damage", ["", "{", "[]", '{"key": 1}'])
    def test_a_damaged_memory_is_found_out_anew(self, call, plate, damage):
        call("run-all", "--until", "features")
        (plate.root / "results" / "journal" / "states.json").write_text(damage)
        assert states(call("status")[1])["features"] == "up to date (3 done)"

    def test_events_as_json(self, call, plate):
        log = plate.root / "logs" / "events.jsonl"
        assert call("run-all", "--until", "segment", "--json-log", str(log), "--quiet")[0] == 0
        events = [json.loads(line) for line in log.read_text().splitlines()]
        names = [(e["event"], e["stage"]) for e in events]
        assert names == [
            ("stage_started", "rename"),
            ("job", "rename"),
            ("stage_finished", "rename"),
            ("stage_started", "segment"),
            ("job", "segment"),
            ("job", "segment"),
            ("job", "segment"),
            ("stage_finished", "segment"),
        ]
        assert events[-1]["counts"]["cells"] == 6

    def test_quiet_prints_warnings_only(self, call):
        status, out, err = call("run-all", "--until", "segment", "--quiet")
        assert (status, out) == (0, "")
        assert "fields stand out" in err  # masks on noise are worth a look


class TestFailures:
    @pytest.fixture
    def broken(self, monkeypatch):
        """One field whose segmentation fails; undone by ``broken.undo()``."""
        import nucprof.stages.segment.field as module

        read = module.read_sources

        def fail(job, *rest):
            if job.field == "B-02-01":
                raise FieldError("the disk has gone away")
            return read(job, *rest)

        monkeypatch.setattr(module, "read_sources", fail)
        return monkeypatch

    def test_a_file_that_cannot_be_read_leaves_out_its_field(self, call, plate):
        path = plate.root / "CP" / "B-02-01.tif"
        path.write_bytes(path.read_bytes()[:3000])
        status, _, err = call("run-all", "--until", "features", "--workers", "1")
        assert status == 0
        assert "field B-02-01 left out" in err
        table = read_table(plate.root / "results" / "features" / "CP.parquet")
        assert sorted(table["Metadata_Well"].unique()) == ["B03", "C02"]

    def test_the_run_stops_at_the_first_failure(self, call, plate, broken):
        status, out, err = call("run-all", "--until", "features", "--workers", "1")
        assert status == 1
        assert "failed p/B-02-01" in err
        assert "or continue without them with --keep-going" in err
        assert "crop" not in out
        manifest = json.loads((plate.root / "results" / "manifest.json").read_text())
        assert manifest["stages"]["segment"]["status"] == "failed"
        assert manifest["stages"]["segment"]["failures"][0]["field"] == "B-02-01"

    def test_keep_going_does_all_else_and_still_says_so(self, call, plate, broken):
        words = ("--until", "features", "--keep-going", "--workers", "1")
        assert call("run-all", *words)[0] == 1
        table = read_table(plate.root / "results" / "features" / "CP.parquet")
        assert sorted(table["Metadata_Well"].unique()) == ["B03", "C02"]

    def test_a_mended_field_is_done_alone(self, call, plate, broken, paint):
        call("run-all", "--until", "features", "--keep-going", "--workers", "1")
        broken.undo()
        status, out, _ = call("run-all", "--until", "features")
        assert status == 0
        assert "segment: 1 of 3 to do: failed last time" in out
        assert "features: 1 of 3 to do: not run yet" in out
        table = read_table(plate.root / "results" / "features" / "CP.parquet")
        assert len(table) == 6

    def test_a_bug_fails_its_field_with_a_traceback_in_the_journal(self, call, plate, monkeypatch):
        import nucprof.stages.crop as module

        read = module.read_sources

        def fail(job, *rest):
            if job.field == "B-03-01":
                raise ZeroDivisionError("a bug")
            return read(job, *rest)

        monkeypatch.setattr(module, "read_sources", fail)
        assert call("run-all", "--until", "crop", "--keep-going")[0] == 1
        run = Run(load_project(plate.project))
        entry = run.entries("crop")["p", "B-03-01"]
        assert "failed (ZeroDivisionError: a bug)" in entry.message
        assert "Traceback (most recent call last)" in entry.trace
        assert run.entries("crop")["p", "C-02-01"].status == "done"

    def test_an_interrupted_stage_goes_on_at_the_field(self, call, plate, monkeypatch):
        import nucprof.stages.crop as module

        read = module.read_sources
        begun = []

        def interrupt(job, *rest):
            begun.append(job.field)
            if len(begun) == 2:
                raise KeyboardInterrupt
            return read(job, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(module, "read_sources", interrupt)
            status, _, err = call("run-all", "--until", "features")
        assert status == 130
        assert "Finished work is kept" in err
        with locked(plate.root / "results" / ".lock", "x"):
            pass  # free again
        status, out, _ = call("run-all", "--until", "features")
        assert status == 0
        assert "crop: 2 of 3 to do: not run yet" in out
        table = read_table(plate.root / "results" / "crops" / "nucleocentric_12" / "index.parquet")
        assert len(table) == 6


class TestOverrides:
    def test_flags_say_how_to_make_them_permanent(self, call):
        call("run-all", "--until", "segment")
        status, out, _ = call("features", "--patch-size", "16")
        assert status == 0
        assert "To make these settings permanent" in out
        assert "  [features]\n  patch_size = 16\n" in out

    def test_run_all_does_not_undo_them(self, call, plate):
        call("run-all", "--until", "features")
        assert call("features", "--patch-size", "16")[0] == 0
        status, _, err = call("run-all")
        assert status == 2
        assert "'features' was run with features.patch_size = 16" in err
        assert "--save" in err
        assert call("run-all", "--until", "crop")[0] == 0  # features is no part of this
        assert call("run-all", "--until", "features", "--force")[0] == 0
        run = Run(load_project(plate.project))
        assert run.manifest.stages["features"].overrides == {}

    def test_save_writes_them_into_the_file(self, call, plate):
        call("run-all", "--until", "segment")
        path = plate.project
        status, out, _ = call("features", "--patch-size", "16", "--save")
        assert status == 0
        assert f"Saved in {path}: features.patch_size" in out
        text = path.read_text()
        assert "patch_size = 16" in text
        assert load_project(path).features.patch_size == 16

    def test_flags_that_say_what_the_file_says_are_no_overrides(self, call, plate):
        call("run-all", "--until", "segment")
        _, out, _ = call("features", "--patch-size", "14")
        assert "permanent" not in out


class TestLock:
    def test_a_folder_that_another_process_writes(self, call, plate):
        path = plate.root / "results" / ".lock"
        with locked(path, "nucprof run-all"):
            before = set(path.parent.iterdir())
            status, _, err = call("segment")
            assert status == 2
            assert f"is being written by process {os.getpid()}" in err
            assert set(path.parent.iterdir()) == before


def test_the_ledger_forgets_what_later_stages_said_of_older_masks(tmp_path):
    # segment a field anew, then run align for another field only: what align once said of the first
    # field is about cells that no longer are
    wells = {"astro": ["B02"], "neuro": ["C02"]}
    demo = write_demo(tmp_path / "d", shape=(100, 110), cells=9, wells=wells, max_shift_px=8)
    masks = demo.folder / "truth" / "nuclei"
    text = f'[segment]\nbackend = "labels"\npath = "{masks.as_posix()}"\nclear_border = false\n'
    demo.project.write_text(demo.project.read_text() + text + "[execution]\nworkers = 1\n")

    def run(name, **options):
        return Run(load_project(demo.project), Options(**options)).run_stage(stage(name))

    for name in ("rename", "segment", "align"):
        assert run(name).status == "done"
    path = demo.folder / "results" / "cells.parquet"
    table = read_table(path)
    first = table[table["Metadata_Well"] == "B02"]
    dropped = first[first["stage"] == "align"]["Metadata_ObjectNumber"].tolist()
    assert dropped  # cells at the border lie outside the moved round

    labels = read_labels(masks / "B-02-01.tif")
    labels[np.isin(labels, dropped)] = 0
    write_labels(masks / "B-02-01.tif", labels)
    assert run("segment").status == "done"
    assert run("align", fields=("C02",), force=True).status == "partial"
    table = read_table(path)
    first = table[table["Metadata_Well"] == "B02"]
    assert first["Metadata_ObjectNumber"].tolist() == np.unique(labels)[1:].tolist()
    assert set(first["status"]) == {"kept"}
    second = table[table["Metadata_Well"] == "C02"]
    assert set(second["stage"]) == {"", "align"}


def test_force_is_about_the_stage_asked_for_alone(call):
    assert call("run-all", "--until", "features")[0] == 0
    status, out, err = call("features", "--force")
    assert status == 0
    assert "3 of 3 to do: forced" in out
    assert err == ""


def test_force_for_some_fields_keeps_the_rows_of_the_others(call, plate):
    assert call("run-all", "--until", "features")[0] == 0
    path = plate.root / "results" / "features" / "CP.parquet"
    before = read_table(path)
    status, out, _ = call("features", "--force", "--fields", "B-03-01")
    assert status == 0
    assert "1 of 3 to do: forced" in out
    assert "CP: 6 cells" in out
    pd.testing.assert_frame_equal(read_table(path), before)
    assert states(call("run-all", "--until", "features", "--dry-run")[1])["features"] == (
        "up to date (3 done)"
    )


def test_the_next_stage_is_one_that_the_project_needs(call):
    call("rename")
    out = call("segment")[1]
    assert "Next: nucprof crop " in out  # align has no ground-truth round here


def test_a_report_of_old_results_says_so(call, plate):
    call("run-all", "--until", "crop")
    assert "old results" not in call("report")[2]
    plate.settings = plate.settings.replace("patch_size = 12", "patch_size = 16")
    err = call("report")[2]
    assert "crop is not up to date" in err
    assert "report uses its old results" in err
    page = plate.root / "results" / "report.html"
    assert "Results of crop were not up to date when this page was written" in page.read_text(
        "utf-8"
    )
    call("run-all", "--until", "crop")
    call("report")
    assert "when this page was written" not in page.read_text("utf-8")
