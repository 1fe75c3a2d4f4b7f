"""Texture that hardly depends on exposure, size, offset or a single bad pixel.

The published texture (`nucprof.core.features.texture`) divides the range from 0 to the brightest
pixel into 256 levels. So a brighter background, a shorter exposure or one hot pixel changes every
value, and 500 pixels in 65,536 possible pairs of levels make energy a measure of size. Here every
object, or patch, is prepared by itself before its pairs are counted:

1. A pixel brighter than all its neighbours takes the value of the brightest one, and a pixel darker
   than all of them that of the darkest one (conservative smoothing): no hot or dead pixels remain.
2. A binomial filter of variance 1 pixel (1, 4, 6, 4, 1 in both directions) removes most of the
   noise. Pixels outside the object have no weight.
3. The range of the object is divided into 1024 steps, and that from its 1st to its 99th percentile,
   in steps, into 32 levels; what lies outside gets the first or the last level.

Pairs are a pixel and its right-hand neighbour, both within the object (distance 1, angle 0, not
symmetric). Contrast, dissimilarity, homogeneity and correlation are those of
`skimage.feature.graycoprops`, with the conventions of `nucprof.core.features.texture`. ASM is the
chance that two *different* pairs are alike, ``sum n_ij (n_ij - 1) / (n (n - 1))`` (Simpson 1949,
https://doi.org/10.1038/163688a0); graycoprops' ``sum (n_ij / n)^2`` estimates the same chance, too
high by the more the smaller the object is. Energy is the square root of ASM.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucprof.core.features._compile import compiled
from nucprof.core.labels import FloatArray, IntArray, Runs

FEATURES = tuple(
    f"{name}Robust"
    for name in ("Contrast", "Dissimilarity", "Homogeneity", "Energy", "Correlation", "ASM")
)
STEPS = 1024
LEVELS = 32
LEVEL_BITS = 5
#: Width of the frame around an object's box: what the filters reach beyond it.
FRAME = 2


def measure_robust_texture(image: NDArray, runs: Runs) -> FloatArray:
    """Measure all objects in all channels.

    Parameters
    ----------
    image : (C, H, W) uint8, uint16, float32 or float64, C-contiguous, finite
    runs : Runs
        The pixels of every object; every object has at least one.

    Returns
    -------
    (N, C, 6) float64
        In the order of `FEATURES`.
    """
    out = np.empty((len(runs), len(image), len(FEATURES)))
    _textures(image, runs.first, runs.row, runs.start, runs.stop, out)
    return out


@compiled
def _textures(
    image: NDArray,
    first: IntArray,
    row: IntArray,
    start: IntArray,
    stop: IntArray,
    out: FloatArray,
) -> None:
    room = widest = 0
    for k in range(out.shape[0]):
        runs = slice(first[k], first[k + 1])
        height, width, _ = _frame(row[runs], start[runs], stop[runs])
        room, widest = max(room, height * width), max(widest, width)
    values, smooth = np.empty(room), np.empty(room)
    across, per_weight = np.empty(room), np.empty(room)
    extremes = np.empty((2, widest))
    steps = np.empty(room, dtype=np.int32)
    histogram = np.zeros(STEPS, dtype=np.int64)
    level_of = np.empty(STEPS, dtype=np.int32)
    counts = np.zeros(LEVELS * LEVELS, dtype=np.int64)
    for k in range(out.shape[0]):
        runs = slice(first[k], first[k + 1])
        height, width, left = _frame(row[runs], start[runs], stop[runs])
        # from here on, positions are those within the box and its frame
        y, begin, end = row[runs] - row[first[k]] + FRAME, start[runs] - left, stop[runs] - left
        size, shape = height * width, (height, width)
        v, s = values[:size].reshape(shape), smooth[:size].reshape(shape)
        a, w = across[:size].reshape(shape), per_weight[:size].reshape(shape)
        t = steps[:size].reshape(shape)
        _weigh(y, begin, end, s, a, w)
        v[:, :] = np.nan
        for channel in range(image.shape[0]):
            for j in range(len(y)):
                line = image[channel, row[first[k] + j], begin[j] + left : end[j] + left]
                v[y[j], begin[j] : end[j]] = line
            _despeckle(v, s)
            _smooth(s, a, s)
            pixels = _divide_into_steps(s, w, y, begin, end, t, histogram, extremes)
            _choose_levels(histogram, pixels, level_of)
            _count_pairs(t, level_of, y, begin, end, counts)
            _properties(counts, out[k, channel])


@compiled
def _weigh(
    y: IntArray,
    begin: IntArray,
    end: IntArray,
    mask: FloatArray,
    across: FloatArray,
    per_weight: FloatArray,
) -> None:
    """One over the filter's weight within the object, at every pixel that it reaches."""
    mask[:, :] = 0.0
    for j in range(len(y)):
        mask[y[j], begin[j] : end[j]] = 1.0
    _smooth(mask, across, per_weight)
    height, width = mask.shape
    for i in range(FRAME, height - FRAME):
        line = per_weight[i]
        for x in range(FRAME, width - FRAME):
            line[x] = 1.0 / line[x] if line[x] > 0.0 else 0.0


@compiled
def _frame(row: IntArray, start: IntArray, stop: IntArray) -> tuple[int, int, int]:
    """Height, width and left end of an object's box with its frame."""
    left, right = start[0], stop[0]
    for j in range(len(row)):
        left, right = min(left, start[j]), max(right, stop[j])
    return row[-1] - row[0] + 1 + 2 * FRAME, right - left + 2 * FRAME, left - FRAME


@compiled
def _despeckle(v: FloatArray, out: FloatArray) -> None:
    """Limit every pixel to the range of its neighbours; NaN is outside and becomes 0."""
    height, width = v.shape
    for y in range(1, height - 1):
        above, here, below, line = v[y - 1], v[y], v[y + 1], out[y]
        for x in range(width - 2):
            # a comparison with NaN is false: what is outside takes no part
            low, high = np.inf, -np.inf
            for value in (
                above[x], above[x + 1], above[x + 2],
                here[x], here[x + 2],
                below[x], below[x + 1], below[x + 2],
            ):  # fmt: skip
                low = value if value < low else low
                high = value if value > high else high
            own = here[x + 1]
            if low <= high:
                own = low if own < low else own
                own = high if own > high else own
            line[x + 1] = own if own == own else 0.0


@compiled
def _smooth(v: FloatArray, across: FloatArray, out: FloatArray) -> None:
    """Binomial filter; the frame stays 0. `out` may be `v`."""
    height, width = v.shape
    for y in range(height):
        line, target = v[y], across[y]
        for x in range(width - 4):
            target[x] = (
                line[x] + 4.0 * line[x + 1] + 6.0 * line[x + 2] + 4.0 * line[x + 3] + line[x + 4]
            ) * 0.0625
    for y in range(2, height - 2):
        a, b, c, d, e = across[y - 2], across[y - 1], across[y], across[y + 1], across[y + 2]
        target = out[y]
        for x in range(width - 4):
            target[x + 2] = (a[x] + 4.0 * b[x] + 6.0 * c[x] + 4.0 * d[x] + e[x]) * 0.0625


@compiled
def _divide_into_steps(
    smooth: FloatArray,
    per_weight: FloatArray,
    y: IntArray,
    begin: IntArray,
    end: IntArray,
    steps: NDArray,
    histogram: IntArray,
    extremes: FloatArray,
) -> int:
    """Write every pixel's step, and the histogram of steps; give the number of pixels."""
    # The extremes of every column first: as a chain over all pixels they would take longer.
    least, most = extremes[0, : smooth.shape[1]], extremes[1, : smooth.shape[1]]
    least[:] = np.inf
    most[:] = -np.inf
    for j in range(len(y)):
        part = slice(begin[j], end[j])
        line, share = smooth[y[j], part], per_weight[y[j], part]
        low_here, high_here = least[part], most[part]
        for x in range(len(line)):
            value = line[x] * share[x]
            line[x] = value
            low_here[x] = value if value < low_here[x] else low_here[x]
            high_here[x] = value if value > high_here[x] else high_here[x]
    low, high = least.min(), most.max()
    per_grey_level = STEPS / (high - low) if high > low else 0.0
    pixels = 0
    for j in range(len(y)):
        line, target = smooth[y[j], begin[j] : end[j]], steps[y[j], begin[j] : end[j]]
        for x in range(len(line)):
            step = (line[x] - low) * per_grey_level
            target[x] = np.int32(step if step < STEPS - 1.0 else STEPS - 1.0)
        for x in range(len(line)):
            histogram[target[x]] += 1
        pixels += len(line)
    return pixels


@compiled
def _choose_levels(histogram: IntArray, pixels: int, level_of: NDArray) -> None:
    """Level of every step, from the 1st to the 99th percentile; empties the histogram.

    The percentiles are rounded inwards, so that both ends lose at least one pixel of three.
    """
    first = int(np.ceil(0.01 * (pixels - 1)))
    last = int(np.floor(0.99 * (pixels - 1)))
    first, last = min(first, last), max(first, last)
    low = high = -1
    below = 0
    for step in range(STEPS):
        below += histogram[step]
        histogram[step] = 0
        if low < 0 and below > first:
            low = step
        if high < 0 and below > last:
            high = step
    span = np.float64(high - low + 1)
    for step in range(STEPS):
        # a division of whole numbers that comes out even is exact
        level = LEVELS * np.float64(step - low) / span
        level_of[step] = np.int32(min(max(level, 0.0), LEVELS - 1.0))


@compiled
def _count_pairs(
    steps: NDArray,
    level_of: NDArray,
    y: IntArray,
    begin: IntArray,
    end: IntArray,
    counts: IntArray,
) -> None:
    """Add one at ``32 i + j`` for every pair (i, j) of levels."""
    for j in range(len(y)):
        line = steps[y[j], begin[j] : end[j]]
        left = level_of[line[0]]
        for x in range(1, len(line)):
            right = level_of[line[x]]
            counts[left << LEVEL_BITS | right] += 1
            left = right


@compiled
def _properties(counts: IntArray, out: FloatArray) -> None:
    """Features of one table of pairs, which is emptied."""
    pairs = squares = contrast = dissimilarity = 0
    sum_i = sum_j = sum_ii = sum_jj = sum_ij = 0
    homogeneity = 0.0
    for i in range(LEVELS):
        for j in range(LEVELS):
            n = counts[i << LEVEL_BITS | j]
            if n == 0:
                continue
            counts[i << LEVEL_BITS | j] = 0
            gap = abs(i - j)
            pairs += n
            squares += n * (n - 1)
            contrast += n * gap * gap
            dissimilarity += n * gap
            homogeneity += n / (1.0 + gap * gap)
            sum_i += n * i
            sum_j += n * j
            sum_ii += n * i * i
            sum_jj += n * j * j
            sum_ij += n * i * j
    if pairs == 0:
        out[:] = 0.0
        out[4] = 1.0
        return
    out[0] = contrast / pairs
    out[1] = dissimilarity / pairs
    out[2] = homogeneity / pairs
    # two pairs cannot be alike where there is one: it is like itself, as graycoprops has it
    out[5] = squares / (pairs * (pairs - 1.0)) if pairs > 1 else 1.0
    out[3] = np.sqrt(out[5])
    # whole numbers: a side that does not vary gives exactly 0
    square_i, square_j = pairs * sum_ii - sum_i * sum_i, pairs * sum_jj - sum_j * sum_j
    out[4] = 1.0
    if square_i > 0 and square_j > 0:
        product = np.float64(pairs * sum_ij - sum_i * sum_j)
        out[4] = product / (np.sqrt(np.float64(square_i)) * np.sqrt(np.float64(square_j)))
