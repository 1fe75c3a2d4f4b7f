"""Plate maps: layout, cells per well, focus; and the waterfall of cells."""

from __future__ import annotations

from functools import partial

from nucprof.figures import overview
from nucprof.io.tables import count_rows
from nucprof.report.records import Block, Section
from nucprof.report.source import Source, place


def section(source: Source) -> Section | None:
    """Layout, cells and focus by well."""
    blocks: list[Block] = []
    layout: dict[str, dict[tuple[str, int], str]] = {}
    for well, culture in source.about.cultures.items():
        plate, _, name = well.rpartition("/")
        layout.setdefault(plate, {})[place(name)] = culture
    if layout:
        names = sorted({culture for wells in layout.values() for culture in wells.values()})
        names.sort(key=lambda name: name == source.about.mixed)  # classes have the first colours
        colours = source.colours(names)
        blocks.append(source.draw(
            "layout", "Layout", "Each square is a well, coloured by its culture in the layout. "
            "A culture has the same colour in all figures of the project.",
            lambda target: overview.layout_map(target, layout, colours),
        ))  # fmt: skip
    if source.results.cells.is_file():
        cells: dict[str, dict[tuple[str, int], float]] = {}
        columns = ["Metadata_Plate", "Metadata_Well", "status"]
        for (plate, well, status), n in count_rows(source.results.cells, columns).items():
            of_plate = cells.setdefault(plate, {})
            of_plate[place(well)] = of_plate.get(place(well), 0) + (n if status == "kept" else 0)
        if cells:
            blocks.append(source.draw(
                "cells-per-well", "Cells per well",
                "Number of cells that are kept in each well, summed over its fields. Neighbouring "
                "wells of one culture should be alike; an empty edge or corner points to seeding, "
                "washing or focus.",
                partial(
                    overview.number_map, plates=cells, label="cells", limits=(0, _highest(cells)),
                    form="{:.0f}",
                ),
            ))  # fmt: skip
    quality = source.table("segment", "qc.csv") if source.has("segment") else None
    if quality is not None and len(quality):
        means = quality.groupby(["plate", "well"])["focus"].mean()
        typical = quality.groupby("plate")["focus"].median()
        focus: dict[str, dict[tuple[str, int], float]] = {}
        for (plate, well), value in means.items():
            focus.setdefault(plate, {})[place(well)] = value / (typical[plate] or 1)
        blocks.append(source.draw(
            "focus", "Focus",
            "Sharpness of the nuclear channel, mean over the fields of a well, relative to the "
            "plate's median (1). A well that is darker than others of its culture is blurred: its "
            "nuclei are found and measured less well. Cell types differ too.",
            partial(
                overview.number_map, plates=focus, label="focus (1: the plate's median)",
                form="{:.2f}",
            ),
        ))  # fmt: skip
    if not blocks:
        return None
    return Section("plates", "Plate maps", blocks)


def _highest(plates: dict[str, dict[tuple[str, int], float]]) -> float:
    return max(value for wells in plates.values() for value in wells.values())


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
