"""Segmentation and registration: flagged fields first, overlays, shifts and scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nucprof.alignment.report import chosen_fields, overlay_path
from nucprof.figures import overview
from nucprof.plate.keys import FieldKey
from nucprof.report.records import Block, Section, Table
from nucprof.report.source import Source, place

if TYPE_CHECKING:
    import pandas as pd

MOST_OVERLAYS = 12
_OVERLAY_PX = 720
#: Column of ``qc.csv`` -> heading and format.
_FIGURES = {
    "objects": ("objects", "{:,.0f}"),
    "median_area_px": ("median area (px)", "{:,.0f}"),
    "focus": ("focus", "{:.3g}"),
    "saturated_share": ("saturated pixels", "{:.2%}"),
    "dim_share": ("dim objects", "{:.1%}"),
    "tiny_share": ("tiny objects", "{:.1%}"),
}


def segmentation(source: Source) -> Section | None:
    """The fields that stand out, then outlines of these and of a sample."""
    table = source.table("segment", "qc.csv") if source.has("segment") else None
    if table is None or not len(table):
        return None
    flagged = table[table["flag"].astype(bool)]
    blocks: list[Block] = []
    if len(flagged):
        rows = [(_field(row), row.reason) for row in flagged.itertuples()]
        blocks.append(Table(
            f"{len(flagged)} of {len(table)} fields stand out", ("field", "why"), rows,
            folded=len(rows) > 15,
            caption="A field is flagged if it differs from the rest of its plate, or exceeds a "
            "fixed limit.",
        ))  # fmt: skip
    blocks += _outlines(source, table)
    columns = [name for name in _FIGURES if name in table]
    rows = [
        (plate, len(own), *(_FIGURES[name][1].format(own[name].median()) for name in columns))
        for plate, own in table.groupby("plate")
    ]
    blocks.append(Table(
        "Medians over the fields of each plate",
        ("plate", "fields", *(_FIGURES[name][0] for name in columns)), rows,
        numbers=frozenset(range(1, len(columns) + 2)), caption="Every field: segment/qc.csv.",
    ))  # fmt: skip
    intro = "No field stands out." if not len(flagged) else ""
    return Section("segmentation", "Segmentation", blocks, intro)


def _field(row: object) -> str:
    well = place(row.well)  # type: ignore[attr-defined]
    return f"{row.plate}/{FieldKey(*well, int(row.site))}"  # type: ignore[attr-defined]


def _outlines(source: Source, table: pd.DataFrame) -> list[Block]:
    """Overlays that segmentation drew, flagged fields first."""
    why = {_field(row): row.reason for row in table.itertuples()}
    flagged = {_field(row) for row in table[table["flag"].astype(bool)].itertuples()}
    folder = source.results.folder("segment", "overlays")
    drawn = {f"{p.parent.name}/{p.stem}": p for p in sorted(folder.glob("*/*.png"))}
    names = sorted(drawn, key=lambda name: (name not in flagged, name))[:MOST_OVERLAYS]
    found = []
    for name in names:
        title = f"{name}: {why[name]}" if name in flagged else f"{name}"
        found.append(source.picture(
            drawn[name], title,
            "Outlines of the nuclei (yellow) and, in cell mode, of the cells (pink). Every nucleus "
            "should have one outline, and nothing else should have any. Nuclei that touch the edge "
            "of the image have none, unless segment.clear_border is false.", width_px=_OVERLAY_PX,
        ))  # fmt: skip
    return [figure for figure in found if figure is not None]


def registration(source: Source) -> Section | None:
    """Shifts over the plates, overlays, and scores against chance, for every round."""
    path = source.results.registration
    table = source.table(path.name) if source.has("align") else None
    if table is None or not len(table):
        return None
    blocks: list[Block] = []
    for name, rows in table.groupby("round", sort=False):
        blocks += _round(source, str(name), rows)
    return Section("registration", "Registration", blocks)


def _round(source: Source, name: str, rows: pd.DataFrame) -> list[Block]:
    shifts = {
        str(plate): [
            overview.Shift(place(r.well), int(r.site), r.shift_y, r.shift_x, r.status)
            for r in own.itertuples()
        ]
        for plate, own in rows.groupby("plate", sort=False)
    }
    blocks: list[Block] = [source.draw(
        f"shifts-{name}", f"{name}: shift of every field",
        "An arrow per field at its well: where the round lies relative to Cell Painting. A plate "
        "that was put back into the microscope gives similar arrows, or a smooth pattern where it "
        "was turned; one arrow unlike its neighbours is a wrong registration. A cross: no match.",
        lambda target: overview.shift_map(target, shifts),
    )]  # fmt: skip
    score, chance = rows["score"].to_numpy(float), rows["threshold"].to_numpy(float)
    status = rows["status"].to_list()
    blocks.append(source.draw(
        f"scores-{name}", f"{name}: score against chance",
        "Points: how well the round matches at its shift (1: perfectly). Bars: what images that "
        "show other places reach by chance. A point inside its bar is no match, and the field is "
        "left out.",
        lambda target: overview.scores(target, score, chance, status), double=True,
    ))  # fmt: skip
    for label, row in chosen_fields(rows).items():
        field = str(FieldKey(*place(row.well), int(row.site)))
        overlay: Path = overlay_path(source.results.folder("align"), row.plate, name, field)
        figure = source.picture(
            overlay, f"{name}: {label}, {row.plate}/{field}",
            f"Cell Painting in magenta, the registered round in green, both in nuclear stain where "
            f"the round has it; white where they agree. Coloured edges on one side of all nuclei "
            f"are a wrong shift. Score {row.score:.2f}, chance up to {row.threshold:.2f} "
            "(fields are ordered by the difference).",
            width_px=_OVERLAY_PX,
        )  # fmt: skip
        blocks += [figure] if figure is not None else []
    return blocks
