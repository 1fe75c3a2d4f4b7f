"""Figures of the report about a whole plate. Plain values in, a figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nucprof.figures.canvas import (
    NEUTRAL,
    NO_CLASS,
    PALETTE,
    STATUS_COLOURS,
    STYLE,
    Target,
    new_figure,
    save,
)
from nucprof.figures.inline import INK, LINE, SOFT

Well = tuple[str, int]
"""Row letters and column number."""

_WIDEST = 10.0
_MOST_WRITTEN = 96


def waterfall(target: Target, steps: Sequence[tuple[str, str, int]]) -> None:
    """Cells from segmentation to the last stage: what every stage dropped, and what is kept.

    `steps` as from ``run.ledger.waterfall``: (stage, reason, cells), the dropped ones negative.
    """
    with mpl.rc_context(STYLE):
        figure = new_figure(7.6, 0.9 + 0.3 * len(steps))
        axes = figure.subplots()
        left, total = 0, steps[0][2]
        for row, (stage, _, cells) in enumerate(steps):
            kept = stage == "" or row == 0
            if kept:
                axes.barh(row, cells, color=NEUTRAL[0] if stage == "" else NEUTRAL[1], height=0.62)
                left = cells
            else:
                axes.barh(row, -cells, left=left + cells, color=PALETTE[5], height=0.62)
                left += cells
            share = f"{abs(cells):,} ({abs(cells) / max(total, 1):.1%})"
            right = left if kept else left - cells
            axes.text(right + 0.012 * total, row, share, va="center")
        names = [
            reason if row == 0 or stage == "" else f"{stage}: {reason.replace('_', ' ')}"
            for row, (stage, reason, _) in enumerate(steps)
        ]
        axes.set_yticks(range(len(steps)), names)
        axes.invert_yaxis()
        axes.set(xlabel="cells", xlim=(0, 1.25 * max(total, 1)))
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5, integer=True))
        save(figure, target)


@dataclass(frozen=True)
class PlateGrid:
    """The wells of a plate that are drawn: rows and columns without gaps."""

    rows: list[str]
    columns: list[int]

    @classmethod
    def of(cls, wells: Sequence[Well]) -> PlateGrid:
        """The smallest block of rows and columns that holds all wells."""
        rows = sorted({row for row, _ in wells}, key=lambda row: (len(row), row))
        columns = [column for _, column in wells]
        return cls(rows, list(range(min(columns), max(columns) + 1)))

    def place(self, well: Well) -> tuple[int, int]:
        """Position of a well, x and y."""
        return self.columns.index(well[1]), self.rows.index(well[0])


def _panels(plates: Mapping[str, Sequence[Well]]) -> tuple[Figure, list[tuple[Axes, PlateGrid]]]:
    """A panel per plate with its frame of wells; small plates beside each other."""
    grids = {name: PlateGrid.of(wells) for name, wells in plates.items()}
    widest = max(len(grid.columns) for grid in grids.values())
    step = min(0.42, _WIDEST / (widest + 2))
    across = max(1, min(len(grids), int(_WIDEST / (step * widest + 0.9))))
    down = -(-len(grids) // across)
    tallest = max(len(grid.rows) for grid in grids.values())
    figure = new_figure(
        max(3.0, across * (step * widest + 0.7)), down * (step * tallest + 0.75) + 0.2
    )
    cells = figure.subplots(down, across, squeeze=False).ravel()
    found = []
    for axes, (name, grid) in zip(cells, grids.items(), strict=False):
        axes.set(
            xlim=(-0.6, len(grid.columns) - 0.4), ylim=(len(grid.rows) - 0.4, -0.6), aspect="equal"
        )
        every = -(-len(grid.columns) // 12)
        axes.set_xticks(range(0, len(grid.columns), every), grid.columns[::every])
        every = -(-len(grid.rows) // 16)
        axes.set_yticks(range(0, len(grid.rows), every), grid.rows[::every])
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(name, loc="left")
        for x in range(len(grid.columns)):
            for y in range(len(grid.rows)):
                axes.add_patch(_square(x, y, 0.92, edgecolor=LINE, facecolor="none"))
        found.append((axes, grid))
    for axes in cells[len(grids) :]:
        axes.set_axis_off()
    return figure, found


def _square(x: float, y: float, side: float, **look: object) -> Rectangle:
    return Rectangle((x - side / 2, y - side / 2), side, side, linewidth=0.7, **look)  # type: ignore[arg-type]


def layout_map(
    target: Target, plates: Mapping[str, Mapping[Well, str]], colours: Mapping[str, str]
) -> None:
    """Which culture grows in which well; a well without a culture is empty."""
    with mpl.rc_context(STYLE):
        figure, panels = _panels({name: list(wells) for name, wells in plates.items()})
        for (axes, grid), wells in zip(panels, plates.values(), strict=True):
            for well, culture in wells.items():
                if culture:
                    place = grid.place(well)
                    axes.add_patch(_square(*place, 0.8, color=colours[culture]))
        names = dict.fromkeys(c for wells in plates.values() for c in wells.values() if c)
        _legend(figure, {name: colours[name] for name in names})
        save(figure, target)


def _legend(figure: Figure, colours: Mapping[str, str]) -> None:
    marks = [Rectangle((0, 0), 1, 1, color=colour) for colour in colours.values()]
    figure.legend(
        marks, list(colours), loc="outside lower left", ncols=min(len(colours), 4) or 1,
        handlelength=1, handleheight=1,
    )  # fmt: skip


def number_map(
    target: Target,
    plates: Mapping[str, Mapping[Well, float]],
    *,
    label: str,
    limits: tuple[float, float] | None = None,
    form: str = "{:.2g}",
) -> None:
    """A number per well as colour, and written where the plate has room."""
    known = [v for wells in plates.values() for v in wells.values() if np.isfinite(v)]
    low, high = limits or (min(known, default=0.0), max(known, default=1.0))
    high = high if high > low else low + 1
    scale, colours = mpl.colors.Normalize(low, high), mpl.colormaps["viridis"]
    with mpl.rc_context(STYLE):
        figure, panels = _panels({name: list(wells) for name, wells in plates.items()})
        for (axes, grid), wells in zip(panels, plates.values(), strict=True):
            for well, value in wells.items():
                x, y = grid.place(well)
                if not np.isfinite(value):
                    axes.text(x, y, "×", ha="center", va="center", color=SOFT)
                    continue
                axes.add_patch(_square(x, y, 0.92, color=colours(scale(value))))
                if len(grid.rows) * len(grid.columns) <= _MOST_WRITTEN:
                    ink = "white" if scale(value) < 0.6 else "black"
                    text = form.format(value)
                    size = 7 if len(text) < 4 else 5.5
                    axes.text(x, y, text, ha="center", va="center", color=ink, fontsize=size)
        mapped = mpl.cm.ScalarMappable(scale, colours)
        bar = figure.colorbar(mapped, ax=[a for a, _ in panels], label=label, shrink=0.9, aspect=14)
        bar.outline.set_visible(False)
        bar.locator = mpl.ticker.MaxNLocator(4)
        bar.update_ticks()
        save(figure, target)


def composition_map(
    target: Target,
    plates: Mapping[str, Mapping[Well, Mapping[str, float]]],
    colours: Mapping[str, str],
) -> None:
    """The composition of every well, as a square that is divided by the shares of the classes."""
    with mpl.rc_context(STYLE):
        figure, panels = _panels({name: list(wells) for name, wells in plates.items()})
        for (axes, grid), wells in zip(panels, plates.values(), strict=True):
            for well, shares in wells.items():
                x, y = grid.place(well)
                top, total = y + 0.4, sum(shares.values()) or 1
                for name, share in shares.items():
                    height = 0.8 * share / total
                    top -= height
                    axes.add_patch(
                        Rectangle((x - 0.4, top), 0.8, height, color=colours[name], linewidth=0)
                    )
        names = dict.fromkeys(n for p in plates.values() for shares in p.values() for n in shares)
        _legend(figure, {name: own for name, own in colours.items() if name in names})
        save(figure, target)


@dataclass(frozen=True)
class Shift:
    """The shift of a field: its well, site, shift in pixels, and status."""

    well: Well
    site: int
    shift_y: float
    shift_x: float
    status: str


def shift_map(target: Target, plates: Mapping[str, Sequence[Shift]]) -> None:
    """The shift of every field as an arrow at its well; sites lie beside each other."""
    longest = max(
        (float(np.hypot(s.shift_y, s.shift_x)) for own in plates.values() for s in own
         if np.isfinite(s.shift_y)), default=1.0,
    )  # fmt: skip
    with mpl.rc_context(STYLE):
        figure, panels = _panels({name: [s.well for s in own] for name, own in plates.items()})
        seen = dict.fromkeys(s.status for own in plates.values() for s in own)
        for (axes, grid), shifts in zip(panels, plates.values(), strict=True):
            sites = sorted({s.site for s in shifts})
            across = int(np.ceil(np.sqrt(len(sites))))
            room = 0.92 / across
            for s in shifts:
                x, y = map(float, grid.place(s.well))
                number = sites.index(s.site)
                x += (number % across - (across - 1) / 2) * room
                y += (number // across - (across - 1) / 2) * room
                if not np.isfinite(s.shift_y):
                    axes.text(x, y, "×", ha="center", va="center", color=PALETTE[10])
                    continue
                length = 0.9 * room / max(longest, 1e-9)
                axes.annotate(
                    "", (x + s.shift_x * length / 2, y + s.shift_y * length / 2),
                    (x - s.shift_x * length / 2, y - s.shift_y * length / 2),
                    arrowprops={
                        "arrowstyle": "->,head_width=0.14,head_length=0.2", "linewidth": 1.1,
                        "color": STATUS_COLOURS.get(s.status, NO_CLASS), "shrinkA": 0, "shrinkB": 0,
                    },
                )  # fmt: skip
        _legend(figure, {name: STATUS_COLOURS.get(name, PALETTE[10]) for name in seen})
        figure.supxlabel(f"longest arrow: {longest:.1f} px", fontsize=8, color=SOFT)
        save(figure, target)


def scores(target: Target, score: np.ndarray, threshold: np.ndarray, status: Sequence[str]) -> None:
    """The registration score of every field against what chance reaches, worst field first."""
    order = np.argsort(score - threshold, kind="stable")
    with mpl.rc_context(STYLE):
        figure = new_figure(6.4, 2.9)
        axes = figure.subplots()
        place = 1 + np.arange(len(order))
        axes.bar(place, threshold[order], width=1, color=LINE, label="chance (null distribution)")
        for name in dict.fromkeys(status):
            own = np.array([status[i] == name for i in order])
            axes.plot(
                place[own], score[order][own], "o", markersize=4,
                color=STATUS_COLOURS.get(name, PALETTE[10]), label=f"{name} ({own.sum()})",
            )  # fmt: skip
        axes.set(xlabel="fields, the least certain first", ylabel="score", ylim=(0, 1.05))
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(6, integer=True))
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        save(figure, target)


@dataclass(frozen=True)
class Bar:
    """A classifier's macro-F1 with its interval, and what shuffled labels reach."""

    name: str
    f1: float
    interval: tuple[float, float] | None
    permuted: float
    permuted_95: float


def classifier_bars(target: Target, bars: Sequence[Bar]) -> None:
    """Classifiers on the same split beside each other, each with its shuffled control."""
    with mpl.rc_context(STYLE):
        figure = new_figure(7.6, 0.8 + 0.75 * len(bars))
        axes = figure.subplots()
        for row, bar in enumerate(bars):
            axes.barh(row - 0.18, bar.f1, height=0.34, color=NEUTRAL[0])
            axes.barh(row + 0.18, bar.permuted, height=0.34, color=NO_CLASS)
            if bar.interval is not None:
                low, high = bar.interval
                axes.plot([low, high], [row - 0.18] * 2, color=INK, linewidth=1.4)
            axes.plot([bar.permuted, bar.permuted_95], [row + 0.18] * 2, color=INK, linewidth=1.4)
            axes.text(1.03, row - 0.18, f"{bar.f1:.3f}", va="center", fontweight="bold")
            axes.text(1.03, row + 0.18, f"{bar.permuted:.3f}", va="center", color=SOFT)
        axes.set_yticks(range(len(bars)), [bar.name for bar in bars])
        axes.invert_yaxis()
        axes.set(xlim=(0, 1), xlabel="macro-F1 on unseen wells")
        _legend(figure, {"classifier": NEUTRAL[0], "shuffled control": NO_CLASS})
        save(figure, target)
