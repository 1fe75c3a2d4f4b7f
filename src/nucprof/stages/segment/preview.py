"""``segment --preview``: segment a few fields aside, to choose settings."""

from __future__ import annotations

import shutil
from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path

from nucprof.core.sample import evenly_spaced
from nucprof.errors import UserError
from nucprof.plate.keys import FieldKey, FieldSelector
from nucprof.segmentation.cell_channels import cell_channels_path
from nucprof.segmentation.quality_report import overlay_path, write_overlay
from nucprof.segmentation.scale_file import scale_path
from nucprof.stages.base import ActionResult, Context, Entry, Stage
from nucprof.stages.segment.job import SegmentJob, describe_backend, plan
from nucprof.stages.segment.plates import describe_plates, known_scales, measure_plates


def preview_fields(
    context: Context, stage: Stage, value: int, fields: Sequence[str]
) -> ActionResult:
    """Segment evenly spaced fields into ``segment/preview`` and draw their outlines.

    Masks, ledger, journal and manifest stay as they are.

    Parameters
    ----------
    context : Context
    stage : Stage
        The declaration of this stage.
    value : int
        Fields in all.
    fields : sequence of str
        Where given, the fields or wells to choose from.

    Raises
    ------
    UserError
        There is no such field.
    """
    folder = context.results.folder("segment", "preview")
    jobs = plan(context).jobs
    selector = FieldSelector(tuple(fields))
    among = [j for j in jobs if not fields or selector.matches(j.plate, FieldKey.parse(j.field))]
    if value < 1 or not among:
        raise UserError(f"--preview {value}: there are {len(among)} fields to choose from.")
    known = known_scales(jobs)
    chosen = [_aside(job, folder, known) for job in evenly_spaced(among, value)]
    _clear(folder)
    plates = {job.plate for job in chosen}
    with context.workers_of(stage, chosen):
        measure_plates(context, [_aside(j, folder, known) for j in jobs if j.plate in plates])
        entries = {entry.key: entry for entry in context.perform(stage, chosen)}
    measured = describe_plates(chosen)
    lines = [
        describe_backend(context.project.segment, chosen[0]), *measured.lines, *measured.warnings
    ]  # fmt: skip
    failures: list[str] = []
    for job in chosen:
        told, failed = _result(job, entries[job.key], folder)
        (failures if failed else lines).append(told)
    return ActionResult([*lines, "Nothing else was changed."], failures)


def _result(job: SegmentJob, entry: Entry, folder: Path) -> tuple[str, bool]:
    """Draw the outlines of a field; a line about it, and whether it failed."""
    if entry.record is None:
        return f"{job.name}: {entry.message.splitlines()[0]}", entry.status == "failed"
    path = overlay_path(folder, job.key)
    write_overlay(path, job.overlay)
    return f"{job.name}: {entry.record.cells} {job.mode}, {path}", False


def _aside(job: SegmentJob, folder: Path, known: Container[Path]) -> SegmentJob:
    """The same job, writing below `folder`; it uses the scale of the run if that is `known`."""
    if job.cell_channels is not None:
        job = replace(job, cell_channels=cell_channels_path(folder, job.plate))
    *masks, table = job.outputs
    outputs = (
        *(folder / job.plate / path.parent.name / path.name for path in masks),
        folder / job.plate / "objects" / table.name,
    )
    if job.scale is None or job.scale in known:
        return replace(job, outputs=outputs)
    return replace(job, outputs=outputs, scale=scale_path(folder, job.plate))


def _clear(folder: Path) -> None:
    """Remove an earlier preview, but not its scales, which take time and may still be valid."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path)
