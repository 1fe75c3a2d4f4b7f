"""The cutoff of a marker, and how well it separates cells with the marker from cells without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, stdtrit

from nucprof.errors import DataError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Held = Literal["wells", "cells"]

FOLDS = 5


def best_cutoff(positive: FloatArray, negative: FloatArray) -> float:
    """The cutoff that separates two samples best (largest Youden index).

    Of equally good cutoffs, the middle of the widest gap is taken: on a log scale
    where all values are positive, as intensities spread over decades.

    Parameters
    ----------
    positive, negative : (n,) and (m,) float
        Intensities of cells that carry the marker, and that do not.

    Raises
    ------
    DataError
        One of the samples is empty.
    """
    if not (positive.size and negative.size):
        raise DataError("a cutoff needs cells that carry the marker and cells that do not")
    values = np.unique(np.concatenate([positive, negative]))
    # a cutoff at values[i] calls what is above it positive
    sensitivity = 1 - np.searchsorted(np.sort(positive), values, side="right") / positive.size
    specificity = np.searchsorted(np.sort(negative), values, side="right") / negative.size
    youden = sensitivity + specificity - 1
    if values.size == 1:
        return float(values[0])
    best = np.flatnonzero(youden[:-1] >= youden[:-1].max() - 1e-12)
    low, high = values[best], values[best + 1]
    widest = int(np.argmax(high / low if low[0] > 0 else high - low))
    a, b = low[widest], high[widest]
    return float(np.sqrt(a * b) if a > 0 else (a + b) / 2)


@dataclass(frozen=True)
class Controls:
    """Cells of the monocultures that carry a marker, and of those that do not.

    Attributes
    ----------
    values : (n,) float
        Intensities, finite.
    carries : (n,) bool
        Whether the cell's monoculture carries the marker.
    wells : (n,)
        The cells' wells, by any name that is unique in the project.
    """

    values: FloatArray
    carries: BoolArray
    wells: npt.NDArray

    @property
    def has_both(self) -> bool:
        """Whether there are cells of either side."""
        return bool(self.carries.any() and not self.carries.all())

    def cutoff(self) -> float:
        """The best cutoff of all these cells."""
        return best_cutoff(self.values[self.carries], self.values[~self.carries])

    def held_out_calls(self) -> Calls:
        """Whether each cell is above a cutoff that was found without it.

        Whole wells are held out where both sides have two or more, up to five groups of wells at a
        time; else cells are. With one cell on a side nothing can be held out: no cell is called.
        """
        unit: Held = "wells"
        folds, number = _folds(self.carries, np.unique(self.wells, return_inverse=True)[1])
        if number < 2:
            unit = "cells"
            folds, number = _folds(self.carries, np.arange(len(self.values)))
        if number < 2:
            return Calls.none()
        above = np.zeros(len(self.values), dtype=bool)
        for fold in range(number):
            own, seen = self.values[folds != fold], self.carries[folds != fold]
            above[folds == fold] = self.values[folds == fold] > best_cutoff(own[seen], own[~seen])
        return Calls(self, above, unit)


@dataclass(frozen=True)
class Calls:
    """Which controls are above their cutoff, and the unit that was held out (or None)."""

    controls: Controls
    above: BoolArray
    held_out: Held | None

    @classmethod
    def none(cls) -> Calls:
        """Calls of no cell."""
        nothing = np.zeros(0, dtype=bool)
        return cls(Controls(np.zeros(0), nothing, np.zeros(0, dtype=object)), nothing, None)


def _folds(carries: BoolArray, units: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], int]:
    """Deal units (numbers of wells or cells) of either side to folds in turn; their number."""
    sides = [np.unique(units[carries]), np.unique(units[~carries])]
    number = min(FOLDS, *(len(side) for side in sides))
    folds = np.zeros(len(units), dtype=np.int64)
    if number > 1:
        for side, chosen in zip(sides, (carries, ~carries), strict=True):
            folds[chosen] = np.searchsorted(side, units[chosen]) % number
    return folds, number


@dataclass(frozen=True)
class Share:
    """A share of cells with its 95% interval; NaN where there are none."""

    value: float
    low: float
    high: float
    cells: int
    wells: int


def share_of(hits: npt.NDArray, wells: npt.NDArray) -> Share:
    """A share, and its 95% interval for wells like these.

    Cells of one well share their staining, so they do not count as independent: the interval is
    that of Clopper and Pearson for the effective number of independent cells, from the variation
    between wells, corrected for the number of wells (Korn and Graubard 1998, Survey Methodology 24,
    193-201). With one well the cells count as independent, and the interval is for that well only.

    Parameters
    ----------
    hits : (n,) bool or float
        Whether each cell counts, or the probability that it does.
    wells : (n,)
        The well of each cell.
    """
    cells = len(hits)
    if not cells:
        return Share(float("nan"), float("nan"), float("nan"), 0, 0)
    share = float(np.mean(hits))
    _, of_cell = np.unique(wells, return_inverse=True)
    number = int(of_cell.max()) + 1
    effective = float(cells)
    if number > 1:
        residuals = np.bincount(of_cell, weights=hits - share)
        variance = number / (number - 1) * float((residuals**2).sum()) / cells**2
        if variance > 0:
            effective = min(share * (1 - share) / variance, effective)
        effective *= (stdtrit(cells - 1, 0.975) / stdtrit(number - 1, 0.975)) ** 2
    low, high = _clopper_pearson(share * effective, effective)
    return Share(share, min(low, share), max(high, share), cells, number)


def _clopper_pearson(hits: float, n: float) -> tuple[float, float]:
    low = 0.0 if hits <= 0 else float(betaincinv(hits, n - hits + 1, 0.025))
    high = 1.0 if hits >= n else float(betaincinv(hits + 1, n - hits, 0.975))
    return low, high


@dataclass(frozen=True)
class CutoffQuality:
    """How well a cutoff separates the monocultures.

    Attributes
    ----------
    sensitivity : Share
        Of the monocultures that carry the marker: cells above the cutoff.
    specificity : Share
        Of those that do not: cells not above it.
    held_out : {"wells", "cells"} or None
        The unit that was held out; None for a cutoff that was given.
    """

    sensitivity: Share
    specificity: Share
    held_out: Held | None

    @classmethod
    def of(cls, calls: Sequence[Calls]) -> CutoffQuality:
        """Count the calls of one plate, or of several, each by its own cutoff."""
        above = np.concatenate([part.above for part in calls])
        carries = np.concatenate([part.controls.carries for part in calls])
        wells = np.concatenate([part.controls.wells.astype(object) for part in calls])
        held = {part.held_out for part in calls if len(part.above)}
        return cls(
            share_of(above[carries], wells[carries]),
            share_of(~above[~carries], wells[~carries]),
            # a plate with too few wells holds out cells instead of wells
            "cells" if "cells" in held else "wells" if "wells" in held else None,
        )
