"""Perimeters and holes of pixel objects.

Kernels paint each object on one canvas and erase it afterwards, so that neighbours have no
influence and no test for the image's edge is needed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucprof.core.features._compile import compiled
from nucprof.core.labels import FloatArray, IntArray, ObjectIndex


def _perimeter_weights() -> FloatArray:
    """Length per border pixel by ``1 + 2 edge neighbours + 10 corner neighbours`` (Benkrid)."""
    weights = np.zeros(50)
    weights[[5, 7, 15, 17, 25, 27]] = 1
    weights[[21, 33]] = np.sqrt(2)
    weights[[13, 23]] = (1 + np.sqrt(2)) / 2
    return weights


def _crofton_weights() -> FloatArray:
    """Length per window of 2 x 2 pixels, by ``own + 2 up + 4 left + 8 up-left``.

    Crofton's formula in four directions (Rivollier 2010): a window adds pi/4 per crossing of the
    grid line, pi/(4 sqrt 2) per crossing of a diagonal.
    """
    straight, diagonal = np.pi / 4, np.pi / (4 * np.sqrt(2))
    weights = np.zeros(16)
    weights[[1, 5]] = straight + diagonal
    weights[[2, 7, 10, 11]] = diagonal
    weights[3] = 2 * diagonal
    weights[[8, 12]] = straight
    weights[[9, 13]] = 2 * straight
    return weights


_FAR = 1 << 62
PERIMETER_WEIGHTS = _perimeter_weights()
CROFTON_WEIGHTS = _crofton_weights()


def measure_outlines(objects: ObjectIndex) -> tuple[FloatArray, FloatArray]:
    """Perimeter and Crofton perimeter of every object.

    Equals ``perimeter`` (4-neighbourhood) and ``perimeter_crofton`` (4 directions) of
    `skimage.measure.regionprops`.

    Parameters
    ----------
    objects : ObjectIndex

    Returns
    -------
    perimeter, perimeter_crofton : (N,) float64
        Pixels; the perimeter of objects of one or two pixels is 0 by this definition.
    """
    runs = objects.runs
    height, width = objects.shape
    canvas = np.zeros((height + 2, width + 2), dtype=np.uint8)
    perimeter = np.empty(len(objects))
    crofton = np.empty(len(objects))
    _outlines(
        canvas,
        PERIMETER_WEIGHTS,
        CROFTON_WEIGHTS,
        runs.first,
        runs.row + 1,
        runs.start + 1,
        runs.stop + 1,
        perimeter,
        crofton,
    )
    return perimeter, crofton


def measure_holes(objects: ObjectIndex) -> IntArray:
    """Number of background pixels enclosed by every object, ``(N,)`` int64.

    A hole does not reach the outside even over corners, as in
    `scipy.ndimage.binary_fill_holes` with a 3 x 3 structure, which ``area_filled`` of
    `skimage.measure.regionprops` uses. Another label inside a hole counts as part of the hole.

    Parameters
    ----------
    objects : ObjectIndex
    """
    runs = objects.runs
    holes = np.zeros(len(objects), dtype=np.int64)
    _holes(runs.first, runs.row, runs.start, runs.stop, holes)
    return holes


@compiled
def _outlines(
    canvas: NDArray,
    perimeter_weights: FloatArray,
    crofton_weights: FloatArray,
    first: IntArray,
    row: IntArray,
    start: IntArray,
    stop: IntArray,
    perimeter: FloatArray,
    crofton: FloatArray,
) -> None:
    for k in range(len(perimeter)):
        a, b = first[k], first[k + 1]
        for j in range(a, b):
            for x in range(start[j], stop[j]):
                canvas[row[j], x] = 1
        # Border pixels, those with an edge neighbour outside, become 2.
        for j in range(a, b):
            y = row[j]
            for x in range(start[j], stop[j]):
                if not (
                    canvas[y - 1, x] and canvas[y + 1, x] and canvas[y, x - 1] and canvas[y, x + 1]
                ):
                    canvas[y, x] = 2
        length = crossings = 0.0
        for j in range(a, b):
            for x in range(start[j], stop[j]):
                if canvas[row[j], x] == 2:
                    length += perimeter_weights[_border_code(canvas, row[j], x)]
                crossings += _crofton_windows(canvas, crofton_weights, row[j], x)
        perimeter[k] = length
        crofton[k] = crossings
        for j in range(a, b):
            for x in range(start[j], stop[j]):
                canvas[row[j], x] = 0


@compiled
def _border_code(canvas: NDArray, y: int, x: int) -> int:
    edge = corner = 0
    for d in (-1, 1):
        edge += canvas[y + d, x] == 2
        edge += canvas[y, x + d] == 2
        corner += canvas[y + d, x - 1] == 2
        corner += canvas[y + d, x + 1] == 2
    return 1 + 2 * edge + 10 * corner


@compiled
def _crofton_windows(canvas: NDArray, weights: FloatArray, y: int, x: int) -> float:
    """Weights of the 2 x 2 windows of which (y, x) is the object's first pixel in raster order."""
    left, right = canvas[y, x - 1] > 0, canvas[y, x + 1] > 0
    below_left, below = canvas[y + 1, x - 1] > 0, canvas[y + 1, x] > 0
    total = weights[(canvas[y + 1, x + 1] > 0) + 2 * right + 4 * below + 8]
    if not left:
        total += weights[1 * below + 2 + 4 * below_left]
    if not (canvas[y - 1, x] or canvas[y - 1, x + 1]):
        total += weights[1 * right + 4]
    if not (left or canvas[y - 1, x - 1] or canvas[y - 1, x]):
        total += weights[1]
    return float(total)


@compiled
def _holes(
    first: IntArray, row: IntArray, start: IntArray, stop: IntArray, holes: IntArray
) -> None:
    """Join gaps between the runs of a row to those of the row above, and to the outside."""
    for k in range(len(holes)):
        a, b = first[k], first[k + 1]
        height = row[b - 1] + 1 - row[a]
        nodes = 1 + _count_gaps(row, a, b)
        if nodes == 1:
            continue
        # Ends of every row, with an empty row above and below.
        left = np.empty(height + 2, dtype=np.int64)
        right = np.empty(height + 2, dtype=np.int64)
        for y in range(height + 2):
            left[y], right[y] = _FAR, -1
        for j in range(a, b):
            y = row[j] - row[a] + 1
            left[y] = min(left[y], start[j])
            right[y] = max(right[y], stop[j])

        # Node 0 is the outside, node g the g-th gap [begin[g], end[g]) in raster order.
        parent = np.empty(nodes, dtype=np.int64)
        begin = np.empty(nodes, dtype=np.int64)
        end = np.empty(nodes, dtype=np.int64)
        line = np.empty(nodes, dtype=np.int64)
        parent[0] = 0
        gaps = 0
        above = 1
        for j in range(a, b - 1):
            if row[j + 1] != row[j]:
                continue
            gaps += 1
            y = row[j] - row[a] + 1
            parent[gaps] = gaps
            begin[gaps], end[gaps], line[gaps] = stop[j], start[j + 1], y
            # Corners connect: columns begin - 1 to end of the rows above and below count.
            for other in (y - 1, y + 1):
                if stop[j] - 1 < left[other] or start[j + 1] >= right[other]:
                    _join(parent, gaps, 0)
            while above < gaps and (
                line[above] < y - 1 or (line[above] == y - 1 and end[above] < begin[gaps])
            ):
                above += 1
            g = above
            while g < gaps and line[g] == y - 1 and begin[g] <= end[gaps]:
                _join(parent, gaps, g)
                g += 1
        for g in range(1, gaps + 1):
            if _root(parent, g) != 0:
                holes[k] += end[g] - begin[g]


@compiled
def _count_gaps(row: IntArray, a: int, b: int) -> int:
    gaps = 0
    for j in range(a, b - 1):
        gaps += row[j] == row[j + 1]
    return gaps


@compiled
def _root(parent: IntArray, node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@compiled
def _join(parent: IntArray, a: int, b: int) -> None:
    a, b = _root(parent, a), _root(parent, b)
    # The smaller stays, so that the outside is always a root.
    parent[max(a, b)] = min(a, b)
