"""Find nuclei or whole cells; write label images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nucprof.config import CP_ROUND
from nucprof.config.models import SegmentSettings
from nucprof.core.labels import ObjectIndex, clear_border
from nucprof.core.scale import choose_scale, estimate_nuclear_diameter
from nucprof.errors import FieldError, FieldExcluded
from nucprof.io.files import read_json, write_json
from nucprof.io.images import read_channels, read_labels, write_labels
from nucprof.plate.keys import FieldKey, FieldSelector
from nucprof.segmentation import backends, weights
from nucprof.stages.base import Context, Drop, Entry, Job, Outcome, Plan, Summary

THREADS = 1  # of one field, whatever the number of workers: the masks must not depend on it
_SCALE_FIELDS = 8  # fields measured for segment.scale = "auto"


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
        sources = [
            s for s in context.images.channels[plate, field, CP_ROUND].items() if s[0] in channels
        ]
        inputs = [Path(path) for path in dict.fromkeys(path for _, (path, _) in sources)]
        made_elsewhere = _mask_elsewhere(settings, plate, field)
        if _scaled(settings):
            inputs.append(_scale_path(context, plate))
        inputs += [path for path in made_elsewhere.values() if path.is_file()]
        jobs.append(
            Job(
                plate,
                field,
                tuple(inputs),
                tuple(results.mask(plate, kind, field) for kind in kinds),
                {**params, "sources": dict(sources)},
                {"model": model, "device": project.execution.device, "elsewhere": made_elsewhere},
            )
        )
    return Plan(jobs, table_params={"kinds": kinds})


def prepare(context: Context, jobs: Sequence[Job]) -> None:
    """Choose the scale of every plate once, on a sample of its fields."""
    for plate in dict.fromkeys(job.plate for job in jobs):
        of_plate = [job for job in jobs if job.plate == plate]
        settings: SegmentSettings = of_plate[0].params["settings"]
        if not _scaled(settings):
            continue
        path = _scale_path(context, plate)
        definition = {"model": of_plate[0].params["model"], "scale": settings.scale}
        if path.is_file() and read_json(path)["definition"] == definition:
            continue
        model: Path = of_plate[0].runtime["model"]
        write_json(path, {"definition": definition, **measure_scale(of_plate, model)})


def measure_scale(jobs: Sequence[Job], model: Path) -> dict[str, Any]:
    """Estimate a plate's nuclear diameter on some fields and choose the network's scale."""
    canonical = weights.canonical_diameter(model)
    step = max(1, len(jobs) // _SCALE_FIELDS)
    found: dict[str, float] = {}
    for job in jobs[::step][:_SCALE_FIELDS]:
        nuclear = job.params["channels"][0]
        try:
            image = read_channels([job.params["sources"][nuclear]])
        except (FieldError, KeyError):
            continue  # the field itself will fail, with its reason
        found[job.field] = estimate_nuclear_diameter(image[0])
    scale = choose_scale(found.values(), canonical) if canonical else 1.0
    finite = [d for d in found.values() if np.isfinite(d)]
    return {
        "scale": scale,
        "nuclear_diameter_px": round(float(np.median(finite)), 2) if finite else None,
        "fields": {f: round(d, 2) if np.isfinite(d) else None for f, d in found.items()},
    }


def work(job: Job) -> Outcome:
    """Segment one field."""
    settings: SegmentSettings = job.params["settings"]
    channels: list[str] = job.params["channels"]
    missing = [name for name in channels if name not in job.params["sources"]]
    if missing:
        raise FieldExcluded("no_channel", f"{job.name} has no file for channel {missing[0]}.")
    image = read_channels([job.params["sources"][name] for name in channels])
    found = _segment(job, settings, image)
    labels = found.cells if settings.mode == "cells" else found.nuclei
    assert labels is not None
    outcome = Outcome(objects=ObjectIndex.of(labels).ids.tolist())
    if settings.clear_border:
        labels, gone = clear_border(labels)
        outcome.dropped.append(Drop(job.plate, job.field, "border", gone.tolist()))
    nuclei = labels
    if settings.mode == "cells":
        nuclei, labels, drops = _match(job, found.nuclei, labels, image[0])
        outcome.dropped += drops
    write_labels(job.outputs[0], nuclei)
    if settings.mode == "cells":
        write_labels(job.outputs[1], labels)
    index = ObjectIndex.of(labels)
    if not len(index):
        outcome.warnings.append("no cells found")
    outcome.record = {
        "cells": len(index),
        "median_area_px": float(np.median(index.areas)) if len(index) else 0.0,
        "border": sum(len(drop.labels) for drop in outcome.dropped if drop.reason == "border"),
    }
    return outcome


def _segment(job: Job, settings: SegmentSettings, image: np.ndarray) -> backends.Segmentation:
    if settings.backend == "labels":
        return _read_elsewhere(job, settings, image.shape[1:])
    scale = settings.scale
    if _scaled(settings):
        scale = read_json(next(p for p in job.inputs if p.suffix == ".json"))["scale"]
    backend = backends.load(
        backends.Request(
            settings,
            job.runtime["model"],
            1.0 if scale == "auto" else float(scale),
            job.runtime["device"],
            THREADS,
        )
    )
    cyto = _cytoplasm(image) if settings.mode == "cells" else None
    return backend.segment(backends.Planes(image[0], cyto))


def _cytoplasm(image: np.ndarray) -> np.ndarray:
    """Average the channels after a median filter, each scaled to its own percentiles (METHOD)."""
    from scipy.ndimage import median_filter

    from nucprof.core.normalize import percentile_normalize

    planes = image[1:] if len(image) > 1 else image
    scaled = [percentile_normalize(median_filter(p, 3), 1, 99) for p in planes]
    average: np.ndarray = np.mean(scaled, axis=0)
    return average


def _match(
    job: Job, nuclei: np.ndarray | None, cells: np.ndarray, nuclear_plane: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[Drop]]:
    """Give every cell its one nucleus, under the cell's label; cells without one leave."""
    from nucprof.core.cells import match_cells

    matched = match_cells(cells, nuclei, nuclear_plane)
    drops = [Drop(job.plate, job.field, "no_nucleus", matched.without_nucleus.tolist())]
    return matched.nuclei, matched.cells, drops


def _mask_elsewhere(settings: SegmentSettings, plate: str, field: str) -> dict[str, Path]:
    """Find the files of the labels backend: ``<path>/[<plate>/][<kind>/]B-02-01.tif``."""
    if settings.backend != "labels" or settings.path is None:
        return {}
    found = {}
    for kind in ("nuclei", "cells") if settings.mode == "cells" else ("nuclei",):
        candidates = [settings.path / plate / kind, settings.path / kind]
        if kind == settings.mode:
            candidates += [settings.path / plate, settings.path]
        paths = [
            folder / f"{field}{suffix}" for folder in candidates for suffix in (".tif", ".tiff")
        ]
        found[kind] = next((path for path in paths if path.is_file()), paths[-2])
    return found


def _read_elsewhere(
    job: Job, settings: SegmentSettings, shape: tuple[int, ...]
) -> backends.Segmentation:
    read = {}
    for kind, path in job.runtime["elsewhere"].items():
        if not path.is_file() and kind != settings.mode:
            continue
        if not path.is_file():
            raise FieldExcluded("no_mask", f"{job.name} has no mask {path}.")
        read[kind] = read_labels(path)
        if read[kind].shape != tuple(shape):
            raise FieldError(f"{path} is {read[kind].shape}, but its image is {tuple(shape)}.")
    return backends.Segmentation(**read)


def _channels(settings: SegmentSettings, nuclear: str, painted: list[str]) -> list[str]:
    if settings.mode == "nuclei":
        return settings.channels or [nuclear]
    chosen = settings.channels or painted
    return [nuclear, *(name for name in chosen if name != nuclear)]


def _scaled(settings: SegmentSettings) -> bool:
    return settings.scale == "auto" and settings.backend in ("stardist", "propagate")


def _scale_path(context: Context, plate: str) -> Path:
    return context.results.folder("segment", f"scale-{plate}.json")


def _has_gpu(context: Context) -> bool:
    """Whether cell mode may count on a GPU; asked only where it decides the backend."""
    settings = context.project.segment
    if settings.mode == "nuclei" or settings.backend is not None:
        return False
    return context.device() != "cpu"


def finish(context: Context, plan: Plan, entries: Sequence[Entry]) -> Summary:
    """Count cells; tell scale and model."""
    cells = sum(entry.record.get("cells", 0) for entry in entries)
    summary = Summary(counts={"cells": cells})
    settings: SegmentSettings = plan.jobs[0].params["settings"]
    summary.lines.append(f"{cells} {settings.mode} in {len(entries)} fields, by {settings.backend}")
    if settings.model:
        summary.models[settings.model] = plan.jobs[0].params["model"]
    for plate in dict.fromkeys(job.plate for job in plan.jobs):
        path = _scale_path(context, plate)
        if _scaled(settings) and path.is_file():
            scale = read_json(path)
            summary.outputs.append(path)
            summary.counts[f"scale {plate}"] = scale["scale"]
            summary.lines.append(
                f"plate {plate}: nuclei of about {scale['nuclear_diameter_px']} px, "
                f"images scaled by {scale['scale']}"
            )
    return summary
