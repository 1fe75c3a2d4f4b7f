"""What is stale, and why, asked cheapest first."""

from __future__ import annotations

import dataclasses
import os
import types
from pathlib import Path

import pytest

from nucprof.config import Project
from nucprof.io import files
from nucprof.io.digest import canonical, digest, sha256
from nucprof.io.files import Fingerprint
from nucprof.io.results import Results
from nucprof.run import plan as planning
from nucprof.run.definition import FORM, job_definition, parameters, table_definition
from nucprof.run.executor import perform
from nucprof.run.manifest import StageRecord
from nucprof.run.places import Places
from nucprof.run.plan import assess
from nucprof.stages.base import Plan

HELPERS = Path(__file__).parents[1] / "helpers"


def project(folder, **segment):
    return Project(
        project={"name": "p", "output": folder / "results"},
        plates=[{"name": "p", "cell_painting": folder / "raw"}],
        channels={"cell_painting": ["DNA"], "nuclei": "DNA"},
        segment=segment,
    )


class World:
    """Three fields of a stage, run and written down as the pipeline does."""

    def __init__(self, folder, fake):
        self.folder, self.stage, self.fake = folder, fake.STAGE, fake
        self.places = Places(folder, folder / "results")
        self.raw = [folder / "raw" / f"{n}.tif" for n in range(3)]
        self.layout = folder / "layout.csv"
        self.table = folder / "results" / "table.csv"
        self.layout.write_text("A")
        for path in self.raw:
            path.parent.mkdir(exist_ok=True)
            path.write_text(path.name)
        self.told = ["write"] * 3
        self.table_params = {"csv": False}
        self.settings = {}
        self.journal = {}
        self.record = None

    @property
    def context(self):
        made = project(self.folder, **self.settings)
        jobs = [
            self.fake.FakeJob(
                plate="p",
                field=f"A-01-{n + 1:02d}",
                inputs=(raw,),
                outputs=(self.folder / "results" / f"{n}.out",),
                what=what,
                value=made.segment.pmin,
                marker=str(os.urandom(4)),  # where it runs is no part of the definition
            )
            for n, (raw, what) in enumerate(zip(self.raw, self.told, strict=True))
        ]
        planned = Plan(jobs, (self.layout,), self.table_params)
        results = Results(made.project.output)
        return types.SimpleNamespace(project=made, results=results, planned=planned)

    def assess(self, **options):
        return assess(
            self.stage, self.context, self.record, self.journal, places=self.places, **options
        )

    def reasons(self, **options):
        return {job.field: why for job, _, why in self.assess(**options).stale}

    def run(self):
        context = self.context
        assessment = self.assess()
        for job, definition, _ in assessment.stale:
            self.journal[job.key] = perform(self.fake.work, job, definition)
        self.table.write_text("table")
        held = [e for e in self.journal.values() if e.status != "failed"]
        definition = table_definition(self.stage, context.planned, held, [sha256(self.layout)])
        self.record = StageRecord(
            "done",
            parameters=parameters(context.project, self.stage),
            outputs={"table.csv": Fingerprint.of(self.table).to_json()},
            table_definition=definition,
        )


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(HELPERS)
    import fake_stage

    return World(tmp_path, fake_stage)


@pytest.fixture
def done(world):
    world.run()
    assert world.assess().up_to_date
    return world


def later(path, content=None):
    """Write a file, or only touch it, ten seconds after its time."""
    before = path.stat().st_mtime_ns
    if content is not None:
        path.write_text(content)
    os.utime(path, ns=(before + 10**10, before + 10**10))


def definition(world, job):
    return job_definition(world.stage, job, world.places)


ALL = ["A-01-01", "A-01-02", "A-01-03"]


class TestReasons:
    def test_nothing_was_done(self, world):
        assert world.reasons() == dict.fromkeys(ALL, "not run yet")
        assert world.assess().reason == "3 of 3 to do: not run yet"

    def test_all_is_done(self, done):
        assessment = done.assess()
        assert assessment.up_to_date
        assert sorted(field for _, field in assessment.current) == ALL

    def test_a_parameter_changed(self, done):
        done.settings = {"pmin": 2}
        assert done.reasons() == dict.fromkeys(ALL, "settings changed (segment.pmin 1.0 -> 2.0)")
        done.settings = {"pmin": 1}
        assert done.assess().up_to_date

    def test_a_parameter_that_decides_nothing_changed(self, done):
        done.settings = {"download": True}
        assert done.assess().up_to_date

    def test_what_a_job_is_made_from_changed(self, done):
        done.told[1] = "nothing"
        assert done.reasons() == {"A-01-02": "what it is made from changed"}

    def test_an_input_changed(self, done):
        later(done.raw[1], "other")
        assert done.reasons() == {"A-01-02": f"input changed: {done.raw[1]}"}
        assert done.assess().reason == f"1 of 3 to do: input changed: {done.raw[1]}"

    def test_an_input_of_the_same_size_changed(self, done):
        later(done.raw[1], "X" * len(done.raw[1].read_text()))
        assert done.reasons() == {"A-01-02": f"input changed: {done.raw[1]}"}

    def test_an_input_was_touched_only(self, done):
        later(done.raw[1])
        assert done.assess().up_to_date

    def test_an_untouched_input_is_not_read(self, done, monkeypatch):
        read = []

        def hash_of(path):
            read.append(path)
            return sha256(path)

        monkeypatch.setattr(planning, "sha256", hash_of)
        monkeypatch.setattr(files, "sha256", hash_of)
        assert done.assess().up_to_date
        assert read == [done.layout]  # what the tables depend on has no known time

    def test_an_input_is_gone(self, done):
        done.raw[0].unlink()
        assert done.reasons() == {"A-01-01": f"input changed: {done.raw[0]}"}

    def test_an_output_was_deleted(self, done):
        gone = Path(next(iter(done.journal["p", "A-01-03"].outputs)))
        gone.unlink()
        assert done.reasons() == {"A-01-03": f"output missing or changed: {gone}"}

    def test_an_output_of_the_same_size_was_changed(self, done):
        out = Path(next(iter(done.journal["p", "A-01-03"].outputs)))
        later(out, "X" * len(out.read_text()))
        assert done.reasons() == {"A-01-03": f"output missing or changed: {out}"}

    def test_forced(self, done):
        assert done.reasons(forced=lambda job: True) == dict.fromkeys(ALL, "forced")

    def test_failed_last_time(self, world):
        world.told[0] = "raise"
        world.run()
        assert world.reasons() == {"A-01-01": "failed last time"}

    def test_excluded_last_time_holds(self, world):
        world.told[0] = "exclude"
        world.run()
        assert world.assess().up_to_date
        later(world.raw[0], "the file came back")
        assert list(world.reasons()) == ["A-01-01"]

    def test_several_reasons(self, done):
        later(done.raw[0], "other")
        done.journal.pop(("p", "A-01-03"))
        reason = done.assess().reason
        assert (
            reason == f"2 of 3 to do: input changed: {done.raw[0]} (p/A-01-01, and other reasons)"
        )

    def test_a_stage_that_gives_other_results_by_the_same_settings(self, done):
        done.stage = dataclasses.replace(done.stage, version=2)
        assert done.reasons() == dict.fromkeys(ALL, "what it is made from changed")


class TestFieldsThatLeave:
    def test_they_are_told(self, done):
        done.raw.pop()
        done.told.pop()
        assessment = done.assess()
        assert [entry.field for entry in assessment.vanished] == ["A-01-03"]
        assert assessment.reason == "1 fields left the project"
        assert not assessment.up_to_date


class TestTables:
    def test_they_were_not_finished(self, done):
        done.record.table_definition = ""
        assessment = done.assess()
        assert assessment.stale == []
        assert assessment.reason == "its tables were not finished"

    def test_no_record_at_all(self, done):
        done.record = None
        assert done.assess().reason == "its tables were not finished"

    def test_what_only_they_depend_on_changed(self, done):
        done.table_params = {"csv": True}
        assert done.assess().reason == "what its tables are made from changed"
        assert done.assess().stale == []

    def test_the_layout_changed(self, done):
        later(done.layout, "B")
        assert done.assess().reason == "what its tables are made from changed"

    def test_the_layout_was_touched_only(self, done):
        later(done.layout)
        assert done.assess().up_to_date

    def test_a_table_was_deleted(self, done):
        done.table.unlink()
        assert done.assess().reason == "output missing or changed: table.csv"

    def test_a_table_was_edited(self, done):
        later(done.table, "TABLE")
        assert done.assess().reason == "output missing or changed: table.csv"


class TestDefinition:
    def test_the_order_of_keys_means_nothing(self):
        assert digest({"a": 1, "b": [2, 3]}) == digest({"b": (2, 3), "a": 1})

    @pytest.mark.parametrize(
        "other", [{"a": 2}, {"b": 1}, {"a": "1"}, {"a": 1.5}, {"a": [1]}, {"a": None}, {"a": True}]
    )
    def test_another_value_is_another_definition(self, other):
        assert digest({"a": 1}) != digest(other)

    def test_what_has_no_canonical_form_is_refused(self):
        with pytest.raises(TypeError, match="set cannot be part of a definition"):
            canonical({"a": {1, 2}})

    def test_where_a_job_runs_is_no_part_of_it(self, world):
        here = world.context.planned.jobs[0]
        there = dataclasses.replace(here, marker="cuda")
        assert definition(world, here) == definition(world, there)
        other = dataclasses.replace(here, outputs=(Path("elsewhere"),))
        assert definition(world, here) != definition(world, other)

    def test_a_file_that_was_moved_is_the_same_file(self, world):
        here = world.context.planned.jobs[0]
        there = dataclasses.replace(here, inputs=(Path("elsewhere.tif"),))
        assert definition(world, here) == definition(world, there)

    def test_a_moved_project_is_the_same_project(self, world):
        here = world.context.planned.jobs[0]
        (out,) = here.outputs
        moved = dataclasses.replace(here, outputs=(Path("/new/results") / out.name,))
        places = Places(Path("/new"), Path("/new/results"))
        assert job_definition(world.stage, moved, places) == definition(world, here)

    def test_a_field_at_its_default_counts_like_one_that_does_not_exist(self):
        @dataclasses.dataclass
        class Before:
            size: int

        @dataclasses.dataclass
        class After:
            size: int
            added: str = "as ever"

        assert digest(Before(3)) == digest(After(3))
        assert digest(Before(3)) != digest(After(3, "new"))

    def test_one_of_an_earlier_form_says_why_its_job_is_done_again(self, done):
        for key, entry in done.journal.items():
            older = entry.definition.removeprefix(f"{FORM}:")
            done.journal[key] = dataclasses.replace(entry, definition=older)
        why = "an earlier version of nucprof made it, and recorded less of what decides it"
        assert done.reasons() == dict.fromkeys(ALL, why)
