"""Convex hulls of pixel objects, from the ends of their rows.

As in scikit-image a pixel is the diamond of its four edge midpoints, the hull is taken over these,
and a pixel belongs to the hull image if its centre lies in the hull or on its edge. All is integer
arithmetic in half pixels, so that a centre exactly on an edge is never lost to rounding.
"""

from __future__ import annotations

import numpy as np

from nucprof.core.features._compile import compiled
from nucprof.core.labels import FloatArray, IntArray, ObjectIndex

_EMPTY = 1 << 62


def measure_hulls(objects: ObjectIndex) -> tuple[FloatArray, FloatArray]:
    """Convex area and largest Feret diameter of every object.

    Equals ``area_convex`` and ``feret_diameter_max`` of `skimage.measure.regionprops`: the pixels
    of `skimage.morphology.convex_hull_image`, and the largest distance between points of the
    half-level contour of that image.

    Parameters
    ----------
    objects : ObjectIndex

    Returns
    -------
    area_convex : (N,) float64
        Pixels.
    feret_diameter_max : (N,) float64
        Pixels.
    """
    runs = objects.runs
    area = np.empty(len(objects))
    feret = np.empty(len(objects))
    _hulls(runs.first, runs.row, runs.start, runs.stop, area, feret)
    return area, feret


@compiled
def _hulls(
    first: IntArray,
    row: IntArray,
    start: IntArray,
    stop: IntArray,
    area: FloatArray,
    feret: FloatArray,
) -> None:
    for k in range(len(area)):
        a, b = first[k], first[k + 1]
        top = row[a]
        height = row[b - 1] + 1 - top
        # The right side is handled as the left side of the mirror image.
        left = _no_rows(height)
        right = _no_rows(height)
        for j in range(a, b):
            y = row[j] - top
            left[y] = min(left[y], start[j])
            right[y] = min(right[y], 1 - stop[j])

        hull_left = _row_starts(_chain(_half_rows(left)), height)
        hull_right = _row_starts(_chain(_half_rows(right)), height)
        pixels = 0
        for y in range(height):
            pixels += 1 - hull_right[y] - hull_left[y]
        area[k] = pixels

        # Contour points between two pixels of the hull image lie half way between both, so only
        # the diamonds of its row ends can hold the farthest pair.
        on_left = _chain(_half_rows(hull_left))
        on_right = _chain(_half_rows(hull_right))
        farthest = max(
            _farthest(on_left, on_left, 1),
            _farthest(on_left, on_right, -1),
            _farthest(on_right, on_right, 1),
        )
        feret[k] = 0.5 * np.sqrt(farthest)


@compiled
def _no_rows(height: int) -> IntArray:
    starts = np.empty(height, dtype=np.int64)
    for y in range(height):
        starts[y] = _EMPTY
    return starts


@compiled
def _half_rows(starts: IntArray) -> IntArray:
    """Leftmost diamond corner per half row, in half pixels, from the leftmost pixel per row."""
    corners = _no_rows(2 * len(starts) + 1)
    for y in range(len(starts)):
        if starts[y] != _EMPTY:
            x = 2 * starts[y]
            corners[2 * y] = min(corners[2 * y], x)
            corners[2 * y + 1] = x - 1
            corners[2 * y + 2] = x
    return corners


@compiled
def _chain(corners: IntArray) -> IntArray:
    """Corners on the left side of the hull, ``(M, 2)``, top to bottom (Andrew's monotone chain)."""
    chain = np.empty((len(corners), 2), dtype=np.int64)
    m = 0
    for y in range(len(corners)):
        x = corners[y]
        if x == _EMPTY:
            continue
        while m >= 2 and (chain[m - 1, 1] - chain[m - 2, 1]) * (y - chain[m - 2, 0]) >= (
            x - chain[m - 2, 1]
        ) * (chain[m - 1, 0] - chain[m - 2, 0]):
            m -= 1
        chain[m, 0] = y
        chain[m, 1] = x
        m += 1
    return chain[:m]


@compiled
def _row_starts(chain: IntArray, height: int) -> IntArray:
    """First pixel of every row whose centre is on or right of the chain."""
    starts = np.empty(height, dtype=np.int64)
    m = 0
    for y in range(height):
        half = 2 * y + 1
        while chain[m + 1, 0] < half:
            m += 1
        dy = chain[m + 1, 0] - chain[m, 0]
        dx = chain[m + 1, 1] - chain[m, 1]
        # ceil of x / 2 where the chain crosses this row
        starts[y] = -((-(chain[m, 1] * dy + dx * (half - chain[m, 0]))) // (2 * dy))
    return starts


@compiled
def _farthest(some: IntArray, others: IntArray, mirror: int) -> int:
    """Largest squared distance between two chains, the second mirrored (-1) or not (1)."""
    largest = 0
    for i in range(len(some)):
        for j in range(len(others)):
            dy = some[i, 0] - others[j, 0]
            dx = some[i, 1] - mirror * others[j, 1]
            largest = max(largest, dy * dy + dx * dx)
    return largest
