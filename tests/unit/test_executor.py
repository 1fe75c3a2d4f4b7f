"""Where work runs, and what becomes of a job: done, excluded, failed, or its worker dead."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import pytest

from nucprof.errors import MachineError, UserError
from nucprof.io.files import Fingerprint
from nucprof.run import executor, pool
from nucprof.run.executor import run_jobs
from nucprof.run.pool import Pool, worker_count
from nucprof.run.workers import WorkerProcesses, thread_limits

HELPERS = Path(__file__).parents[1] / "helpers"


@pytest.fixture
def fake(monkeypatch):
    """The stage that does as told, where worker processes find it too."""
    monkeypatch.syspath_prepend(HELPERS)
    import fake_stage

    return fake_stage


@pytest.fixture
def make_job(tmp_path, fake):
    def make(number, what="write", **values):
        field = f"A-01-{number:02d}"
        raw = tmp_path / "raw" / field
        raw.parent.mkdir(exist_ok=True)
        raw.write_text(field)
        return fake.FakeJob(
            plate="p",
            field=field,
            inputs=(raw,),
            outputs=(tmp_path / "out" / field,),
            what=what,
            marker=str(tmp_path / f"marker {number}"),
            **values,
        )

    return make


def perform(job, definition):
    from fake_stage import work

    return executor.perform(work, job, definition)


def run(pool, jobs, *, keep_going=True, on_failure=lambda: None):
    from fake_stage import work

    found = []

    def stop_early():
        return not keep_going and any(entry.status == "failed" for entry in found)

    with_definitions = [(job, f"definition of {job.field}") for job in jobs]
    for entry in run_jobs(pool, work, with_definitions, stop_early=stop_early):
        found.append(entry)
        if entry.status == "failed":
            on_failure()
    return {int(entry.field[-2:]): entry for entry in found}


class TestPerform:
    def test_a_job_done(self, make_job):
        job = make_job(1, value=7)
        entry = perform(job, "abc")
        assert (entry.plate, entry.field, entry.status) == ("p", "A-01-01", "done")
        assert entry.definition == "abc"
        assert entry.record.value == 7
        assert entry.objects == "1-3,70000"
        assert entry.dropped == [("p", "A-01-01", "border", "2,70000")]
        assert entry.warnings == ["careful"]
        assert entry.seconds >= 0
        (raw,), (out,) = job.inputs, job.outputs
        assert entry.inputs == {str(raw): Fingerprint.of(raw).to_json()}
        assert entry.outputs == {str(out): Fingerprint.of(out).to_json()}

    def test_an_output_that_was_not_needed_is_not_recorded(self, make_job):
        # a field without cells has no stack
        assert perform(make_job(1, "nothing"), "abc").outputs == {}

    def test_an_exception_fails_the_field_and_says_whose_it_is_and_what_to_do(self, make_job):
        entry = perform(make_job(1, "raise"), "abc")
        assert (entry.status, entry.reason) == ("failed", "ZeroDivisionError")
        assert entry.message == (
            "p/A-01-01: the library fake_stage failed (ZeroDivisionError: as told). Look at the "
            "images of this field: they may be damaged or unlike the others. To go on without it: "
            'project.exclude = ["p/A-01-01"]. The traceback is in the newest file in logs/ of the '
            "results."
        )
        assert entry.trace.startswith("Traceback (most recent call last):")
        assert "fake_stage.py" in entry.trace

    def test_an_exception_of_our_own_code_is_a_bug(self, make_job, monkeypatch):
        from nucprof.run import executor

        monkeypatch.setattr(executor.Fingerprint, "of", lambda path: executor.encode_ids(None))
        entry = perform(make_job(1), "abc")
        assert "nucprof failed (" in entry.message
        assert "which is a bug" in entry.message

    def test_a_file_that_cannot_be_read_fails_the_field_with_its_message(self, make_job):
        entry = perform(make_job(1, "unreadable"), "abc")
        assert (entry.status, entry.reason) == ("failed", "FieldError")
        assert entry.message == "x.tif cannot be read"

    def test_an_exclusion_is_no_failure(self, make_job):
        job = make_job(1, "exclude")
        entry = perform(job, "abc")
        assert (entry.status, entry.reason) == ("excluded", "no_partner")
        assert entry.message == "no partner"
        assert entry.record.score == 0.5
        assert list(entry.inputs) == [str(job.inputs[0])]

    def test_what_is_wrong_for_all_fields_is_raised(self, make_job):
        with pytest.raises(UserError, match="the settings do not fit"):
            perform(make_job(1, "user"), "abc")

    def test_a_missing_input_is_left_to_the_stage(self, make_job):
        job = make_job(1)
        job.inputs[0].unlink()
        assert perform(job, "abc").inputs == {str(job.inputs[0]): None}


class TestSerial:
    def test_other_fields_survive(self, make_job):
        jobs = [make_job(1), make_job(2, "raise"), make_job(3, "exclude"), make_job(4)]
        found = run(Pool(1), jobs)
        assert [found[n].status for n in (1, 2, 3, 4)] == ["done", "failed", "excluded", "done"]
        assert found[4].definition == "definition of A-01-04"

    def test_without_keep_going_nothing_new_is_started(self, make_job):
        jobs = [make_job(1), make_job(2, "exclude"), make_job(3, "raise"), make_job(4), make_job(5)]
        found = run(Pool(1), jobs, keep_going=False)
        assert sorted(found) == [1, 2, 3]
        assert not jobs[3].outputs[0].exists()

    def test_it_runs_in_this_process(self, make_job):
        assert run(Pool(1), [make_job(1, "threads")])[1].record.pid == os.getpid()

    def test_an_interrupt_is_not_a_failed_field(self, make_job):
        with pytest.raises(KeyboardInterrupt):
            run(Pool(1), [make_job(1, "interrupt")])

    def test_no_job(self):
        assert run(Pool(1), []) == {}


class TestProcesses:
    @pytest.fixture(autouse=True)
    def _two_cores(self, monkeypatch):
        monkeypatch.setattr(pool, "cores", lambda: 6)

    def test_a_worker_that_dies_twice_costs_its_field_only(self, make_job):
        told = ["write", "exit", "raise", "write"]
        found = run(Pool(2), [make_job(n, what) for n, what in enumerate(told)])
        assert [found[n].status for n in range(4)] == ["done", "failed", "failed", "done"]
        assert found[1].reason == "worker_died"
        assert found[1].message == (
            "p/A-01-01: its worker process died twice; it ended with exit status 1, as after a "
            "crash in a library. Use fewer --workers, or close other programs."
        )
        assert found[1].definition == "definition of A-01-01"
        assert found[2].reason == "ZeroDivisionError"

    def test_a_worker_that_dies_once_costs_nothing(self, make_job):
        told = ["write", "die once", "write", "write", "write", "write"]
        found = run(Pool(2), [make_job(n, what) for n, what in enumerate(told)])
        assert {entry.status for entry in found.values()} == {"done"}
        assert sorted(found) == list(range(6))

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
    def test_a_killed_worker_without_keep_going(self, make_job):
        found = run(Pool(1, isolated=True), [make_job(0), make_job(1, "kill")], keep_going=False)
        assert found[0].status == "done"
        assert found[1].reason == "worker_died"
        assert "the system killed it (SIGKILL), most likely for lack of memory" in found[1].message

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
    def test_the_cause_of_a_death_that_another_thread_learns_first(self):
        class Reaped:
            """A process that has ended, but whose status comes late."""

            statuses = iter((None, None, -9))

            def join(self, timeout):
                pass

            @property
            def exitcode(self):
                return next(self.statuses, -9)

        with WorkerProcesses(1) as workers:
            workers._seen.add(Reaped())
            assert "SIGKILL" in workers.cause()

    def test_without_keep_going_the_fields_under_way_are_finished(self, make_job):
        jobs = [make_job(0, "raise"), *(make_job(n, "wait") for n in range(1, 12))]

        def release():  # nobody finishes before the failure is known
            for job in jobs[1:]:
                Path(job.marker).touch()

        found = run(Pool(2), jobs, keep_going=False, on_failure=release)
        assert found[0].status == "failed"
        done = {n for n, entry in found.items() if entry.status == "done"}
        assert done == {1, 2, 3}  # two in flight for each worker
        assert {n for n in range(1, 12) if jobs[n].outputs[0].exists()} == done

    def test_what_is_wrong_for_all_fields_is_raised(self, make_job):
        with pytest.raises(UserError, match="the settings do not fit"):
            run(Pool(2), [make_job(0, "user"), make_job(1)])

    def test_an_isolated_job_runs_elsewhere_with_its_share_of_threads(self, make_job):
        record = run(Pool(2, isolated=True), [make_job(0, "threads")])[0].record
        assert record.pid != os.getpid()
        assert record.threads == "3"  # workers x threads = cores


def test_threads_are_limited_inside_the_block_only(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    with thread_limits(2):
        assert os.environ["OMP_NUM_THREADS"] == os.environ["NUMBA_NUM_THREADS"] == "2"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "NUMBA_NUM_THREADS" not in os.environ


@pytest.mark.parametrize(
    ("setting", "cores", "gigabytes", "expected"),
    [
        (3, 8, 64, 3),
        ("auto", 8, 64, 8),
        ("auto", 8, 8, 3),  # 2.5 GB for each
        ("auto", 8, 1, 1),
        ("auto", 1, 64, 1),
    ],
)
def test_workers(monkeypatch, setting, cores, gigabytes, expected):
    monkeypatch.setattr(pool, "cores", lambda: cores)
    monkeypatch.setattr(pool, "available_memory", lambda: gigabytes * 1e9)
    assert worker_count(setting) == expected


def test_threads_share_the_cores(monkeypatch):
    monkeypatch.setattr(pool, "cores", lambda: 8)
    assert [Pool(n).threads for n in (1, 2, 3, 8, 20)] == [8, 4, 2, 1, 1]


def test_a_job_may_have_no_field(make_job):
    job = dataclasses.replace(make_job(1), plate="", field="")
    assert job.name == "the whole project"
    assert job.key == ("", "")


def process_number(_):
    return os.getpid()


def test_a_held_pool_serves_all_with_the_same_processes():
    two = Pool(2, isolated=True)
    with two.hold():
        first = set(two.map(process_number, range(6)))
        second = set(two.map(process_number, range(6)))
    assert os.getpid() not in first | second
    assert len(first | second) <= 2
    assert two.map(process_number, range(2)) != []  # and works without being held


def test_a_process_that_dies_twice_in_a_map_is_an_error_and_the_pool_goes_on():
    one = Pool(1, isolated=True)
    with one.hold():
        with pytest.raises(MachineError, match="exit status 3"):
            one.map(os._exit, [3])
        assert one.map(abs, [-2]) == [2]


def test_a_process_that_dies_once_in_a_map_costs_nothing(fake, tmp_path):
    items = [("", 1), (str(tmp_path / "died"), 2), ("", 3)]
    assert Pool(1, isolated=True).map(fake.die_once, items) == [1, 2, 3]
