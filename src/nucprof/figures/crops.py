"""Pictures of single cells: crops, attention maps and misclassified cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from nucprof.figures.canvas import STYLE, Target, new_figure, save

# Composite colours of up to six channels: blue for the first (usually nuclei), then the rest.
_TINTS = np.array(
    [[0.2, 0.4, 1], [0, 1, 0.2], [1, 0.6, 0], [1, 0, 0.6], [0.6, 0.6, 0.6], [0, 0.8, 0.8]]
)
#: Percentile of a composite's values that is shown at full brightness.
_BRIGHTEST = 99.8
_PER_ROW = 10
_BAR_SHARE = 0.3
_NICE = (0.5, 1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class Cell:
    """A cell to show: its crop `(C, H, W)` in 0 to 1, and a title."""

    crop: np.ndarray
    title: str


def composite(crop: np.ndarray) -> np.ndarray:
    """`(C, H, W)` in 0 to 1 as one colour picture `(H, W, 3)`.

    Where channels add up to more than the brightest colour, the whole picture is darker, so that
    bright places keep their hue and texture instead of burning out.
    """
    tints = _TINTS[np.arange(len(crop)) % len(_TINTS)]
    mixed = np.einsum("chw,cr->hwr", crop, tints)
    return np.asarray(np.clip(mixed / max(1.0, float(np.percentile(mixed, _BRIGHTEST))), 0, 1))


def gallery(
    target: Target,
    groups: Mapping[str, Sequence[Cell]],
    *,
    title: str,
    pixel_um: float | None = None,
) -> None:
    """Composites of cells, a block of rows per group (a class, or a kind of mistake).

    Parameters
    ----------
    target
        Where to save.
    groups
        Name of the group -> its cells.
    title
        Words.
    pixel_um
        Size of a crop's pixel in µm; if it is not known, scale bars are in pixels.
    """
    rows = [
        (name if start == 0 else "", list(cells[start : start + _PER_ROW]))
        for name, cells in groups.items()
        for start in range(0, len(cells), _PER_ROW)
    ]
    with mpl.rc_context(STYLE):
        figure = new_figure(1.0 * _PER_ROW + 1, 1.25 * max(len(rows), 1) + 0.6)
        grid = figure.subplots(max(len(rows), 1), _PER_ROW, squeeze=False)
        for axes in grid.ravel():
            axes.set_axis_off()
        for line, (name, cells) in zip(grid, rows, strict=False):
            for axes, cell in zip(line, cells, strict=False):
                axes.imshow(composite(cell.crop), interpolation="nearest")
                axes.set_title(cell.title, fontsize=6)
                scale_bar(axes, cell.crop.shape[-1], pixel_um)
            if name:
                line[0].text(
                    -0.15, 0.5, name, transform=line[0].transAxes, rotation=90, ha="right",
                    va="center", fontsize=9,
                )  # fmt: skip
        shown = sum(len(cells) for cells in groups.values())
        figure.suptitle(f"{title}\n{shown} cells" if shown else f"{title}\nnone", fontsize=10)
        save(figure, target)


def attention_panels(
    target: Target,
    cells: Sequence[Cell],
    maps: np.ndarray,
    nuclei: np.ndarray,
    channels: Sequence[str],
    *,
    title: str,
    pixel_um: float | None = None,
) -> None:
    """A row per cell: its channels, the composite, the heat map, and both together.

    Parameters
    ----------
    target
        Where to save.
    cells
        The cells; crops `(C, S, S)` in 0 to 1.
    maps
        `(n, S, S)`, any scale; each is shown relative to its own largest value, and one that is 0
        everywhere is left empty.
    nuclei
        `(n, S, S)` bool, outlined in the last picture.
    channels
        Names of the C channels.
    title
        Words.
    pixel_um
        As in :func:`gallery`.
    """
    columns = len(channels) + 3
    with mpl.rc_context(STYLE):
        figure = new_figure(1.25 * columns + 0.6, 1.35 * len(cells) + 0.8)
        grid = figure.subplots(len(cells), columns, squeeze=False)
        for row, (line, cell) in enumerate(zip(grid, cells, strict=True)):
            highest = float(maps[row].max())
            for axes, plane in zip(line, cell.crop, strict=False):
                axes.imshow(plane, cmap="gray", vmin=0, vmax=1)
            line[-3].imshow(composite(cell.crop))
            line[-1].imshow(composite(cell.crop))
            if highest > 0:
                heat = maps[row] / highest
                line[-2].imshow(heat, cmap="inferno", vmin=0, vmax=1)
                line[-1].imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.5)
            else:
                line[-2].text(0.5, 0.5, "no evidence", ha="center", va="center", fontsize=7)
            if 0 < nuclei[row].mean() < 1:
                line[-1].contour(nuclei[row], levels=[0.5], colors="white", linewidths=0.8)
            scale_bar(line[-3], cell.crop.shape[-1], pixel_um)
            line[0].set_ylabel(cell.title, fontsize=7, rotation=0, ha="right", va="center")
            for axes in line:
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
        heads = [*channels, "composite", "LayerCAM", "overlay"]
        for axes, name in zip(grid[0], heads, strict=True):
            axes.set_title(name, fontsize=8)
        figure.suptitle(title, fontsize=10)
        save(figure, target)


def mean_maps(
    target: Target, maps: dict[str, tuple[np.ndarray, np.ndarray, int]], *, title: str
) -> None:
    """The mean map of every class next to its mean crop: name -> (map, mean composite, n)."""
    if not maps:
        gallery(target, {}, title=f"{title}: no map shows evidence")
        return
    with mpl.rc_context(STYLE):
        figure = new_figure(2.4 * len(maps) + 0.8, 5)
        grid = figure.subplots(2, len(maps), squeeze=False)
        highest = max(float(heat.max()) for heat, _, _ in maps.values())
        for column, (name, (heat, picture, n)) in enumerate(maps.items()):
            grid[0, column].imshow(picture)
            image = grid[1, column].imshow(heat / highest, cmap="inferno", vmin=0, vmax=1)
            grid[0, column].set_title(f"{name}\nn = {n} cells", fontsize=9)
        for axes in grid.ravel():
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        grid[0, 0].set_ylabel("mean crop")
        grid[1, 0].set_ylabel("mean attention")
        figure.colorbar(image, ax=grid[1, :], label="relative to the highest", shrink=0.8)
        figure.suptitle(title, fontsize=10)
        save(figure, target)


def scale_bar(axes: Axes, width_px: int, pixel_um: float | None) -> None:
    """A white bar of a round number of µm, or pixels if the size is not known."""
    unit, side = ("px", 1.0) if pixel_um is None else ("µm", pixel_um)
    fitting = (n for n in _NICE if n / side <= _BAR_SHARE * width_px)
    length = max(fitting, default=_NICE[0])
    pixels = length / side
    y, x = width_px * 0.93, width_px * 0.95
    axes.plot([x - pixels, x], [y, y], color="white", linewidth=2, solid_capstyle="butt")
    axes.text(
        x - pixels / 2, y - 0.03 * width_px, f"{length:g} {unit}", color="white", fontsize=5,
        ha="center", va="bottom",
    )  # fmt: skip
