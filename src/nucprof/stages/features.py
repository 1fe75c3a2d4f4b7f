"""Intensity, shape and texture per cell, region and channel, for every round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nucprof.config import Project
from nucprof.config.by_mode import compartments
from nucprof.config.models import FeatureSettings
from nucprof.plate.columns import identity
from nucprof.plate.keys import CP_ROUND, FieldKey, WellKey
from nucprof.plate.sources import Source, pixel_size
from nucprof.raw.space import TABLE_BYTES_PER_CELL
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
    layout_paths,
    layouts,
    mask_path,
    needs,
    read_sources,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class RoundSources:
    """The channels of one round of a field; ``sources`` lacks a channel that has no file."""

    name: str
    channels: tuple[str, ...]
    sources: dict[str, Source]


@dataclass(frozen=True, kw_only=True)
class FeaturesJob(Job):
    """One field, with all its rounds; ``masks`` by kind. There is one output per round.

    ``micrometres``: whether the pixel size of any plate of the project is known; then all tables
    have columns in µm.
    """

    settings: FeatureSettings
    regions: tuple[str, ...]
    rounds: tuple[RoundSources, ...]
    masks: dict[str, Path]
    pixel_size_um: float | None = None
    micrometres: bool = False


@dataclass(frozen=True)
class FeaturesRecord:
    """Cells measured in a field."""

    cells: int


def plan(context: Context) -> Plan[FeaturesJob]:
    """One job per field, for all its rounds."""
    project, results = context.project, context.results
    kinds = ["nuclei", "cells"] if project.mask_kind == "cells" else ["nuclei"]
    regions = compartments(project)
    scaled = context.images.has_pixel_sizes
    jobs = []
    for plate, field in fields_with_masks(context):
        masks = {kind: mask_path(context, kind, plate, field) for kind in kinds}
        painted = _painted(context, plate, field)
        um, rounds = pixel_size(painted.sources), [painted]
        for name in project.rounds_of(plate):
            image = results.aligned_image(plate, name, field)
            channels = tuple(project.round_channels(name))
            rounds.append(
                RoundSources(name, channels, {c: Source(image, k) for k, c in enumerate(channels)})
            )
        files = dict.fromkeys(path for r in rounds for s in r.sources.values() for path in s.files)
        jobs.append(
            FeaturesJob(
                plate=plate,
                field=field,
                inputs=(*files, *masks.values()),
                outputs=tuple(results.part("features", r.name, plate, field) for r in rounds),
                settings=project.features,
                regions=regions,
                rounds=tuple(rounds),
                masks=masks,
                pixel_size_um=um,
                micrometres=scaled,
            )
        )
    return Plan(
        jobs,
        table_inputs=(*layout_paths(project), results.objects),
        table_settings={"csv": project.features.csv},
    )


def _painted(context: Context, plate: str, field: str) -> RoundSources:
    channels = tuple(context.project.round_channels(CP_ROUND))
    held = context.images.channels[plate, field, CP_ROUND]
    return RoundSources(CP_ROUND, channels, {name: held[name] for name in channels if name in held})


def space(context: Context, jobs: Sequence[FeaturesJob]) -> float:
    """Bytes of the tables of all rounds."""
    rounds = max((len(job.rounds) for job in jobs), default=0)
    return float(cells_of(context, jobs) * rounds * TABLE_BYTES_PER_CELL)


def work(job: FeaturesJob) -> Outcome[FeaturesRecord]:
    """Measure one field in every round."""
    from nucprof.core.features.micrometres import in_micrometres
    from nucprof.io.images import read_labels
    from nucprof.io.tables import write_table

    masks = {kind: read_labels(path) for kind, path in job.masks.items()}
    rows = 0
    for r, part in zip(job.rounds, job.outputs, strict=True):
        image = read_sources(job, r.sources, r.channels)
        table = measure_field(image, masks, r.channels, job.regions, job.settings)
        if job.micrometres:
            table |= in_micrometres(table, job.pixel_size_um)
        rows = len(table["ObjectNumber"])
        write_table(part, field_table(job.plate, FieldKey.parse(job.field), table))
    return Outcome(FeaturesRecord(rows))


def measure_field(
    image: np.ndarray,
    masks: dict[str, np.ndarray],
    channels: Sequence[str],
    regions: Sequence[str],
    settings: FeatureSettings,
) -> dict[str, np.ndarray]:
    """Measure the compartments of one image, joined by label.

    Parameters
    ----------
    image : (C, H, W) array
    masks : dict
        ``nuclei`` and, in cell mode, ``cells``: ``(H, W)`` labels; a cell and its nucleus share
        one.
    channels, regions : sequence of str
    settings : FeatureSettings

    Returns
    -------
    dict
        ``ObjectNumber`` and, for every row, the features; objects are those of ``cells`` where
        there are cells. A compartment that a cell lacks (no cytoplasm) is NaN.
    """
    import numpy as np

    from nucprof.core.features import OBJECT_KEYS, measure_objects, measure_patches

    labels = {"Nuclei": masks["nuclei"]}
    if "cells" in masks:
        labels["Cells"] = masks["cells"]
        labels["Cytoplasm"] = np.where(masks["nuclei"] > 0, 0, masks["cells"])
    main = "Cells" if "cells" in masks else "Nuclei"

    def measure(region: str) -> dict[str, np.ndarray]:
        return measure_objects(
            image,
            labels[region],
            channels,
            region,
            textures=settings.textures,
            texture_set=settings.texture_set,
            texture_background=settings.texture_background,
            patch_size=settings.patch_size,
        )

    first = measure(main)
    table = {key: first[key] for key in OBJECT_KEYS}
    for region in regions:
        if region == "Patch":
            centroids = np.column_stack([table["Center_Y"], table["Center_X"]])
            table |= measure_patches(
                image,
                centroids,
                channels,
                textures=settings.textures,
                texture_set=settings.texture_set,
                patch_size=settings.patch_size,
            )
            continue
        found = first if region == main else measure(region)
        table |= _by_label(found, table["ObjectNumber"])
    return table


def _by_label(found: dict[str, np.ndarray], wanted: np.ndarray) -> dict[str, np.ndarray]:
    """Rows of the wanted labels, NaN where a label has no such compartment."""
    import numpy as np

    from nucprof.core.features import OBJECT_KEYS

    ids = found["ObjectNumber"]
    where = np.searchsorted(ids, wanted)
    has = np.zeros(len(wanted), dtype=bool)
    inside = where < len(ids)
    has[inside] = ids[where[inside]] == wanted[inside]
    columns = {}
    for name, values in found.items():
        if name not in OBJECT_KEYS:
            columns[name] = np.full(len(wanted), np.nan)
            columns[name][has] = values[where[has]]
    return columns


def field_table(plate: str, field: FieldKey, measured: dict[str, np.ndarray]) -> pd.DataFrame:
    """A field's rows with their metadata, without the culture."""
    import numpy as np
    import pandas as pd

    from nucprof.core.features import OBJECT_KEYS

    ids = measured["ObjectNumber"].astype(np.int64)
    count = len(ids)
    columns = {
        **identity(plate, field, ids),
        "Metadata_Center_X": measured["Center_X"],
        "Metadata_Center_Y": measured["Center_Y"],
        "Metadata_FieldCellCount": np.full(count, count, dtype=np.int64),
    }
    features = {k: v for k, v in measured.items() if k not in OBJECT_KEYS}
    return pd.DataFrame(columns | features)


def add_culture(project: Project) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A function that adds ``Metadata_Target``, the layout's culture of each cell's well."""
    import pandas as pd

    by_plate = layouts(project)

    def add(part: pd.DataFrame) -> pd.DataFrame:
        cultures = [
            by_plate[plate].culture(WellKey.parse(well)) if plate in by_plate else None
            for plate, well in zip(part["Metadata_Plate"], part["Metadata_Well"], strict=True)
        ]
        where = part.columns.get_loc("Metadata_ROI_img_name") + 1
        part.insert(where, "Metadata_Target", pd.Series(cultures, index=part.index, dtype="str"))
        return part

    return add


def finish(
    context: Context, plan: Plan[FeaturesJob], entries: Sequence[Entry[FeaturesRecord]]
) -> Summary:
    """Join the fields' parts into one table per round."""
    from nucprof.io.tables import concatenate, read_table, write_table
    from nucprof.segmentation.object_table import evidence_of

    project, results = context.project, context.results
    done = {entry.key for entry in entries if entry.status == "done"}
    summary = Summary()
    culture, evidence = add_culture(project), evidence_of(results.objects)
    for name in (CP_ROUND, *project.rounds):
        parts = [
            path
            for job in plan.jobs
            if job.key in done
            for path, r in zip(job.outputs, job.rounds, strict=True)
            if r.name == name
        ]
        target = results.features(name)
        count = concatenate(parts, target, lambda part: evidence(culture(part)))
        summary.outputs.append(target)
        if project.features.csv:
            write_table(target.with_suffix(".csv"), read_table(target))
            summary.outputs.append(target.with_suffix(".csv"))
        summary.counts[name] = count
        summary.lines.append(f"{name}: {count} cells")
    summary.warnings = wells_without_culture(project, [job.key for job in plan.jobs])
    return summary


def wells_without_culture(project: Project, fields: Sequence[tuple[str, str]]) -> list[str]:
    """Wells that a plate's layout does not name: they have no target, so training skips them."""
    warnings = []
    for plate, layout in layouts(project).items():
        wells = {FieldKey.parse(field).well for p, field in fields if p == plate}
        missing = sorted(str(well) for well in wells if layout.culture(well) is None)
        if missing:
            warnings.append(
                f"plate {plate}: the layout has no culture for {', '.join(missing)}; "
                "their cells are not used for training"
            )
    return warnings


STAGE = Stage(
    name="features",
    help="Measure intensity, shape and texture of every cell",
    sections=("features",),
    needs=needs("segment", "align"),
    makes=("features/",),
    plan=plan,
    work=work,
    finish=finish,
    record=FeaturesRecord,
    version=2,
    reads_images=True,
    space=space,
)
