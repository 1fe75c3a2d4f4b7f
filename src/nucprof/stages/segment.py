"""Find nuclei or whole cells; write label images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nucprof.config.models import SegmentSettings
from nucprof.errors import FieldExcluded
from nucprof.io.files import read_json
from nucprof.io.images import read_channels, write_labels
from nucprof.machine import thread_share
from nucprof.plate.keys import CP_ROUND, FieldKey, FieldSelector
from nucprof.segmentation import backends, weights
from nucprof.segmentation.labels import find_masks, read_masks
from nucprof.segmentation.quality_report import report_quality
from nucprof.segmentation.scale_file import choose_scale, describe_scale, is_measured, scale_path
from nucprof.stages.base import Context, Drop, Entry, Job, Outcome, Plan, Summary


def plan(context: Context) -> Plan:
    """One job per Cell Painting field."""
    project, results = context.project, context.results
    settings = backends.complete(project.segment, gpu=_has_gpu(context))
    model = backends.find_model(settings, project.execution.models_dir)
    channels = _channels(settings, project.channels.nuclei, project.channels.cell_painting)
    params = {
        "settings": settings,
        "channels": channels,
        "model": weights.model_hash(model) if model else "",
    }
    kinds = ["nuclei", "cells"] if settings.mode == "cells" else ["nuclei"]
    selector = FieldSelector(tuple(project.project.exclude))
    jobs = []
    for plate, field in context.images.fields(CP_ROUND):
        if selector.matches(plate, FieldKey.parse(field)):
            continue
        held = context.images.channels[plate, field, CP_ROUND]
        sources = {name: source for name, source in held.items() if name in channels}
        inputs = [Path(p) for p in dict.fromkeys(p for s in sources.values() for p in s.files)]
        masks = {}
        if settings.backend == "labels" and settings.path is not None:
            masks = find_masks(settings.path, plate, field, settings.mode)
            inputs += [path for path in masks.values() if path.is_file()]
        scale = scale_path(results.folder("segment"), plate) if is_measured(settings) else None
        if scale is not None:
            inputs.append(scale)
        outputs = tuple(results.mask(plate, kind, field) for kind in kinds)
        runtime = {"model": model, "device": project.execution.device, "masks": masks}
        jobs.append(
            Job(
                plate, field, tuple(inputs), outputs, {**params, "sources": sources},
                {**runtime, "scale": scale},
            )
        )  # fmt: skip
    consulted = [path for path in (model, settings.path) if path is not None]
    if model is not None and model.is_dir():
        consulted += model.iterdir()
    return Plan(jobs, table_params={"kinds": kinds}, consulted=tuple(consulted))


def prepare(context: Context, jobs: Sequence[Job]) -> None:
    """Choose the scale of every plate once, on a sample of all its fields."""
    everything = plan(context).jobs
    for plate in dict.fromkeys(job.plate for job in jobs):
        choose_scale([job for job in everything if job.plate == plate])


def work(job: Job) -> Outcome:
    """Segment one field."""
    from nucprof.core.quality import measure_quality
    from nucprof.segmentation.objects import settle_cells, settle_nuclei
    from nucprof.segmentation.planes import split_planes

    settings: SegmentSettings = job.params["settings"]
    sources = job.params["sources"]
    missing = [name for name in job.params["channels"] if name not in sources]
    if missing:
        raise FieldExcluded("no_channel", f"{job.name} has no file for channel {missing[0]}.")
    image = read_channels([sources[name] for name in job.params["channels"]])
    planes = backends.Planes(*split_planes(image, settings.mode))
    found = _segment(job, settings, planes)
    if settings.mode == "cells":
        labels = found.labels("cells")
        objects = settle_cells(
            labels, found.nuclei, planes.nuclei, drop_border=settings.clear_border
        )
    else:
        labels = found.labels("nuclei")
        objects = settle_nuclei(labels, drop_border=settings.clear_border)
    for path, mask in zip(job.outputs, objects.masks.values(), strict=True):
        write_labels(path, mask)
    gone = objects.dropped.items()
    return Outcome(
        {"cells": objects.kept, "quality": measure_quality(planes.nuclei, labels)},
        objects.ids.tolist(),
        [Drop(job.plate, job.field, reason, ids.tolist()) for reason, ids in gone],
        [] if objects.kept else ["no cells found"],
    )


def _segment(job: Job, settings: SegmentSettings, planes: backends.Planes) -> backends.Segmentation:
    if settings.backend == "labels":
        return read_masks(job.runtime["masks"], job.name, settings.mode, planes.nuclei.shape)
    path: Path | None = job.runtime["scale"]
    given = 1.0 if settings.scale == "auto" else float(settings.scale)
    scale = given if path is None else float(read_json(path)["scale"])
    where = job.runtime["model"], scale, job.runtime["device"], thread_share()
    return backends.load(backends.Request(settings, *where)).segment(planes)


def _channels(settings: SegmentSettings, nuclear: str, painted: list[str]) -> list[str]:
    if settings.mode == "nuclei":
        return settings.channels or [nuclear]
    chosen = settings.channels or painted
    return [nuclear, *(name for name in chosen if name != nuclear)]


def _has_gpu(context: Context) -> bool:
    """Whether cell mode may count on a GPU; asked only where it decides the backend."""
    settings, device = context.project.segment, context.project.execution.device
    if settings.mode == "nuclei" or settings.backend is not None or device == "cpu":
        return False
    return context.device() != "cpu"


def describe_backend(asked: SegmentSettings, used: SegmentSettings) -> str:
    """How objects are found, and why so where the settings leave it to the machine."""
    model = f", model {used.model}" if used.model else ""
    line = f"{used.mode} by {used.backend}{model}"
    if asked.backend is None and used.backend == "propagate":
        line += ": without a GPU, cells are grown from their nuclei (with one, cellpose finds them)"
    return line


def finish(context: Context, plan: Plan, entries: Sequence[Entry]) -> Summary:
    """Count cells; tell backend, scale and model; write quality figures and overlays."""
    settings: SegmentSettings = plan.jobs[0].params["settings"]
    cells = sum(entry.record.get("cells", 0) for entry in entries)
    summary = Summary(counts={"cells": cells})
    summary.lines.append(f"{cells} {settings.mode} in {len(entries)} fields")
    summary.lines.append(describe_backend(context.project.segment, settings))
    if settings.model:
        summary.models[settings.model] = plan.jobs[0].params["model"]
    for job in {job.plate: job for job in plan.jobs}.values():
        path = job.runtime["scale"]
        if path is not None and path.is_file():
            summary.outputs.append(path)
            summary.counts[f"scale {job.plate}"] = read_json(path)["scale"]
            summary.lines.append(describe_scale(job.plate, path))
    report_quality(context, plan, entries, summary)
    return summary
