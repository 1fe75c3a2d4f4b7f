"""One patch per cell: a stack per field and an index table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nucprof.config.by_mode import (
    NUCLEUS_LENGTH,
    CropKind,
    crop_kind,
    fitting_patch,
    nuclear_diameters,
)
from nucprof.plate.columns import CELL, identity
from nucprof.plate.keys import CP_ROUND, FieldKey
from nucprof.plate.sources import Source, pixel_size
from nucprof.raw.space import pixel_bytes
from nucprof.stages.base import (
    Context,
    Entry,
    Job,
    Outcome,
    Plan,
    Stage,
    Summary,
    cells_of,
    fields_with_masks,
    mask_path,
    needs,
    read_sources,
)


@dataclass(frozen=True, kw_only=True)
class CropJob(Job):
    """One field; ``sources`` lacks a channel that has no file."""

    region: str
    size: int
    masked: bool
    channels: tuple[str, ...]
    sources: dict[str, Source]
    mask: Path
    export: bool


@dataclass(frozen=True)
class CropRecord:
    """Number of crops of a field, and of those that extend beyond the image's edge."""

    crops: int
    padded: int


def plan(context: Context) -> Plan[CropJob]:
    """One job per field with remaining cells."""
    project, results = context.project, context.results
    kind = crop_kind(project)
    folder = results.crops(kind.region, kind.patch_size)
    jobs = []
    for plate, field in fields_with_masks(context):
        sources = context.images.channels[plate, field, CP_ROUND]
        mask = mask_path(context, "cells" if kind.region == "cell" else "nuclei", plate, field)
        files = dict.fromkeys(path for source in sources.values() for path in source.files)
        part = results.part("crop", f"{kind.region}_{kind.patch_size}", plate, field)
        jobs.append(
            CropJob(
                plate=plate,
                field=field,
                inputs=(*files, mask),
                outputs=(folder / plate / f"{field}.tif", part),
                region=kind.region,
                size=kind.patch_size,
                masked=kind.masked,
                channels=kind.channels,
                sources=sources,
                mask=mask,
                export=project.crop.export_tiff,
            )
        )
    return Plan(jobs)


def space(context: Context, jobs: Sequence[CropJob]) -> float:
    """Bytes of the crops, twice where every crop is also exported."""
    first = next((s for job in jobs for s in job.sources.values()), None)
    if first is None:
        return 0.0
    job = jobs[0]
    crop = len(job.channels) * job.size**2 * pixel_bytes(first)
    return cells_of(context, jobs) * crop * (2.0 if job.export else 1.0)


def work(job: CropJob) -> Outcome[CropRecord]:
    """Cut the crops of one field."""
    import numpy as np
    import pandas as pd

    from nucprof.core.crops import extract_crops, real_boxes
    from nucprof.core.labels import ObjectIndex
    from nucprof.io.images import read_labels
    from nucprof.io.stacks import write_single_crops, write_stack
    from nucprof.io.tables import write_table
    from nucprof.plate.columns import REAL_BOX

    stack_path, part = job.outputs
    labels = read_labels(job.mask)
    objects = ObjectIndex.of(labels)
    crops, padded = extract_crops(
        read_sources(job, job.sources, job.channels),
        labels,
        objects.ids,
        objects.centroids,
        job.size,
        masked=job.masked,
    )
    real = real_boxes(objects.centroids, job.size, labels.shape)
    um = pixel_size(job.sources)
    write_stack(stack_path, crops, job.channels, um)
    cells = identity(job.plate, FieldKey.parse(job.field), objects.ids)
    names = cells[CELL].tolist()
    if job.export:
        write_single_crops(stack_path.with_suffix(""), names, crops, job.channels, um)
    write_table(
        part,
        pd.DataFrame(
            {
                **cells,
                "stack": pd.Series([f"{job.plate}/{job.field}.tif"] * len(names), dtype="str"),
                "row": np.arange(len(names), dtype=np.int64),
                "padded": np.asarray(padded, dtype=bool),
                **dict(zip(REAL_BOX, real.T, strict=True)),
            }
        ),
    )
    return Outcome(CropRecord(len(names), int(np.sum(padded))))


def finish(context: Context, plan: Plan[CropJob], entries: Sequence[Entry[CropRecord]]) -> Summary:
    """Write the index table."""
    from nucprof.io.tables import concatenate

    kind = crop_kind(context.project)
    done = {entry.key for entry in entries if entry.status == "done"}
    index = context.results.crops(kind.region, kind.patch_size) / "index.parquet"
    count = concatenate((job.outputs[1] for job in plan.jobs if job.key in done), index)
    padded = sum(entry.record.padded for entry in entries if entry.record)
    return Summary(
        [index],
        {"crops": count, "padded": padded},
        [
            f"{count} crops of {kind.patch_size} x {kind.patch_size} px ({kind.region}), "
            f"{padded} padded at the image's edge"
        ],
        warn_of_size(kind, nuclear_diameters(context.project)),
    )


def warn_of_size(kind: CropKind, diameters: Mapping[str, float]) -> list[str]:
    """Warn of plates whose nuclei do not fit into the crops.

    The long axis of a nucleus with an aspect ratio of 1.5 is 1.22 times the diameter of the disk
    of equal area.
    """
    large = {p: d for p, d in diameters.items() if kind.patch_size < NUCLEUS_LENGTH * d}
    if not large:
        return []
    sizes = ", ".join(f"{plate} {d:g} px" for plate, d in large.items())
    return [
        f"crops of {kind.patch_size} px cut off nuclei, whose diameter is {sizes}; use "
        f"--patch-size {fitting_patch(large, kind.region)}, or "
        'crop.patch_size = "auto", which follows the nuclear size'
    ]


STAGE = Stage(
    name="crop",
    help="Cut one patch per cell",
    sections=("crop",),
    needs=needs("segment", "align"),
    makes=("crops/",),
    plan=plan,
    work=work,
    finish=finish,
    record=CropRecord,
    version=2,
    reads_images=True,
    space=space,
)
