"""The canvas that all figures share: matplotlib's Agg, no window, no global state.

The palette has 12 colours that readers with any colour vision can tell apart, on white and on a
dark page (a test simulates them); beyond 12 classes they repeat with another marker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nucprof.figures.inline import INK, LINE, Inline, as_svg

Target = str | Path | IO[bytes] | Inline

PALETTE = (
    "#0072B2", "#E69F00", "#0C9653", "#AE217F", "#88BFF3", "#DA4C02", "#816064", "#C6D899",
    "#7D87FF", "#30EAD9", "#8E1C2E", "#FFAFC6",
)  # fmt: skip
NO_CLASS = "#9A9A9A"
#: Curves, bars and fields, which are no class: pale blues that no class has.
NEUTRAL = ("#5B7695", "#AAB9CC")
MARKERS = ("o", "^", "s", "D")
#: Of a field by how it was registered; others are failures.
STATUS_COLOURS = {"ok": NEUTRAL[0], "outlier": NEUTRAL[1], "unsure": PALETTE[5]}
DPI = 150
# Any: matplotlib types its parameters by the full list of their names.
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "legend.frameon": False,
    # names come from users: a dollar in one is no formula
    "text.parse_math": False,
    "grid.color": LINE,
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK
    ),
}
MOST_POINTS = 20_000


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """A colour for each class, the same in every figure that lists the same classes."""
    return {
        name: NO_CLASS if name in ("undefined", "uncertain") else PALETTE[i % len(PALETTE)]
        for i, name in enumerate(classes)
    }


def new_figure(width: float = 5.0, height: float = 4.2) -> Figure:
    """An empty figure of `width` x `height` inches on an Agg canvas."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, target: Target) -> None:
    """Write the figure as PNG; an :class:`Inline` target also gets it as SVG."""
    if isinstance(target, Inline):
        target.svg = as_svg(figure, target.name)
        if target.path is None:
            return
        target = target.path
    figure.savefig(target, dpi=DPI, format="png", facecolor="white")


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
            marker = MARKERS[number // len(PALETTE) % len(MARKERS)]
            axes.scatter(
                x[own], y[own], s=size, c=colours[name], marker=marker, alpha=0.6, linewidths=0,
                rasterized=True,
            )  # fmt: skip
    for number, name in enumerate(classes):
        count = int((labels == name).sum())
        marker = MARKERS[number // len(PALETTE) % len(MARKERS)]
        axes.scatter(
            [], [], s=25, c=colours[name], marker=marker, linewidths=0, label=f"{name} ({count:,})"
        )
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return len(rows)
