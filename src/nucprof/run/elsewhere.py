"""Running a stage into another folder: nothing in the project's results is touched (``--out``)."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nucprof.errors import MachineError, UserError
from nucprof.io.files import Fingerprint
from nucprof.io.results import Results
from nucprof.run.lock import locked
from nucprof.run.manifest import Manifest
from nucprof.run.owner import claim
from nucprof.run.pipeline import Run
from nucprof.run.reporter import StageResult
from nucprof.stages.base import Stage


def run_elsewhere(run: Run, stage: Stage) -> StageResult:
    """Run a stage of one job, and write its files and its record into ``run.written``.

    The record is the folder's ``manifest.json``. It names the files that were read, with their
    hashes. The work is always done.

    Raises
    ------
    UserError
        The folder holds something else, an earlier stage has not run, or its results were changed.
    MachineError
        A file was changed while the stage read it.
    """
    results, written = run.results, run.written
    check_folder(results, written)
    run.require_needs(stage)
    started = time.perf_counter()
    plan = stage.plan(run)
    run.require_unaltered(stage, plan.jobs)
    run.tell_of_fields(stage, plan.jobs)
    with locked(written.lock, f"nucprof {stage.command}"):
        claim(run.project, written)
        record = run.new_record(stage)
        run.reporter.started(stage, 1, f"into {written.root}")
        if results.colours.is_file():  # a class has one colour in all figures
            shutil.copyfile(results.colours, written.colours)
        with run.workers_of(stage, plan.jobs):
            (entry,) = run.perform(stage, plan.jobs)
        run.reporter.job_done(stage, entry)
        if entry.status == "failed":
            return _ended(run, StageResult(stage, "failed", failed=[entry]))
        _refuse_changed(entry.inputs)
        summary = stage.finish(run, plan, [entry])
        record.status = "done"
        record.inputs = dict(entry.inputs)
        record.outputs = {
            written.relative(path): Fingerprint.of(path).to_json() for path in summary.outputs
        }
        record.tell(1, [entry], summary)
        summary.warnings = record.warnings
        record.seconds = round(time.perf_counter() - started, 3)
        manifest = Manifest.read(written.manifest)
        manifest.project = run.project.project.name
        manifest.stages[run.record_name(stage)] = record
        manifest.write()
    return _ended(run, StageResult(stage, "done", summary=summary, seconds=record.seconds))


def check_folder(results: Results, written: Results) -> None:
    """Refuse a folder in the results, or one with files that no earlier call wrote."""
    folder = written.root
    if folder.is_relative_to(results.root):
        raise UserError(
            f"--out {folder} lies in the results, {results.root}. Name a folder outside, or leave "
            "--out away to write there."
        )
    if folder.is_dir() and not written.owner.is_file() and any(folder.iterdir()):
        raise UserError(f"--out {folder} holds other files. Name a new or an empty folder.")


def _refuse_changed(inputs: Mapping[str, Sequence[Any] | None]) -> None:
    for name, known in inputs.items():
        if known is not None and not Fingerprint(*known).matches(Path(name)):
            raise MachineError(
                f"{name} was changed while it was read: another command writes the results. Wait "
                "for it, and run this one again."
            )


def _ended(run: Run, result: StageResult) -> StageResult:
    run.reporter.finished(result)
    return result
