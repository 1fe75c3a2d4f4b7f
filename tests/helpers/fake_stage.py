"""A stage whose jobs do what they are told; worker processes import it by its name."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nucprof.errors import FieldError, FieldExcluded, UserError
from nucprof.io.digest import WHERE_IT_RUNS
from nucprof.stages.base import Drop, Job, Outcome, Plan, Stage, Summary, needs


@dataclass(frozen=True, kw_only=True)
class FakeJob(Job):
    """What a job does; ``marker`` is a file by which it knows that it ran before, or may go on."""

    what: str = "write"
    value: Any = None
    marker: str = dataclasses.field(default="", metadata=WHERE_IT_RUNS)


@dataclass(frozen=True)
class FakeRecord:
    value: Any = None
    threads: str = ""
    pid: int = 0


@dataclass(frozen=True)
class Score:
    score: float


def plan(context) -> Plan[FakeJob]:
    return context.planned


def work(job: FakeJob) -> Outcome[FakeRecord]:
    if job.what == "wait":
        while not Path(job.marker).exists():
            time.sleep(0.01)
    if job.what in ("write", "wait"):
        for path in job.outputs:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{job.name} {job.value or ''}")
    elif job.what == "raise":
        raise ZeroDivisionError("as told")
    elif job.what == "unreadable":
        raise FieldError("x.tif cannot be read")
    elif job.what == "exclude":
        raise FieldExcluded("no_partner", "no partner", Score(0.5))
    elif job.what == "user":
        raise UserError("the settings do not fit")
    elif job.what == "exit":
        os._exit(1)
    elif job.what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif job.what == "interrupt":
        raise KeyboardInterrupt
    elif job.what == "die once":
        if not Path(job.marker).exists():
            Path(job.marker).touch()
            os._exit(1)
    elif job.what == "threads":
        return Outcome(FakeRecord(threads=os.environ["OMP_NUM_THREADS"], pid=os.getpid()))
    return Outcome(
        FakeRecord(job.value),
        objects=[3, 1, 2, 70000],
        dropped=[Drop(job.plate, job.field, "border", [70000, 2])],
        warnings=["careful"],
    )


def die_once(item: tuple[str, int]) -> int:
    """Return the number; end the process first where the file does not exist yet."""
    marker, number = item
    if marker and not Path(marker).exists():
        Path(marker).touch()
        os._exit(1)
    return number


def finish(context, plan, entries) -> Summary:
    return Summary()


STAGE = Stage(
    name="fake",
    help="Do as told",
    sections=("segment",),
    needs=needs(),
    makes=("fake/",),
    plan=plan,
    work=work,
    finish=finish,
    record=FakeRecord,
)
