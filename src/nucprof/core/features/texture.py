"""Texture of objects: grey-level co-occurrence of horizontal neighbours (Haralick 1973).

Each object is scaled to 256 grey levels by its own maximum, ``floor(255 x / max)``; a maximum of
0 or less makes every level 0, and so is a negative pixel. Pairs are a pixel and its right-hand
neighbour (distance 1, angle 0, not symmetric). The features are those of
`skimage.feature.graycoprops` on `skimage.feature.graycomatrix`, with its conventions: without any
pair all are 0 and the correlation is 1; where one side of the pairs does not vary the correlation
is 1.

Two rules say which pairs count:

``exclude``
    Those within the object: both pixels belong to it. All pixels of the object take part.
``include``
    All pairs of the masked crop, as the published scripts had it: a box of `patch_size` around the
    centroid, 0 outside the object and beyond the image's edge, scaled by the object's maximum
    within the box.

No 256 x 256 matrix is made per object: counts go into one table that is emptied by visiting only
the pairs seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucprof.core.crops import box_start
from nucprof.core.features._compile import compiled
from nucprof.core.labels import FloatArray, IntArray, ObjectIndex, Runs

FEATURES = ("Contrast", "Dissimilarity", "Homogeneity", "Energy", "Correlation", "ASM")
LEVELS = 256


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which pairs of pixels count, per object.

    Attributes
    ----------
    runs : Runs
        Pairs within a run always count.
    before, after : (R,) int64
        1 where the pair (0, first pixel of the run), or (last pixel, 0), counts too.
    background : (N,) int64
        Number of (0, 0) pairs of background pixels.
    """

    runs: Runs
    before: IntArray
    after: IntArray
    background: IntArray


def pairs_within(runs: Runs) -> Pairs:
    """Pairs of which both pixels belong to the object (``exclude``)."""
    none = np.zeros(len(runs.row), dtype=np.int64)
    return Pairs(runs, none, none, np.zeros(len(runs), dtype=np.int64))


def pairs_of_masked_crops(objects: ObjectIndex, patch_size: int) -> Pairs:
    """All pairs of each object's masked crop (``include``).

    Parameters
    ----------
    objects : ObjectIndex
    patch_size : int
        Side of the box, pixels.
    """
    runs, owner = objects.runs, objects.runs.owner
    top, left = box_start(objects.centroids, patch_size).T
    row_in_box = runs.row - top[owner]
    start = np.maximum(runs.start, left[owner])
    stop = np.minimum(runs.stop, left[owner] + patch_size)
    inside = (row_in_box >= 0) & (row_in_box < patch_size) & (start < stop)

    first = np.zeros(len(objects) + 1, dtype=np.int64)
    np.cumsum(np.bincount(owner[inside], minlength=len(objects)), out=first[1:])
    owner, start, stop = owner[inside], start[inside], stop[inside]
    clipped = Runs(first, runs.row[inside], start, stop)
    before = (start > left[owner]).astype(np.int64)
    after = (stop < left[owner] + patch_size).astype(np.int64)
    seen = clipped.sum(stop - start - 1 + before + after)
    return Pairs(clipped, before, after, patch_size * (patch_size - 1) - seen)


def measure_texture(image: NDArray, pairs: Pairs) -> FloatArray:
    """Measure all objects in all channels.

    Parameters
    ----------
    image : (C, H, W) uint8, uint16, float32 or float64, C-contiguous, finite
    pairs : Pairs

    Returns
    -------
    (N, C, 6) float64
        In the order of `FEATURES`.
    """
    runs = pairs.runs
    out = np.empty((len(runs), len(image), len(FEATURES)))
    most = runs.sum(runs.stop - runs.start + 1).max(initial=0)
    _texture(
        image,
        runs.first,
        runs.row,
        runs.start,
        runs.stop,
        pairs.before,
        pairs.after,
        pairs.background,
        np.empty(most, dtype=np.uint16),
        out,
    )
    return out


@compiled
def _texture(
    image: NDArray,
    first: IntArray,
    row: IntArray,
    start: IntArray,
    stop: IntArray,
    before: IntArray,
    after: IntArray,
    background: IntArray,
    codes: NDArray,
    out: FloatArray,
) -> None:
    counts = np.zeros(LEVELS * LEVELS, dtype=np.int32)
    for c in range(image.shape[0]):
        for k in range(out.shape[0]):
            runs = slice(first[k], first[k + 1])
            n = _pair_codes(
                image[c], row[runs], start[runs], stop[runs], before[runs], after[runs], codes
            )
            _properties(codes[:n], background[k], counts, out[k, c])


@compiled
def _pair_codes(
    plane: NDArray,
    row: IntArray,
    start: IntArray,
    stop: IntArray,
    before: IntArray,
    after: IntArray,
    codes: NDArray,
) -> int:
    """Write ``256 i + j`` for every pair (i, j) of grey levels of one object; give their number."""
    if len(row) == 0:
        return 0
    brightest = plane[row[0], start[0]]
    for j in range(len(row)):
        line = plane[row[j], start[j] : stop[j]]
        for x in range(len(line)):
            brightest = line[x] if line[x] > brightest else brightest
    peak = np.float64(brightest) if brightest > 0 else np.inf
    n = 0
    for j in range(len(row)):
        grey = _grey(plane[row[j], start[j]], peak)
        if before[j]:
            codes[n] = grey
            n += 1
        for x in range(start[j] + 1, stop[j]):
            right = _grey(plane[row[j], x], peak)
            codes[n] = grey * LEVELS + right
            n += 1
            grey = right
        if after[j]:
            codes[n] = grey * LEVELS
            n += 1
    return n


@compiled
def _grey(value: float, peak: float) -> int:
    return int(max(255.0 * np.float64(value) / peak, 0.0))


@compiled
def _properties(codes: NDArray, background: int, counts: NDArray, out: FloatArray) -> None:
    """Features of one object's pairs; `counts` is all 0 before and after."""
    pairs = len(codes) + background
    if pairs == 0:
        out[:] = 0.0
        out[4] = 1.0
        return
    counts[0] = background
    gaps = np.zeros(LEVELS, dtype=np.int64)
    gaps[0] = background
    squared_counts = background * background
    sum_i = sum_j = sum_ii = sum_jj = 0
    for code in codes:
        # (n + 1)^2 - n^2
        squared_counts += 2 * int(counts[code]) + 1
        counts[code] += 1
        i, j = int(code) >> 8, int(code) & 255
        gaps[abs(i - j)] += 1
        sum_i += i
        sum_j += j
        sum_ii += i * i
        sum_jj += j * j
    counts[0] = 0
    for code in codes:
        counts[code] = 0

    contrast = dissimilarity = 0
    homogeneity = 0.0
    for gap in range(LEVELS):
        contrast += gaps[gap] * gap * gap
        dissimilarity += gaps[gap] * gap
        homogeneity += gaps[gap] / (1.0 + gap * gap)
    asm = squared_counts / (np.float64(pairs) * np.float64(pairs))
    out[0] = contrast / pairs
    out[1] = dissimilarity / pairs
    out[2] = homogeneity / pairs
    out[3] = np.sqrt(asm)
    # sum (i - j)^2 = sum i^2 + sum j^2 - 2 sum ij
    out[4] = _correlation(pairs, sum_i, sum_j, sum_ii, sum_jj, (sum_ii + sum_jj - contrast) // 2)
    out[5] = asm


@compiled
def _correlation(n: int, sum_i: int, sum_j: int, sum_ii: int, sum_jj: int, sum_ij: int) -> float:
    # Sums about the rounded-down means are exact integers: a side that does not vary gives
    # exactly 0, and nothing overflows or cancels.
    a, b = sum_i // n, sum_j // n
    rest_i, rest_j = sum_i - n * a, sum_j - n * b
    square_i = sum_ii - 2 * a * sum_i + n * a * a
    square_j = sum_jj - 2 * b * sum_j + n * b * b
    product = sum_ij - a * sum_j - b * sum_i + n * a * b
    if square_i == 0 or square_j == 0:
        return 1.0
    variance_i = square_i - rest_i / n * rest_i
    variance_j = square_j - rest_j / n * rest_j
    return float((product - rest_i / n * rest_j) / np.sqrt(variance_i * variance_j))
