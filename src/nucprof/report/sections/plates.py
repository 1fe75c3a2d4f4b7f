"""Plate maps: layout, cells per well, focus; and the waterfall of cells."""

from __future__ import annotations

from functools import partial

from nucprof.figures import overview
from nucprof.io.tables import count_rows
from nucprof.report.records import Figure, Section
from nucprof.report.source import Source, place

Plates = dict[str, dict[tuple[str, int], float]]
"""Plate -> well -> a number."""


def section(source: Source) -> Section | None:
    """Layout, cells and focus by well."""
    blocks = [figure for draw in (_layout, _cells, _focus) if (figure := draw(source)) is not None]
    return Section("plates", "Plate maps", blocks) if blocks else None


def _layout(source: Source) -> Figure | None:
    layout: dict[str, dict[tuple[str, int], str]] = {}
    for well, culture in source.about.cultures.items():
        plate, _, name = well.rpartition("/")
        layout.setdefault(plate, {})[place(name)] = culture
    if not layout:
        return None
    names = sorted({culture for wells in layout.values() for culture in wells.values()})
    names.sort(key=lambda name: name == source.about.mixed)  # classes have the first colours
    return source.draw(
        "layout", "Layout", "Each square is a well, coloured by its culture in the layout. "
        "A culture has the same colour in all figures of the project.",
        partial(overview.layout_map, plates=layout, colours=source.colours(names)),
    )  # fmt: skip


def _cells(source: Source) -> Figure | None:
    if not source.results.cells.is_file():
        return None
    cells: Plates = {}
    columns = ["Metadata_Plate", "Metadata_Well", "status"]
    for (plate, well, status), n in count_rows(source.results.cells, columns).items():
        of_plate = cells.setdefault(plate, {})
        of_plate[place(well)] = of_plate.get(place(well), 0) + (n if status == "kept" else 0)
    if not cells:
        return None
    highest = max(value for wells in cells.values() for value in wells.values())
    return source.draw(
        "cells-per-well", "Cells per well",
        "Number of cells that are kept in each well, summed over its fields. Neighbouring "
        "wells of one culture should be alike; an empty edge or corner points to seeding, "
        "washing or focus.",
        partial(
            overview.number_map, plates=cells, label="cells", limits=(0, highest), form="{:.0f}"
        ),
    )  # fmt: skip


def _focus(source: Source) -> Figure | None:
    quality = source.table("segment", "qc.csv") if source.has("segment") else None
    if quality is None or not len(quality):
        return None
    means = quality.groupby(["plate", "well"])["focus"].mean()
    typical = quality.groupby("plate")["focus"].median()
    focus: Plates = {}
    for (plate, well), value in means.items():
        focus.setdefault(plate, {})[place(well)] = value / (typical[plate] or 1)
    return source.draw(
        "focus", "Focus",
        "Sharpness of the nuclear channel, mean over the fields of a well, relative to the "
        "plate's median (1). A well that is darker than others of its culture is blurred: its "
        "nuclei are found and measured less well. Cell types differ too.",
        partial(
            overview.number_map, plates=focus, label="focus (1: the plate's median)",
            form="{:.2f}",
        ),
    )  # fmt: skip


def waterfall(source: Source) -> Section | None:
    """Cells from segmentation to the end."""
    if not source.results.cells.is_file():
        return None
    counts = count_rows(source.results.cells, ["stage", "reason"])
    total = sum(counts.values())
    order = {name: number for number, name in enumerate(source.runs)}
    dropped = sorted(
        ((stage, reason, -n) for (stage, reason), n in counts.items() if stage),
        key=lambda step: (order.get(step[0], 0), step[1]),
    )
    kept = sum(n for (stage, _), n in counts.items() if not stage)
    steps = [("segment", "segmented", total), *dropped, ("", "kept", kept)]
    if not total:
        return None
    figure = source.draw(
        "waterfall", "Where the cells went",
        "Top: all segmented objects. Each following bar is what a stage dropped, with the reason, "
        "in cells and as a share of all objects. Bottom: the cells that all later results rest on. "
        "cells.parquet lists every object with its fate.",
        lambda target: overview.waterfall(target, steps), wide=True,
    )  # fmt: skip
    return Section("cells", "The waterfall of cells", [figure])
