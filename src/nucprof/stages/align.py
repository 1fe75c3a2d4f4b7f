"""Bring every ground-truth round onto the Cell Painting frame; drop cells not visible in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nucprof.config import Project
from nucprof.config.models import AlignSettings
from nucprof.errors import FieldExcluded
from nucprof.plate.keys import CP_ROUND, FieldKey
from nucprof.plate.sources import Source
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

COLUMNS = [
    "plate",
    "well",
    "site",
    "round",
    "shift_y",
    "shift_x",
    "score",
    "threshold",
    "status",
    "cells_in",
    "cells_kept",
]


@dataclass(frozen=True)
class RoundChannels:
    """The channels of a round that registration and the lost-cell test look at."""

    listed: tuple[str, ...]
    register: tuple[str, ...]
    nuclear: str | None


@dataclass(frozen=True)
class RoundJob:
    """A ground-truth round of one field: its channels, where they are, and where it is written."""

    name: str
    channels: RoundChannels
    sources: dict[str, Source]
    target: Path


@dataclass(frozen=True, kw_only=True)
class AlignJob(Job):
    """One field, with all its rounds; ``masks`` are nuclei and, in cell mode, cells."""

    settings: AlignSettings
    fixed: tuple[str, ...]
    painted: dict[str, Source]
    rounds: tuple[RoundJob, ...]
    masks: tuple[Path, ...]


@dataclass(frozen=True)
class RoundRecord:
    """What ``registration.csv`` says of one field and round; a failed one has no shift."""

    round: str
    score: float
    threshold: float
    cells_in: int
    cells_kept: int = 0
    shift_y: float | None = None
    shift_x: float | None = None


@dataclass(frozen=True)
class AlignRecord:
    """The rounds of one field."""

    rounds: tuple[RoundRecord, ...]


def channels_of(project: Project, name: str) -> RoundChannels:
    """Which channels of a round are registered: those asked for, the nuclear stain, or all."""
    listed = tuple(project.round_channels(name))
    asked = tuple(channel for channel in project.align.gt_channels if channel in listed)
    nuclear = project.channels.nuclei if project.channels.nuclei in listed else None
    return RoundChannels(listed, asked or ((nuclear,) if nuclear else listed), nuclear)


def plan(context: Context) -> Plan[AlignJob]:
    """One job per segmented field, for all rounds of its plate."""
    project, results = context.project, context.results
    kinds = ["nuclei", "cells"] if project.mask_kind == "cells" else ["nuclei"]
    fixed = tuple(project.align.cp_channels or [project.channels.nuclei])
    jobs = []
    for plate, field in survivors(context, "segment"):
        held = context.images.channels
        painted = held.get((plate, field, CP_ROUND), {})
        painted = {name: painted[name] for name in fixed if name in painted}
        rounds = tuple(
            RoundJob(
                name,
                channels_of(project, name),
                held.get((plate, field, name), {}),
                results.aligned_image(plate, name, field),
            )
            for name in project.rounds_of(plate)
        )
        files = dict.fromkeys(
            source.path for of in (painted, *(r.sources for r in rounds)) for source in of.values()
        )
        masks = tuple(results.mask(plate, kind, field) for kind in kinds)
        jobs.append(
            AlignJob(
                plate=plate,
                field=field,
                inputs=(*files, *masks),
                outputs=(
                    *(results.aligned_mask(plate, kind, field) for kind in kinds),
                    *(r.target for r in rounds),
                ),
                settings=project.align,
                fixed=fixed,
                painted=painted,
                rounds=rounds,
                masks=masks,
            )
        )
    return Plan(jobs)


def work(job: AlignJob) -> Outcome[AlignRecord]:
    """Register all rounds of one field; only cells valid in all of them stay."""
    import numpy as np

    from nucprof.core.labels import ObjectIndex, keep_labels
    from nucprof.core.registration import lost_cells, shift_image
    from nucprof.io.images import read_labels, write_image, write_labels

    painted = read_sources(job, job.painted, job.fixed).max(axis=0)
    masks = [read_labels(path) for path in job.masks]
    nuclei, objects = masks[0], masks[-1]
    dropped: list[Drop] = []
    rows: list[RoundRecord] = []
    gone = np.zeros(0, dtype=np.int64)
    before = ObjectIndex.of(objects).ids
    for r in job.rounds:
        channels = r.channels
        if not r.sources:
            raise FieldExcluded("no_partner", f"{job.name} has no image in round {r.name}.")
        image = read_sources(job, r.sources, channels.listed)
        found = register_round(painted, image, channels, job.settings)
        row = RoundRecord(r.name, found.score, found.threshold, len(before))
        if not found.significant:
            raise FieldExcluded(
                "registration_failed",
                f"{job.name}: round {r.name} does not match the Cell Painting image better than "
                f"chance (score {found.score:.3f}, chance up to {found.threshold:.3f})",
                AlignRecord((row,)),
            )
        moved, valid = shift_image(image, (found.shift_y, found.shift_x), painted.shape)
        write_image(r.target, moved, channels.listed)
        nuclear = moved[channels.listed.index(channels.nuclear)] if channels.nuclear else None
        lost = lost_cells(objects, nuclei, nuclear, valid, lost_ratio=job.settings.lost_ratio)
        for reason, ids in lost.items():
            new = np.setdiff1d(ids, gone)
            dropped.append(Drop(job.plate, job.field, reason, new.tolist()))
            gone = np.union1d(gone, new)
        rows.append(replace(row, shift_y=found.shift_y, shift_x=found.shift_x))
    kept = np.setdiff1d(before, gone)
    for mask, path in zip(masks, job.outputs, strict=False):
        write_labels(path, keep_labels(mask, kept))
    record = AlignRecord(tuple(replace(row, cells_kept=len(kept)) for row in rows))
    return Outcome(record, dropped=dropped)


def register_round(
    painted: np.ndarray, image: np.ndarray, channels: RoundChannels, settings: AlignSettings
) -> Registration:
    """Register the maximum over the chosen channels of a round onto the Cell Painting plane."""
    from nucprof.core.registration import estimate_shift

    chosen = image[[channels.listed.index(c) for c in channels.register]]
    return estimate_shift(
        painted,
        chosen.max(axis=0),
        max_shift_px=settings.max_shift_px,
        min_overlap=settings.min_overlap,
    )


def finish(
    context: Context, plan: Plan[AlignJob], entries: Sequence[Entry[AlignRecord]]
) -> Summary:
    """Write ``registration.csv``, flag outliers of each plate and round, and draw the shifts."""
    from nucprof.io.tables import write_table

    table = registration_table(entries)
    path = context.results.registration
    write_table(path, table)
    summary = Summary([path])
    statuses = table["status"].value_counts().to_dict()
    summary.counts = {"fields": {str(k): int(v) for k, v in statuses.items()}}
    for name, rows in table.groupby("round", sort=False):
        good = rows[rows["status"] != "failed"]
        summary.lines.append(
            f"{name}: {len(good)} fields aligned, median shift "
            f"({good['shift_y'].median():.1f}, {good['shift_x'].median():.1f}) px"
        )
        summary.outputs.append(_draw(context, str(name), rows))
        if channels_of(context.project, str(name)).nuclear is None:
            summary.warnings.append(
                f"round {name} has no nuclear stain ({context.project.channels.nuclei}): cells "
                "lost between the rounds cannot be told, that test is off"
            )
    for row in table[table["status"] == "outlier"].itertuples():
        summary.warnings.append(
            f"{row.plate}/{row.well} site {row.site}, {row.round}: shift ({row.shift_y:.1f}, "
            f"{row.shift_x:.1f}) px is unlike the rest of the plate; look at it"
        )
    return summary


def _draw(context: Context, name: str, rows: pd.DataFrame) -> Path:
    from nucprof.figures import plots
    from nucprof.io.files import atomic

    path = context.results.folder("align", f"shifts-{name}.png")
    with atomic(path) as temporary:
        plots.registration(
            temporary,
            rows["shift_y"].to_numpy(),
            rows["shift_x"].to_numpy(),
            rows["status"].to_numpy(dtype=object),
            title=f"Shift of round {name}",
        )
    return path


def registration_table(entries: Sequence[Entry[AlignRecord]]) -> pd.DataFrame:
    """One row per field and round; a field that failed has no shift."""
    import numpy as np
    import pandas as pd

    from nucprof.core.registration import flag_outliers

    rows = []
    for entry in entries:
        field = FieldKey.parse(entry.field)
        where = {"plate": entry.plate, "well": str(field.well), "site": field.site}
        status = "ok" if entry.status == "done" else "failed"
        rounds = entry.record.rounds if entry.record else ()
        rows += [where | asdict(row) | {"status": status} for row in rounds]
    table = pd.DataFrame(rows, columns=COLUMNS)
    for _, group in table[table["status"] == "ok"].groupby(["plate", "round"]):
        strange = flag_outliers(group[["shift_y", "shift_x"]].to_numpy(dtype=np.float64))
        table.loc[group.index[strange], "status"] = "outlier"
    return table.sort_values(["plate", "round", "well", "site"], ignore_index=True)


STAGE = Stage(
    name="align",
    help="Bring the ground-truth rounds onto the Cell Painting frame",
    sections=("align",),
    needs=needs("rename", "segment"),
    makes=("aligned/", "registration.csv"),
    plan=plan,
    work=work,
    finish=finish,
    record=AlignRecord,
    skip=without_ground_truth,
)
