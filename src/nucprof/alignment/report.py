"""The result of an alignment for every field and round, as a table and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucprof.plate.keys import FieldKey
from nucprof.plate.words import several

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = [
    "plate",
    "well",
    "site",
    "round",
    "shift_y",
    "shift_x",
    "angle",
    "scale",
    "residual",
    "score",
    "threshold",
    "status",
    "cells_in",
    "cells_kept",
]

#: Where more than this share of a round's fields match nothing, a match may be chance.
MOST_REFUSED = 0.5
#: A field or plate that lost more than this share of cells is named, up to this many fields.
MOST_LOST, MOST_NAMED = 0.05, 10


@dataclass(frozen=True)
class RoundRecord:
    """The result for one field and round; a field without a match has no shift.

    ``unsure`` says why a match is not reliable.
    """

    round: str
    cells_in: int
    score: float = 0.0
    threshold: float = 1.0
    cells_kept: int = 0
    shift_y: float | None = None
    shift_x: float | None = None
    angle: float | None = None
    scale: float | None = None
    residual: float | None = None
    outside: int = 0
    lost: int = 0
    unsure: str = ""


@dataclass(frozen=True)
class AlignRecord:
    """The rounds of one field."""

    rounds: tuple[RoundRecord, ...]


def registration_table(
    records: Mapping[tuple[str, str], tuple[str, Sequence[RoundRecord]]],
) -> pd.DataFrame:
    """One row per field and round, with `COLUMNS` and what the messages need.

    Parameters
    ----------
    records : mapping
        (plate, field) -> status of its job, and its rounds. A field that failed has no shift.
    """
    import numpy as np
    import pandas as pd

    from nucprof.core.verdict import flag_outliers

    rows = []
    for (plate, name), (job, rounds) in records.items():
        field = FieldKey.parse(name)
        where = {"plate": plate, "well": str(field.well), "site": field.site}
        for row in rounds:
            status = "failed" if job != "done" else "unsure" if row.unsure else "ok"
            rows.append(where | asdict(row) | {"status": status})
    table = pd.DataFrame(rows, columns=[*COLUMNS, "outside", "lost", "unsure"])
    numbers = ["shift_y", "shift_x", "angle", "scale", "residual"]
    table[numbers] = table[numbers].astype(np.float64)
    for _, group in table.groupby(["plate", "round"]):
        if _most_refused(group):
            usable = group.index[group["status"] != "failed"]
            table.loc[usable, "unsure"] = _with_most_refused(table.loc[usable, "unsure"])
            table.loc[usable, "status"] = "unsure"
    for _, group in table[table["status"] != "failed"].groupby(["plate", "round"]):
        strange = flag_outliers(group[["shift_y", "shift_x"]].to_numpy(dtype=np.float64))
        table.loc[group.index[strange], "status"] = "outlier"
    return table.sort_values(["plate", "round", "well", "site"], ignore_index=True)


def _refused(rows: pd.DataFrame) -> int:
    return int((rows["status"] == "failed").sum())


def _most_refused(rows: pd.DataFrame) -> bool:
    return _refused(rows) > MOST_REFUSED * len(rows)


def _with_most_refused(reasons: pd.Series) -> pd.Series:
    most = "most fields of this round match nothing, so this match may be chance"
    return reasons.map(lambda reason: f"{reason}; {most}" if reason else most)


def mismatched(table: pd.DataFrame) -> list[str]:
    """Warn of every plate and round of which most fields match nothing."""
    return [
        f"plate {plate}, round {name}: {_refused(rows)} of {len(rows)} fields do not match Cell "
        "Painting. Is it the round of another plate, are its wells named in another order, or is "
        "it mirrored, or turned by 90 or 180 degrees?"
        for (plate, name), rows in table.groupby(["plate", "round"], sort=False)
        if _most_refused(rows)
    ]


def chosen_fields(rows: pd.DataFrame) -> dict[str, Any]:
    """The worst, a median and the best field of a round, by how far the score is above chance.

    Parameters
    ----------
    rows : DataFrame
        Rows of one round; fields without a match are left out.

    Returns
    -------
    dict
        ``worst``, ``median``, ``best`` -> its row; fewer where there are fewer fields.
    """
    good = rows[rows["status"] != "failed"]
    order = (good["score"] - good["threshold"]).sort_values(kind="stable").index
    places = {"worst field": 0, "median field": len(order) // 2, "best field": len(order) - 1}
    found: dict[str, Any] = {}
    for label, place in places.items():
        if len(order) > place >= 0 and order[place] not in [row.name for row in found.values()]:
            found[label] = good.loc[order[place]]
    return found


def overlay_path(folder: Path, plate: str, round_name: str, field: str) -> Path:
    """Where the two-colour overlay of a field and round lies."""
    return folder / "overlays" / plate / f"{round_name}-{field}.png"


def describe_round(name: str, rows: pd.DataFrame) -> str:
    """Sum up the rows of a round in one line."""
    good = rows[rows["status"] != "failed"]
    if good.empty:
        return f"{name}: no field aligned"
    line = (
        f"{name}: {several(len(good), 'field')} aligned, median shift "
        f"({good['shift_y'].median():.1f}, {good['shift_x'].median():.1f}) px"
    )
    turned = good[(good["angle"] != 0) | (good["scale"] != 1)]
    if len(turned):
        line += (
            f"; {len(turned)} of them turned or magnified, median {turned['angle'].median():.2f} "
            f"degrees and {turned['scale'].median():.4f} times"
        )
    cells = good["cells_in"].sum()
    return (
        f"{line}; of {cells} cells {good['outside'].sum()} lie outside the round and "
        f"{good['lost'].sum()} are lost"
    )


def strange_fields(table: pd.DataFrame) -> list[str]:
    """Warnings that name the fields to look at, and say why."""
    warnings = []
    for row in table[(table["status"] == "outlier") | (table["unsure"] != "")].itertuples():
        why = [f"unsure, {row.unsure}"] if row.unsure else []
        if row.status == "outlier":
            why.append(
                f"shift ({row.shift_y:.1f}, {row.shift_x:.1f}) px is unlike the rest of the plate"
            )
        warnings.append(
            f"{row.plate}/{row.well} site {row.site}, {row.round}: {'; '.join(why)}; look at it"
        )
    return warnings


def losses(table: pd.DataFrame) -> list[str]:
    """Warn of every plate and field that lost more than `MOST_LOST` of its cells."""
    good = table[table["status"] != "failed"]
    groups = good.groupby(["plate", "round"], sort=False)
    return [text for (plate, name), g in groups for text in _losses(f"plate {plate}, {name}", g)]


def _losses(where: str, rows: pd.DataFrame) -> list[str]:
    warnings = []
    lost, cells = int(rows["lost"].sum()), int(rows["cells_in"].sum())
    if lost > MOST_LOST * cells:
        warnings.append(
            f"{where}: {lost} of {cells} cells ({lost / cells:.0%}) have lost their "
            "nucleus since Cell Painting; look at the overlays, and at align.lost_ratio"
        )
    bad = rows[rows["lost"] > MOST_LOST * rows["cells_in"]]
    if len(bad):
        worst = bad.assign(share=bad["lost"] / bad["cells_in"])
        worst = worst.sort_values("share", ascending=False, kind="stable")
        named = [f"{r.well} site {r.site} ({r.share:.0%})" for r in worst.itertuples()]
        more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        warnings.append(
            f"{where}: fields that lost over {MOST_LOST:.0%} of their nuclei: "
            f"{', '.join(named[:MOST_NAMED])}{more}"
        )
    return warnings
