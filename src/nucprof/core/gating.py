"""True classes from marker intensities: cutoffs, classes, and how good the cutoffs are.

A marker belongs to the monoculture in which its median is highest; its cutoff separates that
monoculture from the others best. A cell is of a class when its class's marker is above its cutoff
and every other class's marker is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nucprof.errors import DataError

UNDEFINED = "undefined"

FloatArray = npt.NDArray[np.float64]
TextArray = npt.NDArray[np.object_]


def medians(
    values: Mapping[str, FloatArray], cultures: TextArray, names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Median by marker and monoculture, NaN left out: ``{marker: {culture: median}}``."""
    return {
        marker: {name: float(np.nanmedian(column[cultures == name])) for name in names}
        for marker, column in values.items()
    }


def assign_markers(
    values: Mapping[str, FloatArray], cultures: TextArray, names: Sequence[str]
) -> dict[str, str]:
    """Find which marker belongs to which monoculture.

    Parameters
    ----------
    values : mapping
        Marker -> ``(N,)`` mean intensities.
    cultures : (N,) str
        Culture of each cell.
    names : sequence of str
        The monocultures; each gets one marker.

    Returns
    -------
    dict
        Class (monoculture) -> marker.

    Raises
    ------
    DataError
        There is no one-to-one match; the message holds the table of medians.
    """
    table = medians(values, cultures, names)
    best = {marker: max(names, key=lambda name: row[name]) for marker, row in table.items()}
    if sorted(best.values()) != sorted(names):
        raise DataError(
            "The markers do not match the monocultures one to one: "
            + "; ".join(f"{marker} is highest in {name}" for marker, name in best.items())
            + f".\n{format_medians(table, names)}\n"
            "Say which class has which marker ([gate.classes]), and give [gate.cutoffs]."
        )
    return {name: marker for marker, name in best.items()}


def format_medians(table: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> str:
    """The table of medians as text, markers down, monocultures across."""
    width = max([len("median"), *(len(marker) for marker in table)])
    columns = [max(len(name), 9) for name in names]
    head = " ".join(f"{name:>{w}}" for name, w in zip(names, columns, strict=True))
    lines = [f"{'median':<{width}} {head}"]
    for marker, row in table.items():
        cells = " ".join(f"{row[name]:>{w}.1f}" for name, w in zip(names, columns, strict=True))
        lines.append(f"{marker:<{width}} {cells}")
    return "\n".join(lines)


def best_cutoff(positive: FloatArray, negative: FloatArray) -> float:
    """The cutoff that separates two samples best (largest Youden index).

    Of the cutoffs that do so equally well, the middle of the widest gap is taken: on a log scale
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


def classify(
    values: Mapping[str, FloatArray], cutoffs: Mapping[str, float], classes: Mapping[str, str]
) -> TextArray:
    """Class of every cell, or ``undefined``.

    Parameters
    ----------
    values : mapping
        Marker -> ``(N,)`` intensities; NaN is never positive.
    cutoffs : mapping
        Marker -> cutoff; positive is ``>``.
    classes : mapping
        Class -> its marker.
    """
    count = len(next(iter(values.values())))
    positive = {marker: values[marker] > cutoffs[marker] for marker in classes.values()}
    number = np.sum(list(positive.values()), axis=0)
    called: TextArray = np.full(count, UNDEFINED, dtype=object)
    for name, marker in classes.items():
        called[positive[marker] & (number == 1)] = name
    return called


@dataclass(frozen=True)
class CutoffQuality:
    """Share of the own monoculture above the cutoff, and of the others not above it."""

    sensitivity: float
    specificity: float
    n_positive: int
    n_negative: int


def cutoff_quality(
    values: FloatArray, cultures: TextArray, own: str, others: Sequence[str], cutoff: float
) -> CutoffQuality:
    """How well a cutoff tells its own monoculture from the others; NaN where there are no cells."""
    above = values > cutoff
    positive, negative = cultures == own, np.isin(cultures, list(others))
    return CutoffQuality(
        float(above[positive].mean()) if positive.any() else float("nan"),
        float(1 - above[negative].mean()) if negative.any() else float("nan"),
        int(positive.sum()),
        int(negative.sum()),
    )


def outside(
    columns: Mapping[str, FloatArray], filters: Mapping[str, tuple[float | None, float | None]]
) -> npt.NDArray[np.bool_]:
    """Cells that a filter removes: a feature below its low, above its high, or missing."""
    gone = np.zeros(len(next(iter(columns.values()))), dtype=bool)
    for name, (low, high) in filters.items():
        inside = ~np.isnan(columns[name])
        if low is not None:
            inside &= columns[name] >= low
        if high is not None:
            inside &= columns[name] <= high
        gone |= ~inside
    return gone
