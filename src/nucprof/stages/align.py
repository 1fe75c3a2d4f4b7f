"""Register every ground-truth round to Cell Painting; drop cells not visible in both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nucprof.alignment.pattern_file import (
    Pair,
    describe_pattern,
    ensure_pattern,
    read_pattern,
    sample_fields,
)
from nucprof.alignment.report import AlignRecord, RoundRecord
from nucprof.config import Project
from nucprof.config.models import AlignSettings
from nucprof.errors import FieldError, FieldExcluded
from nucprof.io.digest import digest
from nucprof.io.results import Results
from nucprof.plate.keys import CP_ROUND, FieldKey, FieldSelector, WellKey
from nucprof.plate.sources import Source, pixel_size
from nucprof.raw.space import image_bytes
from nucprof.stages.base import (
    Context,
    Drop,
    Entry,
    Job,
    Outcome,
    Plan,
    Stage,
    Summary,
    needs,
    read_sources,
    survivors,
    without_ground_truth,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from nucprof.core.registration import Registration


@dataclass(frozen=True)
class RoundChannels:
    """The channels of a round that registration and the lost-cell test use."""

    listed: tuple[str, ...]
    register: tuple[str, ...]
    nuclear: str | None


@dataclass(frozen=True)
class RoundJob:
    """A ground-truth round of one field: its channels, their sources, and the output.

    ``pattern`` is the file of the camera pattern, None if the plate has no other well; ``sample``
    is a digest of the fields from which the pattern is found.
    """

    name: str
    channels: RoundChannels
    sources: dict[str, Source]
    target: Path
    sample: str
    pattern: Path | None


@dataclass(frozen=True, kw_only=True)
class AlignJob(Job):
    """One field, with all its rounds; ``masks`` are nuclei and, in cell mode, cells.

    ``fixed`` are the Cell Painting channels used for registration, ``nuclear`` that of the
    lost-cell test.
    """

    settings: AlignSettings
    fixed: tuple[str, ...]
    nuclear: str
    painted: dict[str, Source]
    rounds: tuple[RoundJob, ...]
    masks: tuple[Path, ...]


def channels_of(project: Project, name: str) -> RoundChannels:
    """Channels of a round used for registration: those in the settings, the nuclear one, or all."""
    listed = tuple(project.round_channels(name))
    asked = tuple(channel for channel in project.align.gt_channels if channel in listed)
    nuclear = project.channels.nuclei if project.channels.nuclei in listed else None
    return RoundChannels(listed, asked or ((nuclear,) if nuclear else listed), nuclear)


def plan(context: Context) -> Plan[AlignJob]:
    """One job per segmented field, for all rounds of its plate."""
    project, results = context.project, context.results
    kinds = ["nuclei", "cells"] if project.mask_kind == "cells" else ["nuclei"]
    fixed = tuple(project.align.cp_channels or [project.channels.nuclei])
    nuclear = project.channels.nuclei
    held = context.images.channels
    samples = {
        (plate.name, name): _digest_of_sample(context, plate.name, name)
        for plate in project.plates
        for name in project.rounds_of(plate.name)
    }
    jobs = []
    for plate, field in survivors(context, "segment"):
        painted = held.get((plate, field, CP_ROUND), {})
        looked_at = dict.fromkeys((*fixed, nuclear))
        painted = {name: painted[name] for name in looked_at if name in painted}
        rounds = tuple(
            RoundJob(
                name,
                channels_of(project, name),
                held.get((plate, field, name), {}),
                results.aligned_image(plate, name, field),
                samples[plate, name],
                pattern_path(results, plate, name) if samples[plate, name] else None,
            )
            for name in project.rounds_of(plate)
        )
        files = dict.fromkeys(
            path
            for of in (painted, *(r.sources for r in rounds))
            for source in of.values()
            for path in source.files
        )
        masks = tuple(results.mask(plate, kind, field) for kind in kinds)
        patterns = (r.pattern for r in rounds if r.pattern is not None)
        jobs.append(
            AlignJob(
                plate=plate,
                field=field,
                inputs=(*files, *masks, *patterns),
                outputs=(
                    *(results.aligned_mask(plate, kind, field) for kind in kinds),
                    *(r.target for r in rounds),
                ),
                settings=project.align,
                fixed=fixed,
                nuclear=nuclear,
                painted=painted,
                rounds=rounds,
                masks=masks,
            )
        )
    return Plan(jobs, table_settings={"overlays": True})


def pattern_path(results: Results, plate: str, name: str) -> Path:
    """Path of the camera pattern of a plate and round."""
    return results.folder("align", "pattern", plate, f"{name}.npz")


def _pairs(context: Context, plate: str, name: str) -> dict[str, Pair]:
    """All fields of a plate with the channels used for registration, processed or not."""
    project, held = context.project, context.images.channels
    fixed = tuple(project.align.cp_channels or [project.channels.nuclei])
    register = channels_of(project, name).register
    selector = FieldSelector(tuple(project.project.exclude))
    pairs = {}
    for own, field in context.images.fields(name):
        painted = held.get((plate, field, CP_ROUND), {})
        imaged = held[own, field, name]
        whole = painted.keys() >= set(fixed) and imaged.keys() >= set(register)
        if own == plate and whole and not selector.matches(plate, FieldKey.parse(field)):
            pairs[field] = Pair(
                tuple(painted[c] for c in fixed), tuple(imaged[c] for c in register)
            )
    return pairs


def _digest_of_sample(context: Context, plate: str, name: str) -> str:
    sample = sample_fields(list(_pairs(context, plate, name)))
    return digest(sample) if sample else ""


def prepare(context: Context, plan: Plan[AlignJob], jobs: Sequence[AlignJob]) -> None:
    """Find the camera pattern of every plate and round."""
    for (plate, name), path in _patterns(jobs).items():
        pairs = _pairs(context, plate, name)
        ensure_pattern(path, {field: pairs[field] for field in sample_fields(list(pairs))})


def _patterns(jobs: Sequence[AlignJob]) -> dict[tuple[str, str], Path]:
    """Pattern files by plate and round."""
    return {(job.plate, r.name): r.pattern for job in jobs for r in job.rounds if r.pattern}


def space(context: Context, jobs: Sequence[AlignJob]) -> float:
    """Bytes of the aligned images: those of the first complete field of a plate, for every one."""
    total = 0.0
    for plate in {job.plate for job in jobs}:
        fields = [job for job in jobs if job.plate == plate]
        whole = [job for job in fields if all(r.sources for r in job.rounds)]
        for r in whole[0].rounds if whole else ():
            total += image_bytes(r.sources.values()) * len(whole)
    return total


def work(job: AlignJob) -> Outcome[AlignRecord]:
    """Register all rounds of one field; only cells valid in all of them stay."""
    import numpy as np

    from nucprof.core.labels import ObjectIndex, keep_labels, typical_radius
    from nucprof.core.lost import lost_cells
    from nucprof.core.moving import move_image
    from nucprof.core.verdict import doubt
    from nucprof.io.images import read_labels, write_image, write_labels

    painted = read_sources(job, job.painted, job.fixed).max(axis=0)
    um = pixel_size(job.painted)
    masks = [read_labels(path) for path in job.masks]
    nuclei, objects = masks[0], masks[-1]
    radius = typical_radius(nuclei)
    dropped: list[Drop] = []
    rows: list[RoundRecord] = []
    gone = np.zeros(0, dtype=np.int64)
    before = ObjectIndex.of(objects).ids
    for r in job.rounds:
        channels = r.channels
        if not r.sources:
            raise FieldExcluded("no_partner", f"{job.name} has no image in round {r.name}.")
        image = read_sources(job, r.sources, channels.listed)
        _refuse_same(job, r, painted, image)
        row = RoundRecord(r.name, cells_in=len(before))
        found = _register(job, r, row, painted, image, radius)
        moved, valid = move_image(image, found.similarity(painted.shape), painted.shape)
        write_image(r.target, moved, channels.listed, um)
        stains = None
        if channels.nuclear:
            alone = job.fixed == (job.nuclear,)
            stain = painted if alone else read_sources(job, job.painted, [job.nuclear])[0]
            stains = stain, moved[channels.listed.index(channels.nuclear)]
        lost = lost_cells(objects, nuclei, stains, valid, lost_ratio=job.settings.lost_ratio)
        for reason, ids in lost.items():
            new = np.setdiff1d(ids, gone)
            dropped.append(Drop(job.plate, job.field, reason, new.tolist()))
            gone = np.union1d(gone, new)
        row = _measured(row, found)
        rows.append(
            replace(
                row,
                shift_y=found.shift_y,
                shift_x=found.shift_x,
                outside=len(lost["outside_overlap"]),
                lost=len(lost["lost_nucleus"]),
                unsure=doubt(found, job.settings.model),
            )
        )
    kept = np.setdiff1d(before, gone)
    for mask, path in zip(masks, job.outputs, strict=False):
        write_labels(path, keep_labels(mask, kept), um)
    record = AlignRecord(tuple(replace(row, cells_kept=len(kept)) for row in rows))
    return Outcome(record, dropped=dropped)


def _refuse_same(job: AlignJob, r: RoundJob, painted: np.ndarray, image: np.ndarray) -> None:
    """Exclude a field whose round repeats the pixels of Cell Painting: no second image does."""
    import numpy as np

    if painted.min() < painted.max() and any(np.array_equal(plane, painted) for plane in image):
        raise FieldExcluded(
            "same_image",
            f"{job.name}: round {r.name} has the very pixels of Cell Painting: a file was copied, "
            "or the same images are named for both. Give the round its own images.",
        )


def _register(
    job: AlignJob,
    r: RoundJob,
    row: RoundRecord,
    painted: np.ndarray,
    image: np.ndarray,
    radius_px: float | None,
) -> Registration:
    """Register a round, or exclude the field and say why."""
    from nucprof.core.registration import register
    from nucprof.core.verdict import advice, refusal

    settings = job.settings
    chosen = image[[r.channels.listed.index(c) for c in r.channels.register]].max(axis=0)
    look = partial(
        register,
        painted,
        chosen,
        radius_px=radius_px,
        max_shift_px=settings.max_shift_px,
        min_overlap=settings.min_overlap,
        pattern=read_pattern(r.pattern, job.field) if r.pattern is not None else None,
    )
    found = look(model=settings.model)
    refused = refusal(found, settings.model, radius_px)
    if refused:
        if settings.model == "translation":
            refused += advice(look(model="auto"))
        row = _measured(row, found) if found.significant else _scored(row, found)
        raise FieldExcluded(
            "registration_failed", f"{job.name}: round {r.name} {refused}", AlignRecord((row,))
        )
    return found


def _scored(row: RoundRecord, found: Registration) -> RoundRecord:
    return replace(row, score=found.score, threshold=found.threshold)


def _measured(row: RoundRecord, found: Registration) -> RoundRecord:
    residual = None if math.isnan(found.residual) else found.residual
    return replace(_scored(row, found), angle=found.angle, scale=found.scale, residual=residual)


def finish(
    context: Context, plan: Plan[AlignJob], entries: Sequence[Entry[AlignRecord]]
) -> Summary:
    """Write ``registration.csv``, draw the shifts, and name the fields to look at."""
    from nucprof.alignment import report
    from nucprof.figures import plots
    from nucprof.io.files import atomic
    from nucprof.io.tables import write_table

    project, results = context.project, context.results
    records = {e.key: (e.status, e.record.rounds) for e in entries if e.record is not None}
    table = report.registration_table(records)
    write_table(results.registration, table[report.COLUMNS])
    summary = Summary([results.registration])
    statuses = table["status"].value_counts().to_dict()
    summary.counts = {"fields": {str(k): int(v) for k, v in statuses.items()}}
    for name, rows in table.groupby("round", sort=False):
        summary.lines.append(report.describe_round(str(name), rows))
        if channels_of(project, str(name)).nuclear is None:
            summary.warnings.append(
                f"round {name} has no nuclear stain ({project.channels.nuclei}), so cells that "
                "were lost between the rounds are not detected"
            )
        figure = results.folder("align", f"shifts-{name}.png")
        with atomic(figure) as temporary:
            shifts = rows["shift_y"].to_numpy(), rows["shift_x"].to_numpy()
            status = rows["status"].to_numpy(dtype=object)
            plots.registration(temporary, *shifts, status, title=f"Shift of round {name}")
        summary.outputs.append(figure)
    overlays, missing = _draw_overlays(context, plan, table)
    summary.outputs += overlays
    summary.warnings += missing
    summary.warnings += report.mismatched(table)
    summary.warnings += report.strange_fields(table) + report.losses(table)
    for where, pattern in _patterns(plan.jobs).items():
        if pattern.is_file():
            summary.outputs.append(pattern)
            lines, warnings = describe_pattern(pattern, where)
            summary.lines += lines
            summary.warnings += warnings
    return summary


def _draw_overlays(
    context: Context, plan: Plan[AlignJob], table: pd.DataFrame
) -> tuple[list[Path], list[str]]:
    """Both rounds of the worst, a median and the best field of every plate, in two colours."""
    from nucprof.alignment.report import chosen_fields, overlay_path
    from nucprof.figures.overlay import draw_two_rounds
    from nucprof.io.images import read_image
    from nucprof.io.pictures import write_picture

    jobs = {job.key: job for job in plan.jobs}
    folder, drawn, missing = context.results.folder("align"), [], []
    for (plate, name), rows in table.groupby(["plate", "round"], sort=False):
        for row in chosen_fields(rows).values():
            well = WellKey.parse(row.well)
            field = str(FieldKey(well.row, well.column, int(row.site)))
            job = jobs[str(plate), field]
            own = next(r for r in job.rounds if r.name == name)
            try:
                painted = read_sources(job, job.painted, job.fixed).max(axis=0)
            except (FieldError, FieldExcluded) as error:
                missing.append(f"{job.name}: no overlay of round {name} is drawn: {error}")
                continue
            moved = read_image(own.target)
            shown = [own.channels.listed.index(c) for c in own.channels.register]
            path = overlay_path(folder, str(plate), str(name), field)
            um = pixel_size(job.painted)
            write_picture(path, draw_two_rounds(painted, moved[shown].max(axis=0), um))
            drawn.append(path)
    for path in folder.glob("overlays/*/*.png"):
        if path not in drawn:
            path.unlink()
    return drawn, missing


STAGE = Stage(
    name="align",
    help="Register the ground-truth rounds to the Cell Painting round",
    sections=("align",),
    needs=needs("rename", "segment"),
    makes=("aligned/", "registration.csv"),
    plan=plan,
    prepare=prepare,
    work=work,
    finish=finish,
    record=AlignRecord,
    skip=without_ground_truth,
    version=4,
    reads_images=True,
    space=space,
)
