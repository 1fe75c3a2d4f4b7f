"""``segment --preview``: a few fields done aside, to choose parameters before the night run."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from nucprof.core.sample import evenly_spaced
from nucprof.errors import UserError
from nucprof.plate.keys import FieldKey, FieldSelector
from nucprof.run.executor import Pool, run_jobs, worker_count
from nucprof.run.pipeline import Run
from nucprof.segmentation.quality_report import overlay_path, write_overlay
from nucprof.segmentation.scale_file import choose_scale, describe_scale, scale_is_known, scale_path
from nucprof.stages import stage
from nucprof.stages.base import Entry, Job
from nucprof.stages.segment import describe_backend, plan


@dataclass(frozen=True)
class Preview:
    """What a preview found.

    Attributes
    ----------
    folder : Path
        Where the overlays lie, ``<plate>/B-02-01.png``.
    choices : list of str
        What was chosen: the backend and, where it is measured, the scale of every plate.
    fields : list of (Entry, Path)
        Every field with its overlay (which a field that failed does not have).
    """

    folder: Path
    choices: list[str]
    fields: list[tuple[Entry, Path]]


def preview_segmentation(run: Run, count: int) -> Preview:
    """Segment evenly spaced fields into ``segment/preview`` and draw their outlines.

    Masks, ledger, journal and manifest stay as they are.

    Parameters
    ----------
    run : Run
        Its ``fields`` limit what is chosen from.
    count : int
        Fields in all.

    Raises
    ------
    UserError
        There is no such field, or the images have not been listed yet.
    """
    folder = run.results.folder("segment", "preview")
    jobs = list(plan(run).jobs)
    selector = FieldSelector(run.options.fields)
    among = [
        job
        for job in jobs
        if not run.options.fields or selector.matches(job.plate, FieldKey.parse(job.field))
    ]
    if count < 1 or not among:
        raise UserError(f"--preview {count}: there are {len(among)} fields to choose from.")
    chosen = evenly_spaced([_aside(job, folder) for job in among], count)
    _clear(folder)
    choices = [describe_backend(run.project.segment, jobs[0].params["settings"])]
    for plate in dict.fromkeys(job.plate for job in chosen):
        own = [_aside(job, folder) for job in jobs if job.plate == plate]
        choose_scale(own)
        path = own[0].runtime["scale"]
        choices += [describe_scale(plate, path)] if path is not None else []
    workers = min(worker_count(run.project.execution.workers), len(chosen))
    pool = Pool(workers, stage("segment").isolated(run.project))
    work = [(job, "preview") for job in chosen]
    entries = {e.key: e for e in run_jobs(pool, "segment", work, stop_early=lambda: False)}
    for job in chosen:
        if entries[job.key].status == "done":
            write_overlay(overlay_path(folder, job), job)
    return Preview(folder, choices, [(entries[j.key], overlay_path(folder, j)) for j in chosen])


def _aside(job: Job, folder: Path) -> Job:
    """The same job, writing below `folder`; the scale is the run's own where that one fits."""
    outputs = tuple(
        folder / job.plate / path.parent.name / path.name
        for path in job.outputs  # <plate>/<kind>/<field>.tif
    )
    known: Path | None = job.runtime["scale"]
    if known is None or scale_is_known(known, job):
        return replace(job, outputs=outputs)
    runtime = {**job.runtime, "scale": scale_path(folder, job.plate)}
    return replace(job, outputs=outputs, runtime=runtime)


def _clear(folder: Path) -> None:
    """Remove an earlier preview, but not its scales, which cost time and may still fit."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path)
