"""One patch per cell: a stack per field and an index table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nucprof.config import Project
from nucprof.core.labels import ObjectIndex
from nucprof.errors import ProjectError
from nucprof.io.images import read_channels, read_labels
from nucprof.io.stacks import write_single_crops, write_stack
from nucprof.io.tables import concatenate, write_table
from nucprof.plate.keys import CP_ROUND, FieldKey, cell_key
from nucprof.stages.base import (
    Context,
    Entry,
    Job,
    Outcome,
    Plan,
    Summary,
    fields_with_masks,
    mask_path,
)

if TYPE_CHECKING:
    pass


def crop_geometry(project: Project) -> tuple[str, int, bool]:
    """Region, size in pixels and whether pixels outside the object are set to 0."""
    settings = project.crop
    region = settings.region or ("cell" if project.mask_kind == "cells" else "nucleocentric")
    if region == "cell" and project.mask_kind != "cells":
        raise ProjectError("crop.region = cell needs whole cells: set segment.mode = cells.")
    size = settings.patch_size or (192 if region == "cell" else 60)
    masked = settings.masked if settings.masked is not None else region != "nucleocentric"
    return region, size, masked


def plan(context: Context) -> Plan:
    """One job per field whose cells are still in."""
    project, results = context.project, context.results
    region, size, masked = crop_geometry(project)
    folder = results.crops(region, size)
    channels = project.round_channels(CP_ROUND)
    jobs = []
    for plate, field in fields_with_masks(context):
        held = context.images.channels[plate, field, CP_ROUND]
        mask = mask_path(context, "cells" if region == "cell" else "nuclei", plate, field)
        files = dict.fromkeys(Path(path) for source in held.values() for path in source.files)
        part = results.part("crop", f"{region}_{size}", plate, field)
        jobs.append(
            Job(
                plate,
                field,
                (*files, mask),
                (folder / plate / f"{field}.tif", part),
                {
                    "region": region,
                    "size": size,
                    "masked": masked,
                    "channels": channels,
                    "export": project.crop.export_tiff,
                },
                {"sources": context.images.sources(plate, field, CP_ROUND, channels)},
            )
        )
    return Plan(jobs, table_params={"region": region, "size": size})


def work(job: Job) -> Outcome:
    """Cut the crops of one field."""
    import pandas as pd

    from nucprof.core.crops import extract_crops

    size, mask = job.params["size"], job.inputs[-1]
    stack_path, part = job.outputs
    labels = read_labels(mask)
    objects = ObjectIndex.of(labels)
    crops, padded = extract_crops(
        read_channels(job.runtime["sources"]),
        labels,
        objects.ids,
        objects.centroids,
        size,
        masked=job.params["masked"],
    )
    write_stack(stack_path, crops, job.params["channels"])
    field = FieldKey.parse(job.field)
    names = [cell_key(field, label) for label in objects.ids.tolist()]
    if job.params["export"]:
        write_single_crops(stack_path.with_suffix(""), names, crops)
    write_table(
        part,
        pd.DataFrame(
            {
                "Metadata_Plate": pd.Series([job.plate] * len(names), dtype="str"),
                "Metadata_Well": pd.Series([str(field.well)] * len(names), dtype="str"),
                "Metadata_Site": np.full(len(names), field.site, dtype=np.int64),
                "Metadata_ObjectNumber": objects.ids.astype(np.int64),
                "Metadata_ROI_img_name": pd.Series(names, dtype="str"),
                "stack": pd.Series([f"{job.plate}/{job.field}.tif"] * len(names), dtype="str"),
                "row": np.arange(len(names), dtype=np.int64),
                "padded": np.asarray(padded, dtype=bool),
            }
        ),
    )
    return Outcome({"crops": len(names), "padded": int(np.sum(padded))})


def finish(context: Context, plan: Plan, entries: Sequence[Entry]) -> Summary:
    """Write the index table."""
    region, size = plan.table_params["region"], plan.table_params["size"]
    done = {entry.key for entry in entries if entry.status == "done"}
    index = context.results.crops(region, size) / "index.parquet"
    count = concatenate((job.outputs[1] for job in plan.jobs if job.key in done), index)
    padded = sum(entry.record.get("padded", 0) for entry in entries)
    return Summary(
        [index],
        {"crops": count, "padded": padded},
        [f"{count} crops of {size} x {size} px ({region}), {padded} padded at the image's edge"],
    )
