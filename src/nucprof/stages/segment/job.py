"""What is done to one field, decided before it is done; and what is recorded of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nucprof.config import Project, Section
from nucprof.config.segmenters import SegmentSettings, own_settings
from nucprof.io.digest import WHERE_IT_RUNS
from nucprof.plate.keys import CP_ROUND, FieldKey, FieldSelector
from nucprof.plate.sources import Source
from nucprof.segmentation import choose, weights
from nucprof.segmentation.backends.base import Segmenter
from nucprof.segmentation.cell_channels import cell_channels_path
from nucprof.segmentation.quality_report import Overlay
from nucprof.segmentation.scale_file import scale_path
from nucprof.stages.base import Context, Job, Plan


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

    @property
    def overlay(self) -> Overlay:
        """How the overlay of the field is drawn."""
        sources = tuple(self.sources[name] for name in self.channels if name in self.sources)
        return Overlay(sources, self.mask_files, self.mode)


@dataclass(frozen=True)
class SegmentRecord:
    """Cells kept in a field, the quality of their masks, and the median area of their nuclei."""

    cells: int
    quality: dict[str, float]
    nuclear_area_px: float


def plan(context: Context) -> Plan[SegmentJob]:
    """One job per Cell Painting field."""
    project = context.project
    segmenter = choose.choose_segmenter(project.segment, project.execution.device)
    own = own_settings(project.segment, segmenter.settings)
    model = choose.find_model(segmenter, own, project.execution.models_dir)
    alike = _alike(project, segmenter, own, model)
    selector = FieldSelector(tuple(project.project.exclude))
    jobs = [
        _job(context, segmenter, plate, field, alike)
        for plate, field in context.images.fields(CP_ROUND)
        if not selector.matches(plate, FieldKey.parse(field))
    ]
    folders = segmenter.folders(own) if segmenter.folders else ()
    return Plan(jobs, consulted=(*_files_of_model(model), *folders))


def _alike(
    project: Project, segmenter: Segmenter, own: Section, model: Path | None
) -> dict[str, Any]:
    """What the jobs of all fields have in common."""
    settings, device = project.segment, project.execution.device
    channels = _channels(settings, project.channels.nuclei, project.channels.cell_painting)
    return {
        "backend": segmenter.name,
        "backend_version": segmenter.version,
        "settings": own,
        "mode": settings.mode,
        "clear_border": settings.clear_border,
        "min_contrast": settings.min_contrast if segmenter.judged else 0.0,
        "precision": segmenter.precision(own, device) if segmenter.precision else "",
        "channels": tuple(channels),
        "weights": weights.model_hash(model) if model else "",
        "model": model,
        "model_name": choose.model_name(segmenter, own) or "",
        "device": device,
    }


def _job(
    context: Context, segmenter: Segmenter, plate: str, field: str, alike: dict[str, Any]
) -> SegmentJob:
    results, mode, channels = context.results, alike["mode"], alike["channels"]
    own = alike["settings"]
    held = context.images.channels[plate, field, CP_ROUND]
    sources = {name: held[name] for name in channels if name in held}
    masks = dict(segmenter.files(own, plate, field, mode)) if segmenter.files else {}
    measures = segmenter.measures_scale and getattr(own, "scale", None) == "auto"
    scale = scale_path(results.folder("segment"), plate) if measures else None
    chooses = segmenter.chooses_channels and len(channels) > 1
    chosen = cell_channels_path(results.folder("segment"), plate) if chooses else None
    files = dict.fromkeys(path for source in sources.values() for path in source.files)
    kinds = ["nuclei", "cells"] if mode == "cells" else ["nuclei"]
    return SegmentJob(
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
        **alike,
    )


def _files_of_model(model: Path | None) -> list[Path]:
    if model is None:
        return []
    return [model, *(model.iterdir() if model.is_dir() else [])]


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
