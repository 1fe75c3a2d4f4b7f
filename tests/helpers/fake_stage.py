"""A stage whose jobs do what their parameters say.

Importing this module makes it known as ``nucprof.stages.fake``. A :class:`Do` among a job's
parameters imports it in worker processes too, because pickle does.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from nucprof.errors import FieldError, FieldExcluded, UserError
from nucprof.stages.base import Drop, Job, Outcome, Plan, Stage

STAGE = Stage("fake", "Do as told", ("segment",), (), ("fake/",))
sys.modules["nucprof.stages.fake"] = sys.modules[__name__]


@dataclass(frozen=True)
class Do:
    """What a job does; ``marker`` is a file by which it knows that it ran before, or may go on."""

    what: str = "write"
    marker: str = ""


def plan(context) -> Plan:
    return context.planned


def work(job: Job) -> Outcome:
    do: Do = job.params["do"]
    if do.what == "wait":
        while not Path(do.marker).exists():
            time.sleep(0.01)
    if do.what in ("write", "wait"):
        for path in job.outputs:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{job.name} {job.params.get('value', '')}")
    elif do.what == "raise":
        raise ZeroDivisionError("as told")
    elif do.what == "unreadable":
        raise FieldError("x.tif cannot be read")
    elif do.what == "exclude":
        raise FieldExcluded("no_partner", "no partner", {"score": 0.5})
    elif do.what == "user":
        raise UserError("the settings do not fit")
    elif do.what == "exit":
        os._exit(1)
    elif do.what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif do.what == "die once":
        if not Path(do.marker).exists():
            Path(do.marker).touch()
            os._exit(1)
    elif do.what == "threads":
        return Outcome({"threads": os.environ["OMP_NUM_THREADS"], "pid": os.getpid()})
    return Outcome(
        {"value": job.params.get("value")},
        objects=[3, 1, 2, 70000],
        dropped=[Drop(job.plate, job.field, "border", [70000, 2])],
        warnings=["careful"],
    )
