"""Figures of results, drawn with matplotlib's Agg canvas: no window, no global state.

Every function takes plain arrays and a path (or open binary file) to save a PNG to. Text says what
is on the axes, in which unit, and how many cells stand behind the picture. Colours are those of
Okabe and Ito (2008), which colour-blind readers can tell apart; beyond eight classes they repeat
with another marker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import matplotlib as mpl
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
_STYLE: dict[Any, Any] = {
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


def confusion(
    target: Target, matrix: Sequence[Sequence[int]], classes: Sequence[str], *, title: str
) -> None:
    """Confusion matrix, rows true: share of the row as colour and number, cells below it."""
    counts = np.asarray(matrix)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 2.6 + 0.7 * len(classes)
    with mpl.rc_context(_STYLE):
        figure = new_figure(size + 0.8, size)
        axes = figure.subplots()
        image = axes.imshow(share, vmin=0, vmax=1, cmap="Blues")
        for (row, column), value in np.ndenumerate(share):
            axes.text(
                column,
                row,
                f"{value:.1%}\n({counts[row, column]:,})",
                ha="center",
                va="center",
                color="white" if value > 0.55 else "black",
            )
        axes.set_xticks(range(len(classes)), classes, rotation=30, ha="right")
        axes.set_yticks(range(len(classes)), classes)
        axes.set(xlabel="predicted class", ylabel="true class")
        axes.set_title(f"{title}\nn = {counts.sum():,} cells")
        axes.spines[:].set_visible(False)
        figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
        save(figure, target)


def roc(target: Target, curves: Mapping[str, Mapping[str, Any]], *, title: str) -> None:
    """ROC curves, one class against the rest; `curves` as from `learn.evaluate.roc_curves`."""
    with mpl.rc_context(_STYLE):
        figure, axes = _curve_axes(curves, "AUC")
        axes.plot([0, 1], [0, 1], color=NO_CLASS, linestyle=":", label="guessing")
        axes.set(
            xlabel="false positive rate (1 - specificity)", ylabel="true positive rate", title=title
        )
        axes.legend(loc="lower right")
        save(figure, target)


def precision_recall(
    target: Target, curves: Mapping[str, Mapping[str, Any]], *, title: str
) -> None:
    """Precision-recall curves; the dotted line of each class is its share, what guessing gives."""
    with mpl.rc_context(_STYLE):
        figure, axes = _curve_axes(curves, "average precision")
        for name, colour in class_colours(list(curves)).items():
            axes.axhline(curves[name]["base"], color=colour, linestyle=":", linewidth=1)
        axes.set(xlabel="recall", ylabel="precision", title=title)
        axes.legend(loc="lower left")
        save(figure, target)


def _curve_axes(curves: Mapping[str, Mapping[str, Any]], area: str) -> tuple[Figure, Axes]:
    figure = new_figure()
    axes = figure.subplots()
    for name, colour in class_colours(list(curves)).items():
        curve = curves[name]
        label = f"{name} ({area} {curve['area']:.3f})"
        axes.plot(curve["x"], curve["y"], color=colour, label=label)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    return figure, axes


def importance(
    target: Target,
    features: Sequence[str],
    impurity: Sequence[float],
    permutation: Sequence[float],
    *,
    title: str,
    most: int = 20,
) -> None:
    """The most important features: impurity decrease, and macro-F1 lost when shuffled."""
    shown = np.arange(min(most, len(features)))[::-1]
    names = [features[i] for i in shown]
    with mpl.rc_context(_STYLE):
        figure = new_figure(8, 1.4 + 0.2 * len(shown))
        left, right = figure.subplots(1, 2, sharey=True)
        left.barh(names, np.asarray(impurity)[shown], color=COLOURS[0])
        right.barh(names, np.asarray(permutation)[shown], color=COLOURS[1])
        left.set_xlabel("impurity decrease (share)")
        right.set_xlabel("macro-F1 lost when shuffled\n(unseen wells)")
        figure.suptitle(f"{title} ({len(shown)} of {len(features)} features)", fontsize=10)
        save(figure, target)


def training_history(target: Target, history: Mapping[str, Sequence[float]], *, title: str) -> None:
    """Losses and macro-F1 by epoch, one line per run; the kept epoch of each has a ring.

    `history` holds the columns of `history.csv`: `number`, `train_loss`, `validation_loss`,
    `validation_f1`, `seed`, `repeat`.
    """
    columns = {name: np.asarray(values) for name, values in history.items()}
    runs = np.unique(np.column_stack([columns["seed"], columns["repeat"]]), axis=0)
    with mpl.rc_context(_STYLE):
        figure = new_figure(8.4, 3.6)
        left, right = figure.subplots(1, 2)
        for number, (seed, repeat) in enumerate(runs):
            own = (columns["seed"] == seed) & (columns["repeat"] == repeat)
            epoch = columns["number"][own] + 1
            loss, f1 = columns["validation_loss"][own], columns["validation_f1"][own]
            best = int(np.argmin(loss))
            named = number == 0
            left.plot(epoch, columns["train_loss"][own], color=COLOURS[0], label="training" * named)
            left.plot(epoch, loss, color=COLOURS[1], label="validation" * named)
            right.plot(epoch, f1, color=COLOURS[1])
            ring = {"marker": "o", "markersize": 9, "fillstyle": "none", "color": "black"}
            left.plot(epoch[best], loss[best], **ring, label="kept" * named, linestyle="none")
            right.plot(epoch[best], f1[best], **ring)
        left.set(xlabel="epoch", ylabel="cross-entropy (class-weighted)", yscale="log")
        right.set(xlabel="epoch", ylabel="macro-F1 on validation wells", ylim=(0, 1.02))
        left.legend()
        figure.suptitle(f"{title}, {len(runs)} run(s)", fontsize=10)
        save(figure, target)


def learning_curve(target: Target, table: Mapping[str, Sequence[Any]]) -> None:
    """Macro-F1 on unseen wells against the number of training cells; points are runs."""
    n, f1 = np.asarray(table["n_train"], dtype=float), np.asarray(table["f1_macro"])
    sizes = np.unique(n)
    with mpl.rc_context(_STYLE):
        figure = new_figure()
        axes = figure.subplots()
        axes.plot(sizes, [f1[n == size].mean() for size in sizes], color=COLOURS[0], label="mean")
        axes.plot(n, f1, "o", color=COLOURS[0], alpha=0.5, label="one run")
        axes.set(xscale="log", xlabel="training cells (all classes)", ylim=(min(f1.min(), 0.5), 1))
        axes.set_ylabel("macro-F1 on unseen wells")
        axes.set_title(f"Learning curve, {len(f1)} runs")
        axes.set_xticks(sizes, [f"{size:.0f}" for size in sizes], minor=False)
        axes.minorticks_off()
        axes.legend(loc="lower right")
        save(figure, target)


def ablation(target: Target, table: Mapping[str, Sequence[Any]]) -> None:
    """Macro-F1 on unseen wells with all channels and without each; points are runs."""
    without, f1 = np.asarray(table["without"], dtype=object), np.asarray(table["f1_macro"])
    names = list(dict.fromkeys(without))
    with mpl.rc_context(_STYLE):
        figure = new_figure(5.4, 1.6 + 0.4 * len(names))
        axes = figure.subplots()
        labels = ["all channels" if name == "" else f"without {name}" for name in names]
        means = [f1[without == name].mean() for name in names]
        axes.barh(labels, means, color=[COLOURS[0]] + [COLOURS[5]] * (len(names) - 1))
        axes.plot(f1, [names.index(name) for name in without], "o", color="black", markersize=4)
        axes.axvline(means[0], color=NO_CLASS, linestyle=":", linewidth=1)
        axes.invert_yaxis()
        axes.set(xlabel="macro-F1 on unseen wells", xlim=(0, 1))
        axes.set_title(f"What each channel is worth, {len(f1)} runs")
        save(figure, target)


def scatter_axes(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    labels: np.ndarray,
    *,
    classes: Sequence[str],
) -> int:
    """Points coloured by class, with a legend that counts them; returns the number drawn.

    Beyond 20,000 points an even, fixed subset is drawn, in a fixed mixed order so that no class
    hides another; the legend counts all.
    """
    finite = np.isfinite(x) & np.isfinite(y)
    rows = np.random.default_rng(0).permutation(np.flatnonzero(finite))[:MOST_POINTS]
    colours = class_colours(classes)
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


def gate_scatter(
    target: Target,
    x: np.ndarray,
    y: np.ndarray,
    labels: np.ndarray,
    *,
    classes: Sequence[str],
    cutoffs: tuple[float | None, float | None],
    axis_names: tuple[str, str],
    title: str,
    unit: str = "grey levels",
    log: bool = True,
) -> None:
    """Mean intensities of two markers, one point a cell, with the cutoffs as lines.

    Parameters
    ----------
    target
        Where to save.
    x, y
        `(n,)` mean intensities.
    labels
        `(n,)` class of each cell; classes not in `classes` are not drawn.
    classes
        The classes, "undefined" among them if it is to be seen.
    cutoffs
        On x and y; None draws no line.
    axis_names
        The markers.
    title, unit
        Words.
    log
        Logarithmic axes where all values are positive: intensities spread over decades.
    """
    with mpl.rc_context(_STYLE):
        figure = new_figure(6.2, 4.6)
        axes = figure.subplots()
        drawn = scatter_axes(axes, x, y, labels, classes=classes)
        if log and min(np.nanmin(x, initial=np.inf), np.nanmin(y, initial=np.inf)) > 0:
            axes.set(xscale="log", yscale="log")
        for value, line in zip(cutoffs, (axes.axvline, axes.axhline), strict=True):
            if value is not None:
                line(value, color="black", linestyle="--", linewidth=1)
        for value, name, axis in zip(cutoffs, axis_names, (axes.xaxis, axes.yaxis), strict=True):
            cut = "" if value is None else f"; cutoff {value:g}"
            axis.set_label_text(f"{name} mean intensity ({unit}{cut})")
        axes.set_title(_with_count(title, len(x), drawn))
        save(figure, target)


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
) -> None:
    """One map, a panel per colouring: strings are classes, numbers a colour scale.

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
    """
    with mpl.rc_context(_STYLE):
        figure = new_figure(5.8 * len(panels), 4.4)
        drawn = len(x)
        for axes, (name, values) in zip(
            np.atleast_1d(figure.subplots(1, len(panels))), panels.items(), strict=True
        ):
            if np.issubdtype(values.dtype, np.number):
                order = np.random.default_rng(0).permutation(len(x))[:MOST_POINTS]
                points = axes.scatter(
                    x[order], y[order], c=values[order], s=4, cmap="viridis", linewidths=0
                )
                figure.colorbar(points, ax=axes, label=name)
            else:
                drawn = scatter_axes(axes, x, y, values, classes=sorted(set(values)))
            axes.set(xlabel=axis_names[0], ylabel=axis_names[1], xticks=[], yticks=[], title=name)
        figure.suptitle(_with_count(title, len(x), drawn), fontsize=10)
        save(figure, target)


def plate_heatmap(
    target: Target,
    values: Mapping[tuple[str, int], float],
    *,
    label: str,
    title: str,
    limits: tuple[float, float] | None = None,
) -> None:
    """A plate seen from above: `values` maps (row letters, column number) to a number.

    Wells without a value stay white with a cross, so that "none" is not read as "low".
    """
    rows = sorted({row for row, _ in values}, key=lambda row: (len(row), row))
    columns = sorted({column for _, column in values})
    grid = np.full((len(rows), len(columns)), np.nan)
    for (row, column), value in values.items():
        grid[rows.index(row), columns.index(column)] = value
    low, high = limits or (float(np.nanmin(grid)), float(np.nanmax(grid)))
    with mpl.rc_context(_STYLE):
        figure = new_figure(2.2 + 0.45 * len(columns), 1.8 + 0.4 * len(rows))
        axes = figure.subplots()
        image = axes.imshow(grid, vmin=low, vmax=high, cmap="viridis")
        middle = (low + high) / 2
        for (row, column), value in np.ndenumerate(grid):
            text = "×" if np.isnan(value) else f"{value:.2g}"
            dark = np.isnan(value) or value > middle
            axes.text(
                column, row, text, ha="center", va="center", fontsize=6,
                color="black" if dark else "white",
            )  # fmt: skip
        axes.set_xticks(range(len(columns)), [str(column) for column in columns])
        axes.set_yticks(range(len(rows)), rows)
        axes.set(xlabel="column", ylabel="row", title=title)
        axes.spines[:].set_visible(False)
        figure.colorbar(image, ax=axes, label=label)
        save(figure, target)


def registration(
    target: Target,
    shift_y: np.ndarray,
    shift_x: np.ndarray,
    status: np.ndarray,
    *,
    title: str,
) -> None:
    """Shift of every field of a round; fields that follow the plate lie together.

    Parameters
    ----------
    target
        Where to save.
    shift_y, shift_x
        `(n_fields,)` in pixels.
    status
        `(n_fields,)`: ok, outlier, failed. Failed fields have no shift and are counted only.
    title
        Words.
    """
    looks = {"ok": (COLOURS[0], "o"), "outlier": (COLOURS[1], "^")}
    with mpl.rc_context(_STYLE):
        figure = new_figure(5.2, 4.2)
        axes = figure.subplots()
        for name, (colour, marker) in looks.items():
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
