"""Find nuclei or whole cells; write label images."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
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
from nucprof.raw.space import MASK_BYTES_PER_PIXEL, pixels
from nucprof.segmentation import choose, weights
from nucprof.segmentation.backends.base import Planes, Request, Segmentation
from nucprof.segmentation.backends.stardist import torch_device
from nucprof.segmentation.cell_channels import (
    FieldChannels,
    PlateChannels,
    cell_channels_path,
    describe_cell_channels,
    ensure_cell_channels,
    read_stains,
)
from nucprof.segmentation.quality_report import (
    Overlay,
    overlay_path,
    report_quality,
    write_overlay,
)
from nucprof.segmentation.scale_file import (
    Measurement,
    PlateToMeasure,
    describe_scale,
    ensure_scales,
    read_scale,
    scale_is_known,
    scale_path,
    warn_of_scale,
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

    ``sources`` lacks a channel that has no file. ``masks`` are existing masks of the field, by
    kind. ``weights`` is the hash of the network's weights, ``precision`` the number format of its
    multiplications on this machine; a project that is moved to another machine stays up to date.
    ``min_contrast`` is 0 if nothing is dropped. The last output is the field's table of objects.
    """

    backend: str
    settings: Section
    mode: str
    clear_border: bool
    min_contrast: float
    channels: tuple[str, ...]
    sources: dict[str, Source]
    weights: str
    masks: dict[str, Path]
    scale: Path | None
    cell_channels: Path | None = None
    backend_version: int = 1
    model: Path | None = dataclasses.field(metadata=WHERE_IT_RUNS)
    model_name: str = dataclasses.field(metadata=WHERE_IT_RUNS)
    device: str = dataclasses.field(metadata=WHERE_IT_RUNS)
    precision: str = dataclasses.field(metadata=WHERE_IT_RUNS)

    @property
    def mask_files(self) -> tuple[Path, ...]:
        """The label images that are written: nuclei, and in cell mode cells."""
        return self.outputs[:-1]


@dataclass(frozen=True)
class SegmentRecord:
    """Cells kept in a field, the quality of their masks, and the median area of their nuclei."""

    cells: int
    quality: dict[str, float]
    nuclear_area_px: float


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
        "backend_version": segmenter.version,
        "settings": own,
        "mode": settings.mode,
        "clear_border": settings.clear_border,
        "min_contrast": settings.min_contrast if segmenter.judged else 0.0,
        "precision": (
            segmenter.precision(own, project.execution.device) if segmenter.precision else ""
        ),
        "channels": tuple(channels),
        "weights": weights.model_hash(model) if model else "",
        "model": model,
        "model_name": choose.model_name(segmenter, own) or "",
        "device": project.execution.device,
    }
    measured = segmenter.measures_scale and getattr(own, "scale", None) == "auto"
    chooses = segmenter.chooses_channels and len(channels) > 1
    jobs = []
    for plate, field in context.images.fields(CP_ROUND):
        if selector.matches(plate, FieldKey.parse(field)):
            continue
        held = context.images.channels[plate, field, CP_ROUND]
        sources = {name: held[name] for name in channels if name in held}
        masks = dict(segmenter.files(own, plate, field, settings.mode)) if segmenter.files else {}
        folder = results.folder("segment")
        scale = scale_path(folder, plate) if measured else None
        chosen = cell_channels_path(folder, plate) if chooses else None
        files = dict.fromkeys(path for source in sources.values() for path in source.files)
        jobs.append(
            SegmentJob(
                plate=plate,
                field=field,
                inputs=(*files, *masks.values(), *(p for p in (scale, chosen) if p)),
                outputs=(
                    *(results.mask(plate, kind, field) for kind in kinds),
                    results.part("segment", "objects", plate, field),
                ),
                sources=sources,
                masks=masks,
                scale=scale,
                cell_channels=chosen,
                **common,
            )
        )
    return Plan(
        jobs,
        consulted=(*_files_of_model(model), *(segmenter.folders(own) if segmenter.folders else ())),
    )


def _files_of_model(model: Path | None) -> list[Path]:
    if model is None:
        return []
    return [model, *(model.iterdir() if model.is_dir() else [])]


def space(context: Context, jobs: Sequence[SegmentJob]) -> float:
    """Bytes of the masks: those of the first field of a plate, for every one."""
    total = 0.0
    for plate in {job.plate for job in jobs}:
        masks = [len(job.mask_files) for job in jobs if job.plate == plate]
        first = next((s for job in jobs if job.plate == plate for s in job.sources.values()), None)
        total += pixels(first) * sum(masks) * MASK_BYTES_PER_PIXEL if first else 0.0
    return total


def prepare(context: Context, plan: Plan[SegmentJob], jobs: Sequence[SegmentJob]) -> None:
    """Choose scale and cell channels of every plate once, on a sample of all its fields."""
    plates = {job.plate for job in jobs}
    _measure(context, [j for j in plan.jobs if j.plate in plates])


def _measure(context: Context, jobs: Sequence[SegmentJob]) -> None:
    ensure_scales(_to_measure(jobs), context.spread)
    ensure_cell_channels(_to_choose(context, jobs), context.spread)


def _by_plate(jobs: Sequence[SegmentJob]) -> list[list[SegmentJob]]:
    plates: dict[str, list[SegmentJob]] = {}
    for job in jobs:
        plates.setdefault(job.plate, []).append(job)
    return list(plates.values())


def _to_choose(context: Context, jobs: Sequence[SegmentJob]) -> list[PlateChannels]:
    """The plates whose cell channels are chosen, each with its fields that have them all."""
    given = bool(context.project.segment.channels)
    wanted = []
    for own in _by_plate(jobs):
        nuclei, *cells = own[0].channels
        if own[0].cell_channels is not None:
            fields = {
                j.field: FieldChannels(j.sources[nuclei], tuple(j.sources[c] for c in cells))
                for j in own
                if set(j.channels) <= set(j.sources)
            }
            path = own[0].cell_channels
            wanted.append(PlateChannels(path, nuclei, tuple(cells), given, fields))
    return wanted


def _to_measure(jobs: Sequence[SegmentJob]) -> list[PlateToMeasure]:
    """The plates whose scale is measured, each with the nuclear channel of all its fields."""
    wanted = []
    for own in _by_plate(jobs):
        first = own[0]
        if first.scale is not None and first.model is not None:
            planes = {j.field: j.sources[j.channels[0]] for j in own if j.channels[0] in j.sources}
            device = torch_device(first.device) or "cpu"
            wanted.append(
                PlateToMeasure(
                    first.scale,
                    _measurement(first),
                    first.model,
                    device,
                    "bfloat16" if first.precision == "bfloat16" else "float32",
                    planes,
                )
            )
    return wanted


def _measurement(job: SegmentJob) -> Measurement:
    pmin, pmax = getattr(job.settings, "pmin", 1.0), getattr(job.settings, "pmax", 99.0)
    return Measurement(job.weights, job.channels[0], pmin, pmax)


def work(job: SegmentJob) -> Outcome[SegmentRecord]:
    """Segment one field."""
    import numpy as np

    from nucprof.core.evidence import measure_evidence
    from nucprof.core.quality import measure_quality
    from nucprof.io.images import write_labels
    from nucprof.io.tables import write_table
    from nucprof.segmentation.object_table import object_rows
    from nucprof.segmentation.objects import clean_cells, clean_nuclei

    planes = _planes(job)
    found = _segment(job, planes)
    labels = found.labels(job.mode)
    evidence = None
    phantoms = np.empty(0, dtype=np.int64)
    if found.nuclei is not None:
        evidence = measure_evidence(planes.nuclei, found.nuclei)
        phantoms = evidence.ids[~evidence.stands_out(job.min_contrast)]
    if job.mode == "cells":
        objects = clean_cells(
            labels, found.nuclei, planes.nuclei, drop_border=job.clear_border, phantoms=phantoms
        )
        quality = measure_quality(planes.nuclei, labels)
    else:
        objects = clean_nuclei(labels, drop_border=job.clear_border, phantoms=phantoms)
        quality = measure_quality(planes.nuclei, labels, evidence)
    for path, mask in zip(job.mask_files, objects.masks.values(), strict=True):
        write_labels(path, mask, pixel_size(job.sources))
    kept = measure_evidence(planes.nuclei, objects.masks["nuclei"])
    if evidence is None or (job.mode == "cells" and found.probability is None):
        evidence = kept  # these nuclei had other labels before they got those of their cells
    field = FieldKey.parse(job.field)
    rows = object_rows(job.plate, field, evidence, found.probability, objects.dropped)
    write_table(job.outputs[-1], rows)
    gone = objects.dropped.items()
    area = float(np.median(kept.areas)) if len(kept.ids) else 0.0
    return Outcome(
        SegmentRecord(objects.kept, quality, area),
        objects.ids.tolist(),
        [Drop(job.plate, job.field, reason, ids.tolist()) for reason, ids in gone],
        [*found.warnings, *([] if objects.kept else ["no cells found"])],
    )


def _planes(job: SegmentJob) -> Planes:
    """Read a field; its cytoplasm is that of the plate's cell channels if these were chosen."""
    from nucprof.core.cell_stain import combine_stains
    from nucprof.segmentation.planes import split_planes

    image = read_sources(job, job.sources, job.channels)
    stains = read_stains(job.cell_channels) if job.cell_channels else {}
    if not stains:
        nuclei, cyto = split_planes(image, job.mode)
        return Planes(nuclei, cyto, name=job.name, files=job.masks)
    used = [image[job.channels.index(name)] for name in stains]
    cyto = combine_stains(used, list(stains.values()))
    return Planes(image[0], cyto, background=0.0, name=job.name, files=job.masks)


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
    """The backend, and why it was chosen if the settings do not name one."""
    model = f", model {job.model_name}" if job.model_name else ""
    number = ", in bfloat16" if job.precision == "bfloat16" else ""
    line = f"{job.mode} by {job.backend}{model}{number}"
    note = choose.segmenters()[job.backend].note
    return f"{line}: {note}" if asked.backend is None and note else line


def finish(
    context: Context, plan: Plan[SegmentJob], entries: Sequence[Entry[SegmentRecord]]
) -> Summary:
    """Count cells; report backend, scale and model; write quality figures and overlays."""
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
            summary.warnings += warn_of_scale(plate, path)
    for plate, path in {job.plate: job.cell_channels for job in plan.jobs}.items():
        if path is not None and path.is_file():
            summary.outputs.append(path)
            summary.lines.append(describe_cell_channels(plate, path))
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
        {job.key: overlay_of(job) for job in plan.jobs},
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


def overlay_of(job: SegmentJob) -> Overlay:
    """How the overlay of a field is drawn."""
    sources = tuple(job.sources[name] for name in job.channels if name in job.sources)
    return Overlay(sources, job.mask_files, job.mode)


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
    plates = {job.plate for job in chosen}
    with context.workers_of(STAGE, chosen):
        _measure(context, [_aside(job, folder) for job in jobs if job.plate in plates])
        entries = {entry.key: entry for entry in context.perform(STAGE, chosen)}
    for plate, path in {job.plate: job.scale for job in chosen}.items():
        if path is not None:
            lines += [describe_scale(plate, path), *warn_of_scale(plate, path)]
    for plate, path in {job.plate: job.cell_channels for job in chosen}.items():
        if path is not None:
            lines.append(describe_cell_channels(plate, path))
    failures: list[str] = []
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
    """The same job, writing below `folder`; it uses the scale of the run if that one is valid."""
    if job.cell_channels is not None:
        job = replace(job, cell_channels=cell_channels_path(folder, job.plate))
    *masks, table = job.outputs
    outputs = (
        *(folder / job.plate / path.parent.name / path.name for path in masks),
        folder / job.plate / "objects" / table.name,
    )
    if job.scale is None or scale_is_known(job.scale, _measurement(job)):
        return replace(job, outputs=outputs)
    return replace(job, outputs=outputs, scale=scale_path(folder, job.plate))


def _clear(folder: Path) -> None:
    """Remove an earlier preview, but not its scales, which take time and may still be valid."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path)


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
            preview,
        ),
    ),
    reads_images=True,
    space=space,
    version=4,
)
