"""What every stage would do, and why, for ``nucprof status`` and dry runs.

Planning a plate of thousands of fields takes seconds; checking the size and time of all its files
takes a fraction of a second. The result is therefore stored next to the manifest, with the size
and time of every file and folder on which it depends. It is used again as long as these, the
settings and the version of nucprof are the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nucprof.config import Project
from nucprof.errors import UserError
from nucprof.io.digest import digest
from nucprof.io.files import write_json
from nucprof.io.results import Results
from nucprof.stages import STAGES
from nucprof.stages.base import Stage
from nucprof.version import __version__

if TYPE_CHECKING:  # importing numpy would take half of the time of `nucprof status`
    from nucprof.run.pipeline import Run
    from nucprof.run.plan import Assessment

UP_TO_DATE, WILL_RUN, BLOCKED = "up to date", "will run", "blocked"


@dataclass(frozen=True)
class Row:
    """A stage in ``nucprof status``.

    Attributes
    ----------
    state : str
        What the stage would do, and why.
    jobs : int
        Finished jobs, one per field in most stages.
    seconds : float
        Duration of its last run.
    size : int
        Bytes of its results on disk.
    """

    state: str
    jobs: int = 0
    seconds: float = 0.0
    size: int = 0


@dataclass
class State:
    """What a stage would do, in words, and the files and folders that this depends on.

    ``results`` are those of the files that the stage has written in ``jobs`` jobs.
    """

    text: str
    files: set[str]
    results: set[str] = field(default_factory=set)
    jobs: int = 0


def states(stages: Sequence[Stage], run: Run, *, force: bool = False) -> list[tuple[Stage, str]]:
    """What each stage would do, and why; stages after one that will run are reported as such."""
    return [(stage, state.text) for stage, state in _states(stages, run, force=force)]


def recall(project: Project, results: Results) -> dict[str, Row]:
    """Stored rows by stage; empty if anything on which they depend has changed.

    The state of a blocked stage is never stored.
    """
    try:
        held = json.loads(results.states.read_text(encoding="utf-8"))
        same = held["key"] == _key(project) and all(
            _size_and_time(path) == then for path, then in held["files"].items()
        )
        return {name: Row(**row) for name, row in held["states"].items()} if same else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # absent or damaged


def remember(run: Run) -> dict[str, Row]:
    """Find out what every stage would do, and store it for :func:`recall`.

    Nothing is stored if a file has changed in the meantime, or if nothing can be written: then the
    next call finds it out again.
    """
    began = time.time_ns()
    found = _states(STAGES, run)
    kept = [state for _, state in found if not state.text.startswith(BLOCKED)]
    wanted = {str(run.results.manifest), str(run.results.images), str(run.results.cells)}
    wanted |= {str(run.results.journal(stage.name)) for stage in STAGES}
    wanted |= set().union(*(state.files for state in kept))
    stamps = {path: _size_and_time(path) for path in sorted(wanted)}
    rows = {stage.name: _row(run, stage, state, stamps) for stage, state in found}
    settled = all(stamp is None or stamp[1] < began for stamp in stamps.values())
    if settled and run.results.manifest.is_file():
        held = {
            "key": _key(run.project),
            "states": {
                name: asdict(row) for name, row in rows.items() if not row.state.startswith(BLOCKED)
            },
            "files": stamps,
        }
        with contextlib.suppress(OSError, UserError):
            write_json(run.results.states, held, indent=None)
    return rows


def _row(run: Run, stage: Stage, state: State, stamps: Mapping[str, list[int] | None]) -> Row:
    record = run.manifest.stages.get(stage.name)
    sizes = [stamps.get(path) for path in state.results]
    size = sum(stamp[0] for stamp in sizes if stamp is not None)
    return Row(state.text, state.jobs, record.seconds if record else 0.0, size)


def _key(project: Project) -> str:
    """What else decides the states, besides files: settings, program and machine."""
    stages = [[stage.name, stage.version] for stage in STAGES]
    settings = project.model_dump(mode="json")
    execution = settings.pop("execution")
    settings["where"] = [execution["models_dir"], execution["device"]]
    models = os.environ.get("NUCPROF_MODELS_DIR", "")
    return digest([settings, __version__, stages, models, platform.node()])


def _size_and_time(path: str) -> list[int] | None:
    """Size and time of a file; time of a folder, which changes with its names; None if missing."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _states(stages: Iterable[Stage], run: Run, *, force: bool = False) -> list[tuple[Stage, State]]:
    found = []
    running: set[str] = set()
    for stage in stages:
        reason = stage.skip(run.project)
        before = [n for n in (*stage.needs(run.project), *stage.uses) if n in running]
        if reason:
            state = State(f"not needed ({reason})", set())
        elif before:
            state = State(f"{WILL_RUN} after {', '.join(before)}", set())
        else:
            state = _own_state(stage, run, force)
        if state.text.startswith(WILL_RUN):
            running.add(stage.name)
        found.append((stage, state))
    return found


def _own_state(stage: Stage, run: Run, force: bool) -> State:
    try:
        assessment = run.assess(stage, force=force)
    except UserError as error:
        return State(f"{BLOCKED}: {error}", set())
    record = run.manifest.stages.get(stage.name)
    results = {str(run.results.absolute(name)) for name in (record.outputs if record else ())}
    for entry in assessment.current.values():
        results.update(map(str, entry.outputs))
    files, jobs = _files_of(assessment) | results, len(assessment.current)
    if not assessment.up_to_date:
        return State(f"{WILL_RUN}: {assessment.reason}", files, results, jobs)
    excluded = sum(e.status == "excluded" for e in assessment.current.values())
    left = f", {excluded} fields left out" if excluded else ""
    return State(f"{UP_TO_DATE} ({jobs} done{left})", files, results, jobs)


def _files_of(assessment: Assessment) -> set[str]:
    plan = assessment.plan
    files: set[str | Path] = {*plan.table_inputs, *plan.consulted}
    for job in plan.jobs:
        files.update(job.inputs)
        files.update(job.outputs)
    for entry in assessment.current.values():
        files.update(entry.inputs, entry.outputs)
    return {str(path) for path in files}
