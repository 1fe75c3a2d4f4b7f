"""How much the background of a field varies over areas of the size of objects.

A mean over many pixels varies less than a pixel, but how much less depends on the image: the noise
of neighbours may be correlated, a few pixels may be much brighter than the rest, and the
background has structure. So the variation is measured at several sizes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Sides of the squares whose means are compared, pixels.
SIDES = (2, 4, 8, 16, 32)
#: The surroundings of a square are a square of this many times its side.
SURROUNDINGS = 3
#: Squares with objects in more than this share of their surroundings are not used.
FREE = 0.5
#: Squares that are compared at most, and at least.
MOST, LEAST = 20_000, 200
#: Side of the part of a large image that is used, pixels.
PART_PX = 1024
#: Percentiles of the absolute value of normal numbers, in standard deviations. The middle alone
#: misses noise of a few bright pixels among many equal ones.
NORMAL_PERCENTILES = {50: 0.6745, 95: 1.960}


def background_variation(
    image: NDArray[np.float32], labels: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Standard deviation of the means of empty squares, relative to their surroundings.

    Parameters
    ----------
    image : (H, W) float32
        Finite.
    labels : (H, W) integer
        Objects, which are left out.

    Returns
    -------
    (len(SIDES),) float64
        Grey levels; a side at which the field has too few empty squares has the value of the next
        smaller one, or 0.
    """
    rows, cols = (max(0, (n - PART_PX) // 2) for n in image.shape)
    part = slice(rows, rows + PART_PX), slice(cols, cols + PART_PX)
    free = labels[part] == 0
    light = _integral(np.where(free, image[part], 0))
    pixels = _integral(free)
    widths: list[float] = []
    for side in SIDES:
        width = _width(light, pixels, side)
        widths.append(width if np.isfinite(width) else (widths[-1] if widths else 0.0))
    return np.array(widths)


def at_size(variation: NDArray[np.float64], areas: NDArray[np.int64]) -> NDArray[np.float64]:
    """The variation at the size of objects of these areas (pixels), ``(N,)``."""
    sides = np.log(np.sqrt(np.maximum(areas, 1)))
    return np.interp(sides, np.log(SIDES), variation)


def _integral(values: NDArray) -> NDArray[np.float64]:
    sums = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    np.cumsum(np.cumsum(values, axis=0, dtype=np.float64), axis=1, out=sums[1:, 1:])
    return sums


def _sums(integral: NDArray[np.float64], tops: NDArray, lefts: NDArray, side: int) -> NDArray:
    """Sums over the squares at these places."""
    bottoms, rights = tops + side, lefts + side
    below: NDArray = integral[np.ix_(bottoms, rights)] - integral[np.ix_(bottoms, lefts)]
    above: NDArray = integral[np.ix_(tops, rights)] - integral[np.ix_(tops, lefts)]
    return np.asarray(below - above)


def _width(light: NDArray[np.float64], pixels: NDArray[np.float64], side: int) -> float:
    height, width = light.shape[0] - 1, light.shape[1] - 1
    if min(height, width) < SURROUNDINGS * side:
        return float("nan")
    step = max(1, side // 2, int(np.sqrt(height * width / MOST)))
    large, shift = SURROUNDINGS * side, side * (SURROUNDINGS - 1) // 2
    tops = np.arange(shift, height - side - shift + 1, step)
    lefts = np.arange(shift, width - side - shift + 1, step)
    inside, n_inside = _sums(light, tops, lefts, side), _sums(pixels, tops, lefts, side)
    around = _sums(light, tops - shift, lefts - shift, large) - inside
    n_around = _sums(pixels, tops - shift, lefts - shift, large) - n_inside
    empty = (n_inside == side**2) & (n_around >= FREE * (large**2 - side**2))
    if empty.sum() < LEAST:
        return float("nan")
    difference = np.abs(inside[empty] / side**2 - around[empty] / n_around[empty])
    found = np.percentile(difference, list(NORMAL_PERCENTILES))
    return float((found / list(NORMAL_PERCENTILES.values())).max())
