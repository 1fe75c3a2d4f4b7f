"""Find nuclei or whole cells; write label images."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nucprof.config import Project, Section
from nucprof.config.segmenters import SegmentSettings, own_settings, unused_keys
from nucprof.core.sample import evenly_spaced
from nucprof.errors import UserError
from nucprof.io.digest import WHERE_IT_RUNS
from nucprof.machine import thread_share
from nucprof.plate.keys import CP_ROUND, FieldKey, FieldSelector
from nucprof.plate.sources import Source, pixel_size
from nucprof.segmentation import choose, weights
from nucprof.segmentation.backends.base import Planes, Request, Segmentation
from nucprof.segmentation.quality_report import (
    Overlay,
    overlay_path,
    report_quality,
    write_overlay,
)
from nucprof.segmentation.scale_file import (
    Measurement,
    describe_scale,
    ensure_scale,
    read_scale,
    scale_is_known,
    scale_path,
)
from nucprof.stages.base import (
    ActionResult,
    Context,
    Drop,
    Entry,
    Job,
    Outcome,
    Plan,
    Stage,
    StageOption,
    Summary,
    needs,
    read_sources,
)


@dataclass(frozen=True, kw_only=True)
class SegmentJob(Job):
    """One field to segment.

    ``sources`` lacks a channel that has no file. ``masks`` are the field's masks made elsewhere, by
    kind. ``weights`` is the hash of the network's weights.
    """

    backend: str
    settings: Section
    mode: str
    clear_border: bool
    channels: tuple[str, ...]
    sources: dict[str, Source]
    weights: str
    masks: dict[str, Path]
    scale: Path | None
    model: Path | None = dataclasses.field(metadata=WHERE_IT_RUNS)
    model_name: str = dataclasses.field(metadata=WHERE_IT_RUNS)
    device: str = dataclasses.field(metadata=WHERE_IT_RUNS)


@dataclass(frozen=True)
class SegmentRecord:
    """Cells kept in a field, and what is known of the quality of their masks."""

    cells: int
    quality: dict[str, float]


def plan(context: Context) -> Plan[SegmentJob]:
    """One job per Cell Painting field."""
    project, results = context.project, context.results
    settings = project.segment
    segmenter = choose.choose_segmenter(settings, project.execution.device)
    own = own_settings(settings, segmenter.settings)
    model = choose.find_model(segmenter, own, project.execution.models_dir)
    channels = _channels(settings, project.channels.nuclei, project.channels.cell_painting)
    kinds = ["nuclei", "cells"] if settings.mode == "cells" else ["nuclei"]
    selector = FieldSelector(tuple(project.project.exclude))
    common: dict[str, Any] = {
        "backend": segmenter.name,
        "settings": own,
        "mode": settings.mode,
        "clear_border": settings.clear_border,
        "channels": tuple(channels),
        "weights": weights.model_hash(model) if model else "",
        "model": model,
        "model_name": choose.model_name(segmenter, own) or "",
        "device": project.execution.device,
    }
    measured = segmenter.measures_scale and getattr(own, "scale", None) == "auto"
    jobs = []
    for plate, field in context.images.fields(CP_ROUND):
        if selector.matches(plate, FieldKey.parse(field)):
            continue
        held = context.images.channels[plate, field, CP_ROUND]
        sources = {name: held[name] for name in channels if name in held}
        masks = dict(segmenter.files(own, plate, field, settings.mode)) if segmenter.files else {}
        scale = scale_path(results.folder("segment"), plate) if measured else None
        files = dict.fromkeys(path for source in sources.values() for path in source.files)
        jobs.append(
            SegmentJob(
                plate=plate,
                field=field,
                inputs=(*files, *masks.values(), *([scale] if scale else [])),
                outputs=tuple(results.mask(plate, kind, field) for kind in kinds),
                sources=sources,
                masks=masks,
                scale=scale,
                **common,
            )
        )
    return Plan(jobs, consulted=(*_files_of_model(model), *_folders_of_masks(own)))


def _files_of_model(model: Path | None) -> list[Path]:
    if model is None:
        return []
    return [model, *(model.iterdir() if model.is_dir() else [])]


def _folders_of_masks(own: Section) -> list[Path]:
    folder: Path | None = getattr(own, "path", None)
    return [] if folder is None else [folder]


def prepare(context: Context, plan: Plan[SegmentJob], jobs: Sequence[SegmentJob]) -> None:
    """Choose the scale of every plate once, on a sample of all its fields."""
    for plate in dict.fromkeys(job.plate for job in jobs):
        _ensure_scale([job for job in plan.jobs if job.plate == plate])


def _ensure_scale(jobs: Sequence[SegmentJob]) -> None:
    first = jobs[0]
    if first.scale is None:
        return
    assert first.model is not None
    planes = {j.field: j.sources[j.channels[0]] for j in jobs if j.channels[0] in j.sources}
    ensure_scale(first.scale, _measurement(first), first.model, planes)


def _measurement(job: SegmentJob) -> Measurement:
    pmin, pmax = getattr(job.settings, "pmin", 1.0), getattr(job.settings, "pmax", 99.0)
    return Measurement(job.weights, job.channels[0], pmin, pmax)


def work(job: SegmentJob) -> Outcome[SegmentRecord]:
    """Segment one field."""
    from nucprof.core.quality import measure_quality
    from nucprof.io.images import write_labels
    from nucprof.segmentation.objects import clean_cells, clean_nuclei
    from nucprof.segmentation.planes import split_planes

    image = read_sources(job, job.sources, job.channels)
    planes = Planes(*split_planes(image, job.mode), job.name, job.masks)
    found = _segment(job, planes)
    labels = found.labels(job.mode)
    if job.mode == "cells":
        objects = clean_cells(labels, found.nuclei, planes.nuclei, drop_border=job.clear_border)
    else:
        objects = clean_nuclei(labels, drop_border=job.clear_border)
    for path, mask in zip(job.outputs, objects.masks.values(), strict=True):
        write_labels(path, mask, pixel_size(job.sources))
    gone = objects.dropped.items()
    return Outcome(
        SegmentRecord(objects.kept, measure_quality(planes.nuclei, labels)),
        objects.ids.tolist(),
        [Drop(job.plate, job.field, reason, ids.tolist()) for reason, ids in gone],
        [] if objects.kept else ["no cells found"],
    )


def _segment(job: SegmentJob, planes: Planes) -> Segmentation:
    given = getattr(job.settings, "scale", 1.0)
    scale = read_scale(job.scale) if job.scale else 1.0 if given == "auto" else float(given)
    request = Request(job.settings, job.mode, job.model, scale, job.device, thread_share())
    return choose.load(job.backend, request).segment(planes)


def _channels(settings: SegmentSettings, nuclear: str, painted: list[str]) -> list[str]:
    if settings.mode == "nuclei":
        return settings.channels or [nuclear]
    chosen = settings.channels or painted
    return [nuclear, *(name for name in chosen if name != nuclear)]


def describe_backend(asked: SegmentSettings, job: SegmentJob) -> str:
    """How objects are found, and why so where the settings leave it to the machine."""
    model = f", model {job.model_name}" if job.model_name else ""
    line = f"{job.mode} by {job.backend}{model}"
    note = choose.segmenters()[job.backend].note
    return f"{line}: {note}" if asked.backend is None and note else line


def finish(
    context: Context, plan: Plan[SegmentJob], entries: Sequence[Entry[SegmentRecord]]
) -> Summary:
    """Count cells; tell backend, scale and model; write quality figures and overlays."""
    first, asked = plan.jobs[0], context.project.segment
    records = {entry.key: entry.record for entry in entries if entry.record is not None}
    cells = sum(record.cells for record in records.values())
    summary = Summary(counts={"cells": cells})
    summary.lines.append(f"{cells} {first.mode} in {len(entries)} fields")
    summary.lines.append(describe_backend(asked, first))
    if first.model_name:
        summary.models[first.model_name] = first.weights
    for plate, path in {job.plate: job.scale for job in plan.jobs}.items():
        if path is not None and path.is_file():
            summary.outputs.append(path)
            summary.counts[f"scale {plate}"] = read_scale(path)
            summary.lines.append(describe_scale(plate, path))
    for key in unused_keys(asked, type(first.settings)):
        summary.warnings.append(
            f"segment.{key} is set, but the {first.backend} backend does not use it"
        )
    quality = report_quality(
        context.results.folder("segment"),
        {key: record.quality for key, record in records.items()},
        {job.key: overlay_of(job) for job in plan.jobs},
    )
    summary.outputs += quality.outputs
    summary.counts["flagged"] = quality.flagged
    summary.lines += quality.lines
    summary.warnings += quality.warnings
    return summary


def overlay_of(job: SegmentJob) -> Overlay:
    """How the overlay of a field is drawn."""
    sources = tuple(job.sources[name] for name in job.channels if name in job.sources)
    return Overlay(sources, job.outputs, job.mode)


def preview(context: Context, value: int, fields: Sequence[str]) -> ActionResult:
    """Segment evenly spaced fields into ``segment/preview`` and draw their outlines.

    Masks, ledger, journal and manifest stay as they are.

    Parameters
    ----------
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
    jobs = list(plan(context).jobs)
    selector = FieldSelector(tuple(fields))
    among = [j for j in jobs if not fields or selector.matches(j.plate, FieldKey.parse(j.field))]
    if value < 1 or not among:
        raise UserError(f"--preview {value}: there are {len(among)} fields to choose from.")
    chosen = evenly_spaced([_aside(job, folder) for job in among], value)
    _clear(folder)
    lines = [describe_backend(context.project.segment, jobs[0])]
    for plate in dict.fromkeys(job.plate for job in chosen):
        own = [_aside(job, folder) for job in jobs if job.plate == plate]
        _ensure_scale(own)
        lines += [describe_scale(plate, path) for path in (own[0].scale,) if path is not None]
    failures: list[str] = []
    entries = {entry.key: entry for entry in context.perform(STAGE, chosen)}
    for job in chosen:
        entry = entries[job.key]
        if entry.record is not None:
            path = overlay_path(folder, job.key)
            write_overlay(path, overlay_of(job))
            lines.append(f"{job.name}: {entry.record.cells} {job.mode}, {path}")
        else:
            message = f"{job.name}: {entry.message.splitlines()[0]}"
            (failures if entry.status == "failed" else lines).append(message)
    return ActionResult([*lines, "Nothing else was changed."], failures)


def _aside(job: SegmentJob, folder: Path) -> SegmentJob:
    """The same job, writing below `folder`; the scale is the run's own where that one fits."""
    outputs = tuple(
        folder / job.plate / path.parent.name / path.name
        for path in job.outputs  # <plate>/<kind>/<field>.tif
    )
    if job.scale is None or scale_is_known(job.scale, _measurement(job)):
        return replace(job, outputs=outputs)
    return replace(job, outputs=outputs, scale=scale_path(folder, job.plate))


def _clear(folder: Path) -> None:
    """Remove an earlier preview, but not its scales, which cost time and may still fit."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path)


def _is_isolated(project: Project) -> bool:
    known = choose.segmenters()
    settings = project.segment
    if settings.backend is None:  # whichever of the defaults the machine decides for
        return any(s.isolated for s in known.values() if settings.mode in s.finds and s.model)
    return settings.backend not in known or known[settings.backend].isolated


STAGE = Stage(
    name="segment",
    help="Find nuclei or whole cells",
    sections=("segment",),
    needs=needs("rename"),
    makes=("masks/", "cells.parquet"),
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
            "segment this many fields aside and draw their outlines, to choose settings",
            preview,
        ),
    ),
)
