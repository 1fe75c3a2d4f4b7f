"""Doing a stage's jobs: each becomes an entry: done, excluded, or failed with its cause."""

from __future__ import annotations

import functools
import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nucprof.core.labels import encode_ids
from nucprof.errors import FieldExcluded, NucprofError, UserError
from nucprof.io.files import Fingerprint
from nucprof.refusals import explain
from nucprof.run.pool import Died, Pool
from nucprof.stages.base import Entry, Job, Outcome

_LONGEST = 300  # characters of a library's own message

Work = Callable[[Any], Outcome[Any]]


def perform(work: Work, job: Job, definition: str) -> Entry:
    """Do one job and return its entry. Runs in a worker.

    A :class:`UserError` does not concern only this field and is raised, as is a refusal to write
    into the results; after any other error the job has failed.
    """
    started = time.perf_counter()
    entry = functools.partial(Entry, job.plate, job.field, definition=definition)

    def failed(error: Exception, known: NucprofError | None) -> Entry:
        return entry(
            status="failed",
            reason=type(known or error).__name__,
            message=_unforeseen(error, job) if known is None else str(known),
            trace="" if known is error else traceback.format_exc(),
            seconds=_since(started),
        )

    try:
        inputs = {
            str(path): Fingerprint.of(path).to_json() if path.is_file() else None
            for path in job.inputs
        }
        outcome = work(job)
        outputs = {
            str(path): Fingerprint.of(path).to_json() for path in job.outputs if path.exists()
        }
    except UserError:
        raise
    except OSError as error:
        refusal = explain(error)
        if isinstance(refusal, UserError) and not _is_input(error, job):
            raise refusal from error  # of the results folder: it concerns all fields
        return failed(error, refusal)
    except FieldExcluded as error:
        return entry(
            status="excluded",
            reason=error.reason,
            message=str(error),
            record=error.record,
            inputs=inputs,
            seconds=_since(started),
        )
    except NucprofError as error:
        return failed(error, error)
    except Exception as error:  # noqa: BLE001 - recorded, with its traceback, as the field's failure
        return failed(error, explain(error))
    return entry(
        status="done",
        record=outcome.record,
        objects=None if outcome.objects is None else encode_ids(outcome.objects),
        dropped=[(d.plate, d.field, d.reason, encode_ids(d.labels)) for d in outcome.dropped],
        warnings=list(outcome.warnings),
        inputs=inputs,
        outputs=outputs,
        seconds=_since(started),
    )


def _unforeseen(error: Exception, job: Job) -> str:
    """Say which library failed at a job, with its own words, and what to do."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    library = str(frames[-1].f_globals.get("__name__", "Python")).partition(".")[0]
    words = f"{type(error).__name__}: {error}".splitlines()[0][:_LONGEST].removesuffix(": ")
    trace = "The traceback is in the newest file in logs/ of the results"
    if library == "nucprof":
        return f"{job.name}: nucprof failed ({words}), which is a bug. {trace}; please report it."
    cause = f"{job.name}: the library {library} failed ({words})."
    if not job.field:
        return f"{cause} Look at the tables and settings of this stage. {trace}."
    return (
        f"{cause} Look at the images of this field: they may be damaged or unlike the others. To "
        f'go on without it: project.exclude = ["{job.plate}/{job.field}"]. {trace}.'
    )


def _is_input(error: OSError, job: Job) -> bool:
    return error.filename is not None and Path(os.fsdecode(error.filename)) in job.inputs


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 3)


def run_jobs(
    pool: Pool, work: Work, jobs: Sequence[tuple[Job, str]], *, stop_early: Callable[[], bool]
) -> Iterator[Entry]:
    """Run jobs and yield their entries as they finish.

    Parameters
    ----------
    pool : Pool
        Where to run.
    work : callable
        The work function of the stage; at module level, so that other processes find it.
    jobs : sequence of (Job, str)
        Jobs and their definitions.
    stop_early : callable
        Called before a job is started; once true, only running jobs are finished.
    """
    calls = [(work, job, definition) for job, definition in jobs]
    for index, entry in pool.run(perform, calls, stop_early=stop_early):
        yield _dead(*jobs[index], entry) if isinstance(entry, Died) else entry


def _dead(job: Job, definition: str, how: Died) -> Entry:
    return Entry(
        job.plate,
        job.field,
        "failed",
        definition,
        reason="worker_died",
        message=f"{job.name}: {how}",
    )
