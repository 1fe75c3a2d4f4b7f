"""Figures of plates and maps. Plain arrays in, a PNG out.

Labels name the axes with their units, and the number of cells.
"""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np

from nucprof.figures.canvas import (
    MARKERS,
    MOST_POINTS,
    NO_CLASS,
    STATUS_COLOURS,
    STYLE,
    Target,
    class_colours,
    new_figure,
    save,
    scatter_axes,
)


def _with_count(title: str, n: int, drawn: int) -> str:
    return f"{title}\nn = {n:,} cells" + (f" ({drawn:,} drawn)" if drawn < n else "")


def umap_scatter(
    target: Target,
    x: np.ndarray,
    y: np.ndarray,
    panels: Mapping[str, np.ndarray],
    *,
    title: str,
    axis_names: tuple[str, str] = ("UMAP 1", "UMAP 2"),
    colours: Mapping[str, str] | None = None,
) -> None:
    """One map, a panel per colouring: names have a legend, numbers a colour scale.

    Parameters
    ----------
    target
        Where to save.
    x, y
        `(n,)` coordinates, without a unit.
    panels
        What a panel shows -> `(n,)` class names or numbers.
    title
        Words.
    axis_names
        "UMAP" or "PCA" and its share of the variance.
    colours
        Of names; default: in their order.
    """
    with mpl.rc_context(STYLE):
        figure = new_figure(min(4.6 * len(panels), 15), 3.4)
        drawn = len(x)
        # A name has the same colour in all panels.
        named = [set(v) for v in panels.values() if not np.issubdtype(v.dtype, np.number)]
        colours = class_colours(sorted(set().union(*named))) | dict(colours or {})
        for axes, (name, values) in zip(
            np.atleast_1d(figure.subplots(1, len(panels))), panels.items(), strict=True
        ):
            if np.issubdtype(values.dtype, np.number):
                order = np.random.default_rng(0).permutation(len(x))[:MOST_POINTS]
                points = axes.scatter(
                    x[order], y[order], c=values[order], s=4, cmap="viridis", linewidths=0,
                    rasterized=True,
                )  # fmt: skip
                figure.colorbar(points, ax=axes, label=name)
            else:
                drawn = scatter_axes(
                    axes, x, y, values, classes=sorted(set(values)), colours=colours
                )
            axes.set(xlabel=axis_names[0], ylabel=axis_names[1], xticks=[], yticks=[], title=name)
        figure.suptitle(_with_count(title, len(x), drawn), fontsize=10)
        save(figure, target)


def registration(
    target: Target,
    shift_y: np.ndarray,
    shift_x: np.ndarray,
    status: np.ndarray,
    *,
    title: str,
) -> None:
    """Shift of every field of a round; fields with the shift of the plate form a cluster.

    Parameters
    ----------
    target
        Where to save.
    shift_y, shift_x
        `(n_fields,)` in pixels.
    status
        `(n_fields,)`: ok, outlier, unsure, failed. Failed fields have no shift and are counted
        only.
    title
        Words.
    """
    with mpl.rc_context(STYLE):
        figure = new_figure(5.2, 4.2)
        axes = figure.subplots()
        for (name, colour), marker in zip(STATUS_COLOURS.items(), MARKERS, strict=False):
            own = status == name
            label = f"{name} ({own.sum()})"
            axes.scatter(shift_x[own], shift_y[own], c=colour, marker=marker, s=22, label=label)
        failed = int((status == "failed").sum())
        axes.plot([], [], linestyle="none", label=f"failed ({failed}, not drawn)")
        axes.axhline(0, color=NO_CLASS, linewidth=0.7, zorder=0)
        axes.axvline(0, color=NO_CLASS, linewidth=0.7, zorder=0)
        axes.invert_yaxis()
        axes.set(xlabel="shift in x (px)", ylabel="shift in y (px, down)")
        axes.set_title(f"{title}\nn = {len(status)} fields")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        save(figure, target)
