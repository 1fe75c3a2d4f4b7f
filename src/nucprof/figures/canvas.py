"""The canvas that all figures share: matplotlib's Agg, no window, no global state.

Colours are those of Okabe and Ito (2008), which colour-blind readers can distinguish; beyond
eight classes they repeat with another marker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Target = str | Path | IO[bytes]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
NO_CLASS = "#9A9A9A"
MARKERS = ("o", "^", "s", "D")
DPI = 150
# Any: matplotlib types its parameters by the full list of their names.
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "legend.frameon": False,
}
MOST_POINTS = 20_000


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """A colour for each class, the same in every figure that lists the same classes."""
    return {
        name: NO_CLASS if name in ("undefined", "uncertain") else COLOURS[i % len(COLOURS)]
        for i, name in enumerate(classes)
    }


def new_figure(width: float = 5.0, height: float = 4.2) -> Figure:
    """An empty figure of `width` x `height` inches on an Agg canvas."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, target: Target) -> None:
    """Write the figure as PNG."""
    figure.savefig(target, dpi=DPI, format="png")


def scatter_axes(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    labels: np.ndarray,
    *,
    classes: Sequence[str],
    colours: Mapping[str, str] | None = None,
) -> int:
    """Points coloured by class, with a legend that counts them; returns the number drawn.

    Beyond 20,000 points an even, fixed subset is drawn, in a fixed mixed order so that no class
    hides another; the legend counts all.
    """
    finite = np.isfinite(x) & np.isfinite(y)
    rows = np.random.default_rng(0).permutation(np.flatnonzero(finite))[:MOST_POINTS]
    colours = colours or class_colours(classes)
    size = float(np.clip(3000 / max(len(rows), 1), 2, 12))
    for start in range(0, len(rows), max(1, len(rows) // 20)):
        part = rows[start : start + max(1, len(rows) // 20)]
        for number, name in enumerate(classes):
            own = part[labels[part] == name]
            marker = MARKERS[number // len(COLOURS) % len(MARKERS)]
            axes.scatter(
                x[own], y[own], s=size, c=colours[name], marker=marker, alpha=0.6, linewidths=0
            )
    for number, name in enumerate(classes):
        count = int((labels == name).sum())
        marker = MARKERS[number // len(COLOURS) % len(MARKERS)]
        axes.scatter(
            [], [], s=25, c=colours[name], marker=marker, linewidths=0, label=f"{name} ({count:,})"
        )
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return len(rows)
