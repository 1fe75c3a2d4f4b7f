"""Bring every ground-truth round onto the Cell Painting frame; drop cells not visible in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nucprof.config import Project
from nucprof.config.models import AlignSettings
from nucprof.core.labels import ObjectIndex, keep_labels
from nucprof.errors import FieldExcluded
from nucprof.io.files import atomic
from nucprof.io.images import Source, read_channels, read_labels, write_image, write_labels
from nucprof.io.tables import write_table
from nucprof.plate.keys import CP_ROUND, FieldKey
from nucprof.stages.base import Context, Drop, Entry, Job, Outcome, Plan, Summary, survivors

if TYPE_CHECKING:
    import pandas as pd

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

    listed: list[str]
    register: list[str]
    nuclear: str | None


def channels_of(project: Project, name: str) -> RoundChannels:
    """Which channels of a round are registered: those asked for, the nuclear stain, or all."""
    listed = project.round_channels(name)
    asked = [channel for channel in project.align.gt_channels if channel in listed]
    nuclear = project.channels.nuclei if project.channels.nuclei in listed else None
    return RoundChannels(listed, asked or ([nuclear] if nuclear else listed), nuclear)


def plan(context: Context) -> Plan:
    """One job per segmented field, for all rounds of its plate."""
    project, results = context.project, context.results
    kinds = ["nuclei", "cells"] if project.mask_kind == "cells" else ["nuclei"]
    fixed = project.align.cp_channels or [project.channels.nuclei]
    jobs = []
    for plate, field in survivors(context, "segment"):
        rounds = {
            name: channels_of(project, name)
            for name in project.rounds
            if name in next(p.ground_truth for p in project.plates if p.name == plate)
        }
        files: dict[Path, None] = {}
        held: dict[str, dict[str, Source]] = {}
        for name in (CP_ROUND, *rounds):
            held[name] = context.images.channels.get((plate, field, name), {})
            files |= dict.fromkeys(Path(p) for s in held[name].values() for p in s.files)
        masks = [results.mask(plate, kind, field) for kind in kinds]
        jobs.append(
            Job(
                plate,
                field,
                (*files, *masks),
                (
                    *(results.aligned_mask(plate, kind, field) for kind in kinds),
                    *(results.aligned_image(plate, name, field) for name in rounds),
                ),
                {"settings": project.align, "fixed": fixed, "rounds": rounds, "kinds": kinds},
                {"held": held, "masks": masks},
            )
        )
    return Plan(jobs)


def work(job: Job) -> Outcome:
    """Register all rounds of one field; only cells valid in all of them stay."""
    from nucprof.core.registration import lost_cells, shift_image

    settings: AlignSettings = job.params["settings"]
    held = job.runtime["held"]
    for name, channels in job.params["rounds"].items():
        _refuse_missing(job, name, channels.listed, held[name])
    painted = read_channels([held[CP_ROUND][c] for c in job.params["fixed"]]).max(axis=0)
    masks = [read_labels(path) for path in job.runtime["masks"]]
    nuclei, objects = masks[0], masks[-1]
    outcome = Outcome()
    rows, gone = [], np.zeros(0, dtype=np.int64)
    before = ObjectIndex.of(objects).ids
    for (name, channels), target in zip(
        job.params["rounds"].items(), job.outputs[len(masks) :], strict=True
    ):
        image = read_channels([held[name][c] for c in channels.listed])
        found = register_round(painted, image, channels, settings)
        row = {
            "round": name,
            "shift_y": found.shift_y,
            "shift_x": found.shift_x,
            "score": found.score,
            "threshold": found.threshold,
            "cells_in": len(before),
        }
        if not found.significant:
            failed = {
                "round": name,
                "score": found.score,
                "threshold": found.threshold,
                "cells_in": len(before),
                "cells_kept": 0,
            }
            raise FieldExcluded(
                "registration_failed",
                f"{job.name}: round {name} does not match the Cell Painting image better than "
                f"chance (score {found.score:.3f}, chance up to {found.threshold:.3f})",
                {"rounds": [failed]},
            )
        moved, valid = shift_image(image, (found.shift_y, found.shift_x), painted.shape)
        write_image(target, moved, channels.listed)
        nuclear = moved[channels.listed.index(channels.nuclear)] if channels.nuclear else None
        lost = lost_cells(objects, nuclei, nuclear, valid, lost_ratio=settings.lost_ratio)
        for reason, ids in lost.items():
            new = np.setdiff1d(ids, gone)
            outcome.dropped.append(Drop(job.plate, job.field, reason, new.tolist()))
            gone = np.union1d(gone, new)
        rows.append(row)
    kept = np.setdiff1d(before, gone)
    for mask, path in zip(masks, job.outputs, strict=False):
        write_labels(path, keep_labels(mask, kept))
    outcome.record = {"rounds": [row | {"cells_kept": len(kept)} for row in rows]}
    return outcome


def _refuse_missing(job: Job, name: str, listed: Sequence[str], held: dict[str, Source]) -> None:
    if not held:
        raise FieldExcluded("no_partner", f"{job.name} has no image in round {name}.")
    for channel in listed:
        if channel not in held:
            raise FieldExcluded("no_channel", f"{job.name} has no {channel} in round {name}.")


def register_round(
    painted: np.ndarray, image: np.ndarray, channels: RoundChannels, settings: AlignSettings
) -> Any:
    """Register the maximum over the chosen channels of a round onto the Cell Painting plane."""
    from nucprof.core.registration import estimate_shift

    chosen = image[[channels.listed.index(c) for c in channels.register]]
    return estimate_shift(
        painted,
        chosen.max(axis=0),
        max_shift_px=settings.max_shift_px,
        min_overlap=settings.min_overlap,
    )


def finish(context: Context, plan: Plan, entries: Sequence[Entry]) -> Summary:
    """Write ``registration.csv``, flag outliers of each plate and round, and draw the shifts."""
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


def registration_table(entries: Sequence[Entry]) -> pd.DataFrame:
    """One row per field and round; a field that failed has no shift."""
    import pandas as pd

    from nucprof.core.registration import flag_outliers

    rows = []
    for entry in entries:
        field = FieldKey.parse(entry.field)
        where = {"plate": entry.plate, "well": str(field.well), "site": field.site}
        status = "ok" if entry.status == "done" else "failed"
        rows += [where | dict(row) | {"status": status} for row in entry.record.get("rounds", [])]
    table = pd.DataFrame(rows, columns=COLUMNS)
    for _, group in table[table["status"] == "ok"].groupby(["plate", "round"]):
        strange = flag_outliers(group[["shift_y", "shift_x"]].to_numpy(dtype=np.float64))
        table.loc[group.index[strange], "status"] = "outlier"
    return table.sort_values(["plate", "round", "well", "site"], ignore_index=True)
