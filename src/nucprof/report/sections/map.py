"""The map of all cells: the interactive plot, and a figure of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nucprof.figures import plots
from nucprof.figures.canvas import NO_CLASS
from nucprof.plate.columns import DENSITY, LAYOUT, TRUE
from nucprof.report.cells import METHODS, NO_CULTURE, Cells
from nucprof.report.records import Section
from nucprof.report.source import Source


def section(source: Source) -> Section | None:
    """The map by class, culture and density; the interactive one is put before it by the page."""
    table = source.table("embed", "umap.csv") if source.has("embed") else None
    if table is None or not len(table):
        return None
    first, second = table.columns[-2:]
    panels: dict[str, np.ndarray] = {}
    names: list[str] = []
    for title, column in (("true class", TRUE), ("culture", LAYOUT)):
        if column in table:
            values = table[column].fillna(NO_CULTURE).to_numpy(dtype=str)
            panels[title] = values
            names += sorted(set(values))
    panels["cells in the field"] = table[DENSITY].to_numpy(dtype=float)
    colours = source.colours([name for name in names if name != NO_CULTURE])
    figure = source.draw(
        "map", "Map of all cells",
        "Every point is a cell; cells with similar features lie close together. Axes have no unit, "
        "and distances between separate groups mean little. Groups that follow plates, wells or "
        "density instead of classes point to effects of the experiment.",
        lambda target: plots.umap_scatter(
            target, table[first].to_numpy(), table[second].to_numpy(), panels,
            title="Map", axis_names=(_words(first), _words(second)),
            colours={**colours, NO_CULTURE: NO_CLASS},
        ), wide=True,
    )  # fmt: skip
    return Section("map", "Map", [figure])


def _words(column: str) -> str:
    method, _, number = column.rpartition("_")
    return f"{method.upper()} {number}"


def explorer(source: Source, cells: Cells, classes: Sequence[str]) -> dict[str, Any] | None:
    """How the points of the map may be coloured; None without a map."""
    if "map_x" not in cells.table:
        return None
    colours = source.colours(classes)
    by_class = {
        "names": [*classes, "undefined"],
        "colours": [*(colours[name] for name in classes), NO_CLASS],
    }
    found = []
    if "class" in cells.table and classes:
        found.append({"title": "true class", "column": "class", **by_class})
    cultures = sorted({*cells.table["culture"].fillna(NO_CULTURE)})
    own = source.colours([name for name in cultures if name != NO_CULTURE]) | {NO_CULTURE: NO_CLASS}
    found.append({
        "title": "culture", "column": "culture", "names": cultures,
        "colours": [own[name] for name in cultures],
    })  # fmt: skip
    for method in METHODS:
        if method in cells.table and classes:
            found.append({"title": f"predicted by the {method}", "column": method, **by_class})
    return {"colourings": found, "axes": ["", ""]}
