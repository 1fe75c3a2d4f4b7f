"""Running one stage, or all of them."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nucprof.config import Project
from nucprof.errors import UserError
from nucprof.io.digest import sha256
from nucprof.io.files import Fingerprint
from nucprof.io.results import Results
from nucprof.plate.keys import FieldKey, FieldSelector
from nucprof.run import journal
from nucprof.run.current import current_jobs
from nucprof.run.definition import parameters, table_definition
from nucprof.run.executor import Pool, run_jobs, worker_count
from nucprof.run.manifest import Manifest, StageRecord, versions
from nucprof.run.places import Places
from nucprof.run.plan import Assessment, assess
from nucprof.run.reporter import Reporter, Silent, StageResult
from nucprof.stages import STAGES
from nucprof.stages import stage as find_stage
from nucprof.stages.base import Entry, J, Job, Stage, Summary

if TYPE_CHECKING:  # numpy: not where nothing is to be done
    from nucprof.raw.index import ImageIndex

log = logging.getLogger(__name__)

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Options:
    """How a command was called.

    ``overrides`` are the settings given as flags that differ from the file, by dotted name.
    """

    fields: tuple[str, ...] = ()
    force: bool = False
    keep_going: bool = False
    overrides: Mapping[str, Any] = field(default_factory=dict)


class Run:
    """A project being run; the :class:`~nucprof.stages.base.Context` of its stages.

    Parameters
    ----------
    project : Project
    options : Options
    reporter : Reporter
    name : str
        Name under which a classifier is trained or applied (``--name``).
    """

    def __init__(
        self,
        project: Project,
        options: Options | None = None,
        reporter: Reporter | None = None,
        *,
        name: str = "default",
    ) -> None:
        self.project = project
        self.results = Results(project.project.output)
        self.options = options or Options()
        self.reporter = reporter or Silent()
        self.name = name
        self.manifest = Manifest.read(self.results.manifest)
        self.places = Places(project.root, self.results.root)
        self._journals: dict[str, dict[tuple[str, str], Entry]] = {}
        self._pool = Pool(1)

    @cached_property
    def images(self) -> ImageIndex:
        """Which file holds which channel, from ``images.csv``."""
        from nucprof.raw.index import ImageIndex

        listed = next(iter(self.entries("rename").values()), None)
        moved = None
        if listed is not None and listed.record is not None:
            moved = Path(listed.record.root), self.project.root
        return ImageIndex.read(self.results.images, moved)

    def entries(self, stage: str) -> dict[tuple[str, str], Entry]:
        """Finished jobs of a stage, from its journal."""
        if stage not in self._journals:
            declared = find_stage(stage)
            path = self.results.journal(self._record_name(declared))
            self._journals[stage] = journal.read(path, declared.record, self.places)
        return self._journals[stage]

    def perform(self, stage: Stage, jobs: Sequence[J]) -> Iterator[Entry]:
        """Do jobs that are no part of the results, in the stage's workers; nothing is recorded."""
        work = [(job, "aside") for job in jobs]
        yield from run_jobs(self._pool, stage.work, work, stop_early=lambda: False)

    @contextlib.contextmanager
    def workers_of(self, stage: Stage, jobs: Sequence[J]) -> Iterator[None]:
        """Keep a stage's workers for all that is done inside the block."""
        self._pool = self._make_pool(stage, jobs)
        with self._pool.hold():
            yield

    def spread(self, function: Callable[[T], U], items: Sequence[T]) -> list[U]:
        """Apply a function of a module to items, in the workers that do the stage's jobs."""
        return self._pool.map(function, items)

    def assess(self, stage: Stage, *, force: bool = False) -> Assessment:
        """What a stage has to do, with ``force`` all of it.

        Raises :class:`UserError` where an input stage has not run.
        """
        self._require_needs(stage)
        return assess(
            stage,
            self,
            self.manifest.stages.get(self._record_name(stage)),
            self.entries(stage.name),
            places=self.places,
            force=force,
        )

    def _require_needs(self, stage: Stage) -> None:
        """Name the command of the first stage that must run before this one and has not."""
        needed = set(stage.needs(self.project))
        for earlier in reversed(STAGES):
            if earlier.name in needed:
                needed |= set(earlier.needs(self.project))
        for earlier in STAGES:
            if (
                earlier.name in needed
                and not earlier.skip(self.project)
                and not self.entries(earlier.name)
            ):
                raise UserError(
                    f"'{earlier.name}' has not run yet; run: nucprof {earlier.command} PROJECT "
                    "(or nucprof run-all PROJECT)."
                )

    def run_stage(self, stage: Stage) -> StageResult:
        """Run a stage as far as it is stale.

        Raises :class:`UserError` where an input stage has not run or the settings do not fit.
        """
        started = time.perf_counter()
        reason = stage.skip(self.project)
        if reason:
            if self._status(stage) != "not needed":
                self._record(stage, StageRecord("not needed", warnings=[reason]))
            return self._ended(StageResult(stage, "not needed", reason))
        assessment = self.assess(stage, force=self.options.force)
        if assessment.up_to_date:
            return self._ended(StageResult(stage, "up to date", self._status(stage)))
        chosen = self._chosen(assessment)
        record = self._begin(stage)
        self.reporter.started(stage, len(chosen), assessment.reason)
        self._forget(stage, assessment.vanished)
        jobs = [job for job, _ in chosen]
        with self.workers_of(stage, jobs):
            if stage.prepare is not None:
                stage.prepare(self, assessment.plan, jobs)
            ran = self._run_jobs(stage, chosen)
        return self._ended(self._finish(stage, assessment, ran, record, started))

    def run_all(
        self,
        first: str | None = None,
        last: str | None = None,
        *,
        up_to_date: Collection[str] = (),
    ) -> list[StageResult]:
        """Run the stages in order, skipping what is up to date.

        Stops after a stage with failures unless ``keep_going``. Where all stages are among those
        known to be ``up_to_date`` or are not needed, nothing is looked at again.
        """
        results = []
        chosen = chosen_stages(first, last)
        if not self.options.force:
            self._refuse_to_undo(chosen)
        needed = [stage for stage in chosen if not stage.skip(self.project)]
        if not self.options.force and all(stage.name in up_to_date for stage in needed):
            return [self._untouched(stage) for stage in chosen]
        for stage in chosen:
            results.append(self.run_stage(stage))
            if results[-1].failed and not self.options.keep_going:
                break
        return results

    # ------------------------------------------------------------------ the steps of a stage

    def _record_name(self, stage: Stage) -> str:
        """Results that are kept under a name of their own have a record of their own."""
        own = stage.named and self.name != "default"
        return f"{stage.name}@{self.name}" if own else stage.name

    def _status(self, stage: Stage) -> str:
        record = self.manifest.stages.get(self._record_name(stage))
        return record.status if record else ""

    def _chosen(self, assessment: Assessment) -> list[tuple[Job, str]]:
        selector = FieldSelector(self.options.fields)
        if not self.options.fields:
            return [(job, definition) for job, definition, _ in assessment.stale]
        known = [
            (job.plate, FieldKey.parse(job.field)) for job in assessment.plan.jobs if job.field
        ]
        unmatched = selector.unmatched(known) if known else []
        if unmatched:
            raise UserError(
                f"--fields {' '.join(unmatched)}: no such well or field here; "
                f"there are {len(known)}, e.g. {', '.join(str(k) for _, k in known[:3])}."
            )
        return [
            (job, definition)
            for job, definition, _ in assessment.stale
            if not job.field or selector.matches(job.plate, FieldKey.parse(job.field))
        ]

    def _begin(self, stage: Stage) -> StageRecord:
        record = StageRecord(
            "partial",
            parameters=parameters(self.project, stage),
            overrides=dict(self.options.overrides),
            versions=versions(),
            device=self.project.execution.device,
            started=_now(),
        )
        self._record(stage, record)
        return record

    def _forget(self, stage: Stage, vanished: Sequence[Entry]) -> None:
        """Remove the files of fields that left the project, and their lines."""
        if not vanished:
            return
        for entry in vanished:
            for path in map(Path, entry.outputs):
                if path.is_relative_to(self.results.root):
                    path.unlink(missing_ok=True)
            self.entries(stage.name).pop(entry.key)
        self._compact(stage)

    def _compact(self, stage: Stage) -> None:
        path = self.results.journal(self._record_name(stage))
        entries = self.entries(stage.name)
        journal.rewrite(path, [entries[key] for key in sorted(entries)], self.places)

    def _run_jobs(self, stage: Stage, jobs: list[tuple[Job, str]]) -> set[tuple[str, str]]:
        """Run jobs, journal each as it finishes, and return the keys of those that ran."""
        path = self.results.journal(self._record_name(stage))
        failed = 0
        ran = set()

        def stop_early() -> bool:
            return failed > 0 and not self.options.keep_going

        for entry in run_jobs(self._pool, stage.work, jobs, stop_early=stop_early):
            journal.append(path, entry, self.places)
            self.entries(stage.name)[entry.key] = entry
            ran.add(entry.key)
            failed += entry.status == "failed"
            self.reporter.job_done(stage, entry)
        return ran

    def _make_pool(self, stage: Stage, jobs: Sequence[Job]) -> Pool:
        execution = self.project.execution
        if len(jobs) == 1 and not jobs[0].field:
            return Pool(1)  # one job about the whole project runs in this process
        workers = min(worker_count(execution.workers), max(1, len(jobs)))
        return Pool(workers, stage.isolated(self.project), execution.scheduler)

    def _finish(
        self,
        stage: Stage,
        before: Assessment,
        ran: set[tuple[str, str]],
        record: StageRecord,
        started: float,
    ) -> StageResult:
        entries = self.entries(stage.name)
        keys = [job.key for job in before.plan.jobs]
        held = {key: entries[key] for key in keys if key in before.current or key in ran}
        failed = [entry for entry in held.values() if entry.status == "failed"]
        excluded = [entry for entry in held.values() if entry.status == "excluded"]
        usable = [held[key] for key in keys if key in held and held[key].status != "failed"]
        summary = Summary()
        complete = len(held) == len(keys)
        stopped = bool(failed) and not self.options.keep_going
        if not stopped:
            summary = stage.finish(self, before.plan, usable)
            if complete:
                record.table_definition = table_definition(
                    stage, before.plan, usable, [sha256(p) for p in before.plan.table_inputs]
                )
                self._compact(stage)
        record.status = "failed" if failed else "done" if complete else "partial"
        if failed:
            record.table_definition = ""
        record.counts = {
            "jobs": len(keys),
            "done": sum(e.status == "done" for e in held.values()),
            "excluded": len(excluded),
            "failed": len(failed),
            **summary.counts,
        }
        record.models = summary.models
        record.inputs = {
            self.places.write(p): Fingerprint.of(p).to_json() for p in before.plan.table_inputs
        }
        record.outputs = {
            self.results.relative(p): Fingerprint.of(p).to_json() for p in summary.outputs
        }
        record.failures = [_brief(entry) for entry in failed]
        record.excluded = [_brief(entry) for entry in excluded]
        record.warnings = [
            *summary.warnings,
            *(
                f"{e.plate}/{e.field}: {text}" if e.field else text
                for e in usable
                for text in e.warnings
            ),
        ]
        record.finished = _now()
        summary.warnings = record.warnings
        steps = self._update_ledger(stage)
        record.seconds = round(time.perf_counter() - started, 3)
        self._record(stage, record)
        return StageResult(
            stage, record.status, before.reason, summary, excluded, failed, steps, record.seconds
        )

    def _update_ledger(self, stage: Stage) -> list[tuple[str, str, int]]:
        """Rebuild the ledger from the jobs that still count."""
        if not stage.ledger:
            return []
        # pandas: not where nothing is to be done
        from nucprof.io.tables import write_table
        from nucprof.run import ledger

        stages = [s for s in STAGES if not s.skip(self.project)]
        tables = {
            name: {
                str(self.results.absolute(path)): known for path, known in record.outputs.items()
            }
            for name, record in self.manifest.stages.items()
        }
        journals = {s.name: self.entries(s.name) for s in stages}
        table = ledger.build(current_jobs(stages, self.project, journals, tables))
        write_table(self.results.cells, table)
        return ledger.waterfall(table, [s.name for s in STAGES])

    def _record(self, stage: Stage, record: StageRecord) -> None:
        self.manifest.project = self.project.project.name
        self.manifest.stages[self._record_name(stage)] = record
        self.manifest.write()

    def _untouched(self, stage: Stage) -> StageResult:
        reason = stage.skip(self.project)
        status = "not needed" if reason else "up to date"
        return self._ended(StageResult(stage, status, reason or self._status(stage)))

    def _ended(self, result: StageResult) -> StageResult:
        self.reporter.finished(result)
        return result

    def _refuse_to_undo(self, stages: Sequence[Stage]) -> None:
        for stage in stages:
            record = self.manifest.stages.get(stage.name)
            if record is None or not record.overrides:
                continue
            now = parameters(self.project, stage)
            undone = {k: v for k, v in record.overrides.items() if k in now and now[k] != v}
            if undone:
                flags = ", ".join(f"{key} = {value!r}" for key, value in undone.items())
                raise UserError(
                    f"'{stage.command}' was run with {flags}, which the project file does not say; "
                    f"run-all would undo that. Make it permanent (nucprof {stage.command} ... "
                    "--save), or run with --force to go by the file."
                )


def chosen_stages(first: str | None, last: str | None) -> list[Stage]:
    """Stages from ``first`` to ``last``, both included; raises :class:`UserError`."""
    names = [stage.name for stage in STAGES]
    for name in (first, last):
        if name is not None and name not in names:
            raise UserError(f"There is no stage '{name}'; stages are {', '.join(names)}.")
    start = names.index(first) if first else 0
    stop = names.index(last) + 1 if last else len(names)
    if start >= stop:
        raise UserError(f"--from {first} lies after --until {last}.")
    return list(STAGES[start:stop])


def _brief(entry: Entry) -> dict[str, str]:
    return {
        "plate": entry.plate,
        "field": entry.field,
        "reason": entry.reason,
        "message": entry.message,
    }


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
