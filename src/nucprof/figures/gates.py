"""Figures of the gate: marker intensities of all cells, with the cutoffs as lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from nucprof.core.gate import Gate
from nucprof.core.markers import UNDEFINED, markers_of
from nucprof.figures.canvas import STYLE, Target, class_colours, new_figure, save, scatter_axes
from nucprof.figures.inline import INK
from nucprof.io.files import atomic

MOST_COLUMNS = 3


def draw_gate(gate: Gate, folder: Path, colours: Mapping[str, str] | None = None) -> None:
    """Draw every pair of markers, or the one marker; the first figure is ``scatter.png``.

    Plates with their own cutoffs have their own panels.
    """
    cells, markers = gate.cells, markers_of(gate.rules)
    panels = {"True classes": np.full(len(cells), True)}
    if gate.per_plate:
        panels = {f"plate {plate}": cells.plates == plate for plate in cells.plate_names}
    cutoffs = {
        marker: {title: _line(gate, marker, chosen) for title, chosen in panels.items()}
        for marker in markers
    }
    if len(markers) == 1:
        (marker,) = markers
        with atomic(folder / "scatter.png") as path:
            gate_histogram(
                path,
                {
                    title: (_by_culture(gate, marker, chosen), cutoffs[marker][title])
                    for title, chosen in panels.items()
                },
                marker=marker,
                colours=colours,
            )
    for number, (a, b) in enumerate(combinations(markers, 2)):
        name = "scatter.png" if number == 0 else f"scatter-{a}-{b}.png"
        shown = {
            title: GatePanel(
                cells.values[a][chosen],
                cells.values[b][chosen],
                gate.called[chosen],
                (cutoffs[a][title], cutoffs[b][title]),
            )
            for title, chosen in panels.items()
        }
        with atomic(folder / name) as path:
            gate_scatter(
                path,
                shown,
                classes=[*gate.rules, UNDEFINED],
                axis_names=(a, b),
                colours=colours,
            )


def _line(gate: Gate, marker: str, chosen: np.ndarray) -> float | None:
    """The cutoff of some cells that share one, or None where they have no values."""
    cutoff = float(gate.cutoffs.of_cells(marker, gate.cells.where(chosen))[0])
    return None if math.isnan(cutoff) else cutoff


def _by_culture(gate: Gate, marker: str, chosen: np.ndarray) -> dict[str, np.ndarray]:
    values, cultures = gate.cells.values[marker][chosen], gate.cells.cultures[chosen]
    return {name or "no culture": values[cultures == name] for name in sorted(set(cultures))}


@dataclass(frozen=True, eq=False)
class GatePanel:
    """The data of one panel, usually a plate.

    Attributes
    ----------
    x, y : (n,) float
        Mean intensities of two markers.
    labels : (n,) str
        Class of each cell; classes that are not listed are not drawn.
    cutoffs : tuple
        On x and y; None draws no line.
    """

    x: np.ndarray
    y: np.ndarray
    labels: np.ndarray
    cutoffs: tuple[float | None, float | None]


def gate_scatter(
    target: Target,
    panels: Mapping[str, GatePanel],
    *,
    classes: Sequence[str],
    axis_names: tuple[str, str],
    unit: str = "grey levels",
    log: bool = True,
    colours: Mapping[str, str] | None = None,
) -> None:
    """Mean intensities of two markers, one point per cell; a panel per plate with its own cutoffs.

    Parameters
    ----------
    target
        Where to save.
    panels
        Title -> what it shows.
    classes
        The classes, "undefined" among them if it is to be seen.
    axis_names
        The markers.
    unit
        Of the intensities.
    log
        Logarithmic axes where all values are positive: intensities spread over decades.
    colours
        Of the classes; default: in their order.
    """
    with mpl.rc_context(STYLE):
        figure, grid = _grid(len(panels))
        for axes, (title, panel) in zip(grid, panels.items(), strict=True):
            drawn = scatter_axes(
                axes, panel.x, panel.y, panel.labels, classes=classes, colours=colours
            )
            if log and all(_positive(values) for values in (panel.x, panel.y)):
                axes.set(xscale="log", yscale="log")
                _number(axes.xaxis, axes.yaxis)
            lines = zip(panel.cutoffs, (axes.axvline, axes.axhline), strict=True)
            for value, line in lines:
                if value is not None:
                    line(value, color=INK, linestyle="--", linewidth=1)
            labels = [_axis(n, unit, c) for n, c in zip(axis_names, panel.cutoffs, strict=True)]
            axes.set(xlabel=labels[0], ylabel=labels[1])
            few = f" ({drawn:,} drawn)" if drawn < len(panel.x) else ""
            axes.set_title(f"{title}\nn = {len(panel.x):,} cells{few}")
        save(figure, target)


def gate_histogram(
    target: Target,
    panels: Mapping[str, tuple[Mapping[str, np.ndarray], float | None]],
    *,
    marker: str,
    unit: str = "grey levels",
    log: bool = True,
    colours: Mapping[str, str] | None = None,
) -> None:
    """Mean intensities of one marker, a line per culture; one panel per plate.

    Parameters
    ----------
    target
        Where to save.
    panels
        Title -> intensities by culture, and the cutoff (None draws no line).
    marker, unit
        Words.
    log
        A logarithmic axis where all values are positive.
    colours
        Of the cultures; default: in their order.
    """
    cultures = sorted({name for groups, _ in panels.values() for name in groups})
    colours = class_colours(cultures) | dict(colours or {})
    with mpl.rc_context(STYLE):
        figure, grid = _grid(len(panels))
        for axes, (title, (groups, cutoff)) in zip(grid, panels.items(), strict=True):
            groups = {name: values[np.isfinite(values)] for name, values in groups.items()}
            pooled = np.concatenate(list(groups.values()))
            logarithmic = log and len(pooled) > 0 and _positive(pooled)
            bins = _bins(pooled, logarithmic)
            for name, values in groups.items():
                # shares of cells: a density would shrink the high values on a log axis
                axes.hist(
                    values, bins=bins, histtype="step", color=colours[name],
                    weights=np.full(len(values), 1 / max(len(values), 1)),
                    label=f"{name} ({len(values):,})",
                )  # fmt: skip
            if logarithmic:
                axes.set_xscale("log")
                _number(axes.xaxis)
            if cutoff is not None:
                axes.axvline(cutoff, color=INK, linestyle="--", linewidth=1)
            axes.set(xlabel=_axis(marker, unit, cutoff), ylabel="share of the culture's cells")
            axes.set_title(f"{title}\nn = {len(pooled):,} cells")
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        save(figure, target)


def _grid(number: int) -> tuple[Figure, list[Axes]]:
    columns = min(number, MOST_COLUMNS)
    rows = math.ceil(number / columns)
    figure = new_figure(6.2 * columns, 4.6 * rows)
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in cells[number:]:
        axes.set_axis_off()
    return figure, list(cells[:number])


def _number(*logarithmic: Axis) -> None:
    """Ticks at 1, 2 and 5 of every decade; labels of all minor ticks would overlap."""
    for axis in logarithmic:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())


def _positive(values: np.ndarray) -> bool:
    return not bool((values <= 0).any())


def _bins(values: np.ndarray, logarithmic: bool) -> list[float]:
    if not len(values) or values.min() == values.max():
        middle = float(values[0]) if len(values) else 1.0
        return [middle * 0.9, middle * 1.1] if middle else [-0.5, 0.5]
    space = np.geomspace if logarithmic else np.linspace
    return [float(edge) for edge in space(values.min(), values.max(), 61)]


def _axis(marker: str, unit: str, cutoff: float | None) -> str:
    return f"{marker} mean intensity ({unit}{'' if cutoff is None else f'; cutoff {cutoff:.5g}'})"
