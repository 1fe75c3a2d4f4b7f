"""Running one stage, or all of them."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from nucprof.config import Project
from nucprof.errors import UserError
from nucprof.io.digest import sha256
from nucprof.io.files import Fingerprint
from nucprof.machine import one_order_of_sums
from nucprof.plate.keys import FieldKey, FieldSelector
from nucprof.plate.words import several
from nucprof.run import journal
from nucprof.run.copies import copied_images
from nucprof.run.current import current_jobs
from nucprof.run.definition import parameters, table_definition
from nucprof.run.executor import run_jobs
from nucprof.run.lock import is_read_only
from nucprof.run.manifest import StageRecord, now, versions
from nucprof.run.owner import claim
from nucprof.run.plan import Assessment, assess
from nucprof.run.pool import Pool, worker_count
from nucprof.run.reporter import Reporter, Silent, StageResult
from nucprof.run.space import require_space
from nucprof.run.state import RunState
from nucprof.stages import STAGES, chosen_stages
from nucprof.stages.base import Entry, J, Job, Stage, Summary

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


class Run(RunState):
    """A project being run; the :class:`~nucprof.stages.base.Context` of its stages.

    Parameters
    ----------
    project : Project
    options : Options
    reporter : Reporter
    name : str
        Name under which a classifier is trained or applied (``--name``).
    out : Path, optional
        Folder for :func:`~nucprof.run.elsewhere.run_elsewhere` (``--out``).
    """

    def __init__(
        self,
        project: Project,
        options: Options | None = None,
        reporter: Reporter | None = None,
        *,
        name: str = "default",
        out: Path | None = None,
    ) -> None:
        self.options = options or Options()
        self.reporter = reporter or Silent()
        super().__init__(project, name=name, out=out)
        self._pool = Pool(1)
        self._claimed = False

    def note(self, text: str) -> None:
        """Tell the user of damage that is mended."""
        self.reporter.note(text)

    def perform(self, stage: Stage, jobs: Sequence[J]) -> Iterator[Entry]:
        """Do jobs that are not part of the results, in the stage's workers; nothing is recorded."""
        work = [(job, "aside") for job in jobs]
        yield from run_jobs(self._pool, stage.work, work, stop_early=lambda: False)

    @contextlib.contextmanager
    def workers_of(self, stage: Stage, jobs: Sequence[J]) -> Iterator[None]:
        """Keep a stage's workers for everything that runs inside the block."""
        self._pool = self._make_pool(stage, jobs)
        with self._pool.hold():
            yield

    def spread(self, function: Callable[[T], U], items: Sequence[T]) -> list[U]:
        """Apply a function of a module to items, in the workers that do the stage's jobs."""
        return self._pool.map(function, items)

    def assess(self, stage: Stage, *, force: bool = False) -> Assessment:
        """What a stage has to do; with ``force`` also the chosen fields that are current.

        Raises :class:`UserError` if an input stage has not run.
        """
        self.require_needs(stage)
        selector = FieldSelector(self.options.fields)

        def forced(job: Job) -> bool:
            chosen = not self.options.fields or not job.field
            return force and (chosen or selector.matches(job.plate, FieldKey.parse(job.field)))

        return assess(
            stage,
            self,
            self.manifest.stages.get(self.record_name(stage)),
            self.entries(stage.name),
            places=self.places,
            forced=forced,
        )

    def run_stage(self, stage: Stage) -> StageResult:
        """Run a stage as far as it is stale.

        Raises :class:`UserError` if an input stage has not run or the settings do not fit.
        """
        started = time.perf_counter()
        self.claim()
        reason = stage.skip(self.project)
        if reason:
            if self._status(stage) != "not needed":
                self._record(stage, StageRecord("not needed", warnings=[reason]))
            return self._ended(StageResult(stage, "not needed", reason))
        assessment = self.assess(stage, force=self.options.force)
        self._refuse_without_fields(stage, assessment)
        chosen = self._chosen(assessment)
        if assessment.up_to_date:
            self._restore(stage)
            return self._ended(StageResult(stage, "up to date", self._status(stage)))
        self.tell_of_fields(stage, assessment.plan.jobs)
        self._refuse_read_only(stage)
        jobs = [job for job, _ in chosen]
        self.require_unaltered(stage, jobs)
        require_space(stage, self, jobs, self.results.root)
        record = self._begin(stage)
        self.reporter.started(stage, len(chosen), assessment.reason)
        self._forget(stage, assessment.vanished)
        with one_order_of_sums():
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

        Stops after a stage with failures unless ``keep_going``. If all stages are known to be
        ``up_to_date`` or are not needed, nothing is checked again.
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

    def tell_of_fields(self, stage: Stage, jobs: Sequence[Job]) -> None:
        """Say that chosen fields do not limit a stage that works on the whole project."""
        if self.options.fields and not any(job.field for job in jobs):
            self.note(f"{stage.name} works on the whole project; --fields does not limit it")

    def claim(self) -> None:
        """Make the results folder the project's own; raises :class:`UserError` for another's."""
        if not self._claimed:
            claim(self.project, self.results)
            self._claimed = True

    # ------------------------------------------------------------------ the steps of a stage

    def _status(self, stage: Stage) -> str:
        record = self.manifest.stages.get(self.record_name(stage))
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

    def _refuse_without_fields(self, stage: Stage, assessment: Assessment) -> None:
        if assessment.plan.jobs:
            return
        gone = {s.name: len(e) for s in STAGES if (e := self._left_at(s))}
        where = "; ".join(f"{several(n, 'field')} left out by {name}" for name, n in gone.items())
        raise UserError(
            f"'{stage.command}' has no field to work on: {where or 'there is none'}. The reasons "
            "are in the lines of these stages above, and in: nucprof report PROJECT"
        )

    def _left_at(self, stage: Stage) -> list[Entry]:
        return [e for e in self.entries(stage.name).values() if e.status == "excluded"]

    def _refuse_read_only(self, stage: Stage) -> None:
        if not is_read_only(self.results.root):
            return
        copy = "Change its permissions, or copy the project and its results."
        advice = "Write to another folder: --out FOLDER." if stage.elsewhere else copy
        raise UserError(
            f"{self.results.root} is read-only, and '{stage.command}' would write there. {advice}"
        )

    def _begin(self, stage: Stage) -> StageRecord:
        before = self.manifest.stages.get(self.record_name(stage))
        record = self.new_record(stage)
        record.outputs = before.outputs if before else {}
        self._record(stage, record)
        return record

    def new_record(self, stage: Stage) -> StageRecord:
        """The record of a stage that begins now."""
        return StageRecord(
            "partial",
            parameters=parameters(self.project, stage),
            overrides=dict(self.options.overrides),
            versions=versions(),
            device=self.project.execution.device,
            started=now(),
        )

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

    def _restore(self, stage: Stage) -> None:
        """Make again what belongs to a finished stage and is not in its record."""
        if self.damaged(stage):
            self._compact(stage)
        known = self.manifest.cells
        if stage.ledger and not (known and Fingerprint(*known).matches(self.results.cells)):
            if known:
                self.note(f"{self.results.cells} is missing or was changed; it is made again")
            self._update_ledger(stage)
            self.manifest.write()

    def _compact(self, stage: Stage) -> None:
        path = self.results.journal(self.record_name(stage))
        entries = self.entries(stage.name)
        journal.rewrite(path, [entries[key] for key in sorted(entries)], self.places)
        self.forget_faults(stage)

    def _run_jobs(self, stage: Stage, jobs: list[tuple[Job, str]]) -> set[tuple[str, str]]:
        """Run jobs, journal each as it finishes, and return the keys of those that ran."""
        path = self.results.journal(self.record_name(stage))
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
            return Pool(1)  # a single job for the whole project runs in this process
        workers = min(worker_count(execution.workers), max(1, len(jobs)))
        isolated = stage.isolated(self.project)
        shared = (self.results.manifest, *(jobs[0].inputs[:1] if jobs else ()))
        return Pool(
            workers,
            isolated,
            execution.scheduler,
            execution.timeout,
            tuple(path for path in shared if path.is_file()),
        )

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
        older = [k for k in keys if k not in held and k in entries and entries[k].status == "done"]
        if older:
            # tables of the chosen fields alone would lose the rows of all others
            summary.warnings.append(
                f"{len(older)} of {len(keys)} fields are not up to date and were not chosen, so "
                f"the tables stay as they were; for all fields run: nucprof {stage.command} PROJECT"
            )
        elif not stopped:
            summary = stage.finish(self, before.plan, usable)
            record.outputs = {
                self.results.relative(p): Fingerprint.of(p).to_json() for p in summary.outputs
            }
            if complete:
                record.table_definition = table_definition(
                    stage, before.plan, usable, [sha256(p) for p in before.plan.table_inputs]
                )
                self._compact(stage)
        if stage.reads_images:
            summary.warnings += copied_images(held.values(), self.images, self._read_before(stage))
        record.status = "failed" if failed else "done" if complete else "partial"
        if failed:
            record.table_definition = ""
        record.tell(len(keys), list(held.values()), summary)
        record.inputs = {
            self.places.write(p): Fingerprint.of(p).to_json() for p in before.plan.table_inputs
        }
        summary.warnings = record.warnings
        steps = self._update_ledger(stage)
        record.seconds = round(time.perf_counter() - started, 3)
        self._record(stage, record)
        return StageResult(
            stage, record.status, before.reason, summary, excluded, failed, steps, record.seconds
        )

    def _read_before(self, stage: Stage) -> list[Entry]:
        """Jobs of earlier stages that read the microscope's own files."""
        earlier = STAGES[: STAGES.index(stage)]
        return [e for s in earlier if s.reads_images for e in self.entries(s.name).values()]

    def _update_ledger(self, stage: Stage) -> list[tuple[str, str, int]]:
        """Rebuild the ledger from the jobs that are current; the waterfall of cells."""
        if not stage.ledger:
            return []
        from nucprof.run import ledger  # pandas is slow to import

        stages = [s for s in STAGES if not s.skip(self.project)]
        tables = {
            name: {
                str(self.results.absolute(path)): known for path, known in record.outputs.items()
            }
            for name, record in self.manifest.stages.items()
        }
        journals = {s.name: self.entries(s.name) for s in stages}
        current = current_jobs(stages, self.project, journals, tables)
        steps = ledger.write(self.results.cells, current, [s.name for s in STAGES])
        self.manifest.cells = Fingerprint.of(self.results.cells).to_json()
        self.manifest.waterfall = steps
        return steps

    def _record(self, stage: Stage, record: StageRecord) -> None:
        self.manifest.project = self.project.project.name
        self.manifest.stages[self.record_name(stage)] = record
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
            file = parameters(self.project, stage)
            undone = {k: v for k, v in record.overrides.items() if k in file and file[k] != v}
            if undone:
                flags = ", ".join(f"{key} = {value!r}" for key, value in undone.items())
                raise UserError(
                    f"'{stage.command}' was run with {flags}, but the project file has other "
                    f"values, and run-all would undo the change. Make it permanent (nucprof "
                    f"{stage.command} ... --save), or run with --force to use the project file."
                )
