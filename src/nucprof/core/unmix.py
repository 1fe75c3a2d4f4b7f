"""Light in a marker's channel that comes from another marker, or from the background.

The monoculture of a marker is a single-stained control, as in flow cytometry (Bagwell and Adams
1993, https://doi.org/10.1111/j.1749-6632.1993.tb38775.x): among its cells, the increase of
another channel with the marker is bleed-through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from nucprof.core.markers import FloatArray
from nucprof.errors import DataError

FEWEST = 9
"""Smallest number of cells for a slope: three in each third."""


def spillover(
    values: Mapping[str, FloatArray], controls: Mapping[str, npt.NDArray[np.bool_]]
) -> FloatArray:
    """Share of each marker's signal that each channel sees.

    Parameters
    ----------
    values : mapping
        Marker -> ``(N,)`` intensities.
    controls : mapping
        Marker -> ``(N,)`` bool, the cells of its monoculture; a marker without one bleeds nowhere.

    Returns
    -------
    (M, M) float64
        Row: marker; column: channel; 1 on the diagonal. Never negative.
    """
    markers = list(values)
    shares = np.eye(len(markers))
    for i, marker in enumerate(markers):
        for j, channel in enumerate(markers):
            cells = controls.get(marker)
            if i != j and cells is not None:
                slope = resistant_slope(values[marker][cells], values[channel][cells])
                shares[i, j] = max(slope, 0.0)
    return shares


def resistant_slope(x: FloatArray, y: FloatArray) -> float:
    """Slope of y on x between the medians of the lower and the upper third of x (Tukey 1977).

    A few cells of another line, which do not lie on the line, do not move it. 0 where there are
    fewer than nine cells or x does not vary.
    """
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = x[known], y[known]
    if len(x) < FEWEST:
        return 0.0
    order = np.argsort(x, kind="stable")
    third = len(x) // 3
    low, high = order[:third], order[-third:]
    rise = float(np.median(x[high]) - np.median(x[low]))
    return float(np.median(y[high]) - np.median(y[low])) / rise if rise > 0 else 0.0


def unmix(
    values: Mapping[str, FloatArray], shares: FloatArray, base: Sequence[float]
) -> dict[str, FloatArray]:
    """Intensities without the other markers' light.

    Parameters
    ----------
    values : mapping
        Marker -> ``(N,)`` intensities.
    shares : (M, M) float
        See :func:`spillover`.
    base : sequence of float
        Intensity of cells without each marker; these stay where they are.

    Raises
    ------
    DataError
        Two channels see so much of each other's light that they cannot be separated.
    """
    names = list(values)
    if np.linalg.cond(shares) > 20:
        (i, j), _ = max(
            (
                ((i, j), shares[i, j])
                for i in range(len(names))
                for j in range(len(names))
                if i != j
            ),
            key=lambda item: item[1],
        )
        raise DataError(
            f"gate.unmix: {shares[i, j]:.0%} of the light of {names[i]} is seen in the channel of "
            f"{names[j]}, so the two cannot be separated; leave it off (--no-unmix), "
            "and check the filters of the microscope"
        )
    above = np.column_stack([values[name] - low for name, low in zip(names, base, strict=True)])
    apart = above @ np.linalg.inv(shares)
    return {name: apart[:, m] + base[m] for m, name in enumerate(names)}


def field_background(lowest: FloatArray, fields: npt.NDArray) -> FloatArray:
    """Background of each cell's field: the median of the darkest pixels around its cells.

    Parameters
    ----------
    lowest : (N,) float
        Intensity of the darkest pixel in the patch around each cell.
    fields : (N,) str
        Field of each cell.

    Returns
    -------
    (N,) float64
    """
    names, place = np.unique(fields.astype(str), return_inverse=True)
    levels = np.full(len(names), np.nan)
    for number in range(len(names)):
        own = lowest[place == number]
        own = own[~np.isnan(own)]
        if len(own):
            levels[number] = np.median(own)
    background: FloatArray = levels[place]
    return background
