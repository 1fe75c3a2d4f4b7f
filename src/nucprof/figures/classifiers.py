"""Figures of classifiers: metrics, features, compositions. Plain arrays in, a PNG out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nucprof.figures.canvas import (
    NEUTRAL,
    NO_CLASS,
    STYLE,
    Target,
    class_colours,
    new_figure,
    save,
)
from nucprof.figures.inline import INK


def confusion(
    target: Target, matrix: Sequence[Sequence[int]], classes: Sequence[str], *, title: str
) -> None:
    """Confusion matrix, rows true: share of the row as colour and number, cells below it."""
    counts = np.asarray(matrix)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 1.6 + 0.65 * len(classes)
    with mpl.rc_context(STYLE):
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


def roc(
    target: Target,
    curves: Mapping[str, Mapping[str, Any]],
    *,
    title: str,
    colours: Mapping[str, str] | None = None,
) -> None:
    """ROC curves, one class against the rest; `curves` as from `learn.evaluate.roc_curves`."""
    with mpl.rc_context(STYLE):
        figure, axes = _curve_axes(curves, "AUC", colours)
        axes.plot([0, 1], [0, 1], color=NO_CLASS, linestyle=":", label="guessing")
        axes.set(
            xlabel="false positive rate (1 - specificity)", ylabel="true positive rate", title=title
        )
        axes.legend(loc="lower right")
        save(figure, target)


def precision_recall(
    target: Target,
    curves: Mapping[str, Mapping[str, Any]],
    *,
    title: str,
    colours: Mapping[str, str] | None = None,
) -> None:
    """Precision-recall curves; the dotted line of each class is its share (guessing)."""
    with mpl.rc_context(STYLE):
        figure, axes = _curve_axes(curves, "average precision", colours)
        for name, colour in (colours or class_colours(list(curves))).items():
            axes.axhline(curves[name]["base"], color=colour, linestyle=":", linewidth=1)
        axes.set(xlabel="recall", ylabel="precision", title=title)
        axes.legend(loc="lower left")
        save(figure, target)


def _curve_axes(
    curves: Mapping[str, Mapping[str, Any]], area: str, colours: Mapping[str, str] | None
) -> tuple[Figure, Axes]:
    figure = new_figure()
    axes = figure.subplots()
    for name, colour in (colours or class_colours(list(curves))).items():
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
    with mpl.rc_context(STYLE):
        figure = new_figure(8, 1.4 + 0.2 * len(shown))
        left, right = figure.subplots(1, 2, sharey=True)
        left.barh(names, np.asarray(impurity)[shown], color=NEUTRAL[0])
        right.barh(names, np.asarray(permutation)[shown], color=NEUTRAL[1])
        left.set_xlabel("impurity decrease (share)")
        right.set_xlabel("macro-F1 lost when shuffled\n(unseen wells)")
        figure.suptitle(f"{title} ({len(shown)} of {len(features)} features)", fontsize=10)
        save(figure, target)


def training_history(target: Target, history: Mapping[str, Sequence[float]], *, title: str) -> None:
    """Losses and macro-F1 by epoch, one line per run; the kept epoch of each has a ring.

    `history` holds the columns of `history.csv`: `epoch`, `train_loss`, `validation_loss`,
    `validation_f1`, `seed`, `repeat`.
    """
    columns = {name: np.asarray(values) for name, values in history.items()}
    runs = np.unique(np.column_stack([columns["seed"], columns["repeat"]]), axis=0)
    with mpl.rc_context(STYLE):
        figure = new_figure(8.4, 3.6)
        left, right = figure.subplots(1, 2)
        for number, (seed, repeat) in enumerate(runs):
            own = (columns["seed"] == seed) & (columns["repeat"] == repeat)
            epoch = columns["epoch"][own] + 1
            loss, f1 = columns["validation_loss"][own], columns["validation_f1"][own]
            best = int(np.argmin(loss))
            named = number == 0
            train = columns["train_loss"][own]
            left.plot(epoch, train, ".-", color=NEUTRAL[0], label="training" * named)
            left.plot(epoch, loss, ".-", color=NEUTRAL[1], label="validation" * named)
            right.plot(epoch, f1, ".-", color=NEUTRAL[1])
            ring = {"marker": "o", "markersize": 9, "fillstyle": "none", "color": INK}
            left.plot(epoch[best], loss[best], **ring, label="kept" * named, linestyle="none")
            right.plot(epoch[best], f1[best], **ring)
        left.set(xlabel="epoch", ylabel="cross-entropy (class-weighted)", ylim=(0, None))
        right.set(xlabel="epoch", ylabel="macro-F1 on validation wells", ylim=(0, 1.02))
        for axes in (left, right):
            axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(8, integer=True, min_n_ticks=1))
            axes.set_xlim(0.5, columns["epoch"].max() + 1.5)
        figure.legend(*left.get_legend_handles_labels(), loc="outside right upper")
        several = "" if len(runs) == 1 else f", {len(runs)} runs"
        figure.suptitle(title + several, fontsize=10)
        save(figure, target)


def density_strata(
    target: Target,
    strata: Sequence[Mapping[str, Any]],
    classes: Sequence[str],
    *,
    title: str,
    colours: Mapping[str, str] | None = None,
) -> None:
    """Recall of every class by density, a point per stratum, with the number of cells above it.

    `strata` as from `learn.evaluate.density_strata`; a class that a stratum lacks has no point.
    """
    with mpl.rc_context(STYLE):
        figure = new_figure(2.4 + 1.1 * len(strata), 4)
        axes = figure.subplots()
        for number, (name, colour) in enumerate((colours or class_colours(classes)).items()):
            place = 0.15 * (number - (len(classes) - 1) / 2)
            held = [x for x, own in enumerate(strata) if name in own["recall_per_class"]]
            recall = [strata[x]["recall_per_class"][name] for x in held]
            axes.plot(np.array(held) + place, recall, "o-", color=colour, label=name)
            for x, value in zip(held, recall, strict=True):
                n = strata[x]["cells_per_class"][name]
                axes.annotate(
                    f"{n:,}", (x + place, value), (0, 5), textcoords="offset points", ha="center",
                    fontsize=7, color=colour,
                )  # fmt: skip
        limits = [f"{own['low']:g} to {own['high']:g}" for own in strata]
        axes.set_xticks(range(len(strata)), limits)
        axes.set(ylim=(-0.03, 1.1), xlabel="cells in the field", ylabel="recall (unseen wells)")
        axes.set_title(f"{title}\nnumbers of cells at the points")
        axes.legend(loc="lower left")
        save(figure, target)


def learning_curve(target: Target, table: Mapping[str, Sequence[Any]]) -> None:
    """Macro-F1 on unseen wells against training cells: runs, their mean and standard deviation."""
    n, f1 = np.asarray(table["n_train"], dtype=float), np.asarray(table["f1_macro"])
    sizes = np.unique(n)
    mean = np.array([f1[n == size].mean() for size in sizes])
    spread = np.array([f1[n == size].std(ddof=int((n == size).sum() > 1)) for size in sizes])
    with mpl.rc_context(STYLE):
        figure = new_figure()
        axes = figure.subplots()
        axes.errorbar(sizes, mean, spread, color=NEUTRAL[0], capsize=4, label="mean ± SD of runs")
        axes.plot(n, f1, "o", color=NEUTRAL[0], alpha=0.5, label="one run")
        axes.set(xscale="log", xlabel="training cells (all classes)", ylim=(min(f1.min(), 0.5), 1))
        axes.set_ylabel("macro-F1 on unseen wells")
        axes.set_title(f"Learning curve at equal numbers of steps, {len(f1)} runs")
        axes.set_xticks(sizes, [f"{size:.0f}" for size in sizes], minor=False)
        axes.minorticks_off()
        axes.legend(loc="lower right")
        save(figure, target)


def ablation(target: Target, table: Mapping[str, Sequence[Any]]) -> None:
    """Macro-F1 on unseen wells with all channels and without each; points are runs."""
    without, f1 = np.asarray(table["without"], dtype=object), np.asarray(table["f1_macro"])
    names = list(dict.fromkeys(without))
    with mpl.rc_context(STYLE):
        figure = new_figure(5.4, 1.6 + 0.4 * len(names))
        axes = figure.subplots()
        labels = ["all channels" if name == "" else f"without {name}" for name in names]
        means = [f1[without == name].mean() for name in names]
        axes.barh(labels, means, color=[NEUTRAL[0]] + [NEUTRAL[1]] * (len(names) - 1))
        axes.plot(f1, [names.index(name) for name in without], "o", color=INK, markersize=4)
        axes.axvline(means[0], color=NO_CLASS, linestyle=":", linewidth=1)
        axes.invert_yaxis()
        axes.set(xlabel="macro-F1 on unseen wells", xlim=(0, 1))
        axes.set_title(f"What each channel is worth, {len(f1)} runs")
        save(figure, target)


def composition(
    target: Target,
    table: Mapping[str, Sequence[Any]],
    classes: Sequence[str],
    *,
    colours: Mapping[str, str] | None = None,
) -> None:
    """Composition of every well with its 95% interval, a panel per plate, colours by class.

    `table` holds the columns of `composition.csv`. Of two classes only the second is drawn.
    """
    columns = {name: np.asarray(values, dtype=object) for name, values in table.items()}
    plates = list(dict.fromkeys(columns["plate"]))
    shown = list(classes[-1:]) if len(classes) == 2 else list(classes)
    colours = colours or class_colours(classes)
    wells = {p: list(dict.fromkeys(columns["well"][columns["plate"] == p])) for p in plates}
    width = 2.5 + 0.16 * max(len(names) for names in wells.values())
    with mpl.rc_context(STYLE):
        figure = new_figure(max(width, 5), 0.8 + 2.6 * len(plates))
        panels = figure.subplots(len(plates), 1, squeeze=False)[:, 0]
        for axes, plate in zip(panels, plates, strict=True):
            for number, name in enumerate(shown):
                own = (columns["plate"] == plate) & (columns["class"] == name)
                share, low, high = (columns[k][own].astype(float) for k in ("share", "low", "high"))
                x = np.arange(own.sum()) + 0.2 * (number - (len(shown) - 1) / 2)
                axes.errorbar(
                    x, share, yerr=[share - low, high - share], fmt="o", markersize=4,
                    color=colours[name], linewidth=1, label=name,
                )  # fmt: skip
            axes.set_xticks(range(len(wells[plate])), wells[plate], rotation=90, fontsize=7)
            axes.set(ylim=(-0.03, 1.03), ylabel="share of the cells")
            cells = columns["n_cells"][columns["class"] == shown[0]]
            n = int(cells[columns["plate"][columns["class"] == shown[0]] == plate].sum())
            axes.set_title(f"{plate}: {len(wells[plate])} wells, n = {n:,} cells, 95% intervals")
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        panels[-1].set_xlabel("well")
        save(figure, target)
