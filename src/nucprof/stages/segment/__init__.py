"""Find nuclei or whole cells; write label images.

``job``: what is done to a field. ``field``: doing it. ``plates``: what is measured once per plate.
``preview``: a few fields, aside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from nucprof.config import Project
from nucprof.config.segmenters import unused_keys
from nucprof.plate.words import several
from nucprof.raw.space import MASK_BYTES_PER_PIXEL, pixels
from nucprof.segmentation import choose
from nucprof.segmentation.quality_report import report_quality
from nucprof.stages.base import (
    ActionResult,
    Context,
    Entry,
    Plan,
    Stage,
    StageOption,
    Summary,
    needs,
)
from nucprof.stages.segment.field import work
from nucprof.stages.segment.job import SegmentJob, SegmentRecord, describe_backend, plan
from nucprof.stages.segment.plates import describe_plates, measure_plates
from nucprof.stages.segment.preview import preview_fields


def space(context: Context, jobs: Sequence[SegmentJob]) -> float:
    """Bytes of the masks: those of the first field of a plate, for every one."""
    total = 0.0
    for plate in {job.plate for job in jobs}:
        masks = [len(job.mask_files) for job in jobs if job.plate == plate]
        first = next((s for job in jobs if job.plate == plate for s in job.sources.values()), None)
        total += pixels(first) * sum(masks) * MASK_BYTES_PER_PIXEL if first else 0.0
    return total


def prepare(context: Context, plan: Plan[SegmentJob], jobs: Sequence[SegmentJob]) -> None:
    """Measure the plates of these jobs once, on a sample of all their fields."""
    plates = {job.plate for job in jobs}
    measure_plates(context, [job for job in plan.jobs if job.plate in plates])


def finish(
    context: Context, plan: Plan[SegmentJob], entries: Sequence[Entry[SegmentRecord]]
) -> Summary:
    """Count cells; report backend, scale and model; write quality figures and overlays."""
    first, asked = plan.jobs[0], context.project.segment
    records = {entry.key: entry.record for entry in entries if entry.record is not None}
    cells = sum(record.cells for record in records.values())
    summary = Summary(counts={"cells": cells})
    summary.lines.append(f"{cells} {first.mode} in {several(len(records), 'field')}")
    summary.lines.append(describe_backend(asked, first))
    if first.model_name:
        summary.models[first.model_name] = first.weights
    measured = describe_plates(plan.jobs)
    summary.outputs += measured.files
    summary.counts.update({f"scale {plate}": scale for plate, scale in measured.scales.items()})
    summary.lines += measured.lines
    summary.warnings += measured.warnings
    if first.precision:
        summary.counts["precision"] = first.precision
    summary.outputs += _write_objects(context, plan, records)
    for key in unused_keys(asked, type(first.settings)):
        summary.warnings.append(
            f"segment.{key} is set, but the {first.backend} backend does not use it"
        )
    quality = report_quality(
        context.results.folder("segment"),
        {key: record.quality for key, record in records.items()},
        {job.key: job.overlay for job in plan.jobs},
    )
    summary.outputs += quality.outputs
    summary.counts["flagged"] = quality.flagged
    summary.lines += quality.lines
    summary.warnings += quality.warnings
    return summary


def _write_objects(
    context: Context, plan: Plan[SegmentJob], records: Mapping[tuple[str, str], SegmentRecord]
) -> list[Path]:
    """Write the table of all objects, and the nuclear size of every plate."""
    from nucprof.segmentation.nuclear_size import median_areas, write_nuclear_size
    from nucprof.segmentation.object_table import write_objects

    areas = median_areas([(plate, r.nuclear_area_px, r.cells) for (plate, _), r in records.items()])
    parts = [job.outputs[-1] for job in plan.jobs if job.key in records]
    table = context.results.objects
    if parts:
        write_objects(parts, table, areas)
    return [*([table] if parts else []), write_nuclear_size(context.results, areas)]


def _preview(context: Context, value: int, fields: Sequence[str]) -> ActionResult:
    return preview_fields(context, STAGE, value, fields)


def _is_isolated(project: Project) -> bool:
    known = choose.segmenters()
    settings = project.segment
    if settings.backend is None:  # the defaults depend on the machine
        return any(s.isolated for s in known.values() if settings.mode in s.finds and s.model)
    return settings.backend not in known or known[settings.backend].isolated


STAGE = Stage(
    name="segment",
    help="Find nuclei or whole cells",
    sections=("segment",),
    needs=needs("rename"),
    makes=("masks/", "segment/objects.parquet", "segment/qc.csv", "cells.parquet"),
    plan=plan,
    work=work,
    finish=finish,
    prepare=prepare,
    record=SegmentRecord,
    isolated=_is_isolated,
    options=(
        StageOption(
            "--preview",
            int,
            "only segment this many fields and draw their outlines, to choose settings",
            _preview,
        ),
    ),
    reads_images=True,
    space=space,
    version=5,
)
