"""What is stale, and why: asked cheapest first (definition, size and time, then hash)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nucprof.io.digest import sha256
from nucprof.io.files import Fingerprint
from nucprof.run.definition import (
    changed_settings,
    is_comparable,
    job_definition,
    table_definition,
)
from nucprof.run.manifest import StageRecord
from nucprof.run.places import Places
from nucprof.stages.base import Context, Entry, Job, Plan, Stage


@dataclass
class Assessment:
    """What a stage has to do.

    ``stale``: jobs to run, with their definition and the reason. ``current``: finished jobs that
    still hold. ``vanished``: finished jobs that the project no longer has. ``tables``: why the
    tables must be written again, empty where they need not.
    """

    plan: Plan
    stale: list[tuple[Job, str, str]] = field(default_factory=list)
    current: dict[tuple[str, str], Entry] = field(default_factory=dict)
    vanished: list[Entry] = field(default_factory=list)
    tables: str = ""

    @property
    def up_to_date(self) -> bool:
        """Whether nothing has to be done."""
        return not (self.stale or self.vanished or self.tables)

    @property
    def reason(self) -> str:
        """Why the stage has to run, in one line."""
        if self.stale:
            first = self.stale[0][2]
            same = all(why == first for _, _, why in self.stale)
            more = "" if same else f" ({self.stale[0][0].name}, and other reasons)"
            return f"{len(self.stale)} of {len(self.plan.jobs)} to do: {first}{more}"
        if self.vanished:
            return f"{len(self.vanished)} fields left the project"
        return self.tables


def assess(
    stage: Stage,
    context: Context,
    record: StageRecord | None,
    journal: Mapping[tuple[str, str], Entry],
    *,
    places: Places,
    forced: Callable[[Job], bool] = lambda job: False,
) -> Assessment:
    """Compare what a stage would do with what it has done.

    Raises :class:`~nucprof.errors.UserError` where the stage cannot be planned.
    """
    plan = stage.plan(context)
    changed = changed_settings(context.project, stage, record.parameters) if record else []
    assessment = Assessment(plan)
    hashes = _Hashes()
    for job in plan.jobs:
        definition = job_definition(stage, job, places)
        entry = journal.get(job.key)
        why = "forced" if forced(job) else _job_is_stale(job, definition, entry, changed, hashes)
        if why or entry is None:
            assessment.stale.append((job, definition, why))
        else:
            assessment.current[job.key] = entry
    keys = {job.key for job in plan.jobs}
    assessment.vanished = [entry for key, entry in journal.items() if key not in keys]
    if not assessment.stale:
        definition = table_definition(
            stage, plan, list(assessment.current.values()), hashes.all(plan.table_inputs)
        )
        assessment.tables = _tables_are_stale(definition, record, context, hashes)
    return assessment


class _Hashes:
    """Hashes of files, each read once."""

    def __init__(self) -> None:
        self._known: dict[Path, str] = {}

    def __call__(self, path: Path) -> str:
        if path not in self._known:
            self._known[path] = sha256(path)
        return self._known[path]

    def all(self, paths: tuple[Path, ...]) -> list[str]:
        return [self(path) for path in paths]


def _job_is_stale(
    job: Job, definition: str, entry: Entry | None, changed: list[str], hashes: _Hashes
) -> str:
    if entry is None:
        return "not run yet"
    if entry.status == "failed":
        return "failed last time"
    if not is_comparable(entry.definition):
        return "an earlier version of nucprof made it, and recorded less of what decides it"
    if entry.definition != definition:
        return (
            f"settings changed ({', '.join(changed)})"
            if changed
            else "what it is made from changed"
        )
    for path, then in zip(job.inputs, entry.inputs.values(), strict=False):
        if path.exists() if then is None else not Fingerprint(*then).matches(path, hashes):
            return f"input changed: {path}"
    if entry.status == "done":
        for name, known in entry.outputs.items():
            path = Path(name)
            if not Fingerprint(*known).matches(path, hashes):
                return f"output missing or changed: {path}"
    return ""


def _tables_are_stale(
    definition: str, record: StageRecord | None, context: Context, hashes: _Hashes
) -> str:
    if record is None or not record.table_definition:
        return "its tables were not finished"
    if record.table_definition != definition:
        return "what its tables are made from changed"
    for name, known in record.outputs.items():
        if not Fingerprint(*known).matches(context.results.absolute(name), hashes):
            return f"output missing or changed: {name}"
    return ""
