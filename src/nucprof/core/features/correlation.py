"""Correlation of channels within objects: whether two stains are at the same places.

A protein that moves between nucleus and cytoplasm changes its correlation with the nuclear stain in
the patch around a nucleus, at any brightness: CellProfiler's ``Correlation_Correlation``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from nucprof.core.features._compile import compiled
from nucprof.core.labels import FloatArray, IntArray, Runs

FEATURE = "Correlation"


def channel_pairs(channels: Sequence[str]) -> list[tuple[str, str]]:
    """Every pair of channels once, in the channels' order."""
    return list(combinations(channels, 2))


def measure_correlation(image: NDArray, runs: Runs) -> FloatArray:
    """Correlate every pair of channels over the pixels of every object.

    Equals Pearson's coefficient (`numpy.corrcoef`) on the object's pixels as float64.

    Parameters
    ----------
    image : (C, H, W) uint8, uint16, float32 or float64, C-contiguous, finite
    runs : Runs
        The pixels of every object; every object has at least one.

    Returns
    -------
    (N, C * (C - 1) / 2) float64
        In the order of `channel_pairs`; 0 where one of the channels does not vary.
    """
    count = len(image)
    out = np.zeros((len(runs), count * (count - 1) // 2))
    if out.shape[1]:
        _correlation(image, runs.first, runs.row, runs.start, runs.stop, out)
    return out


@compiled
def _correlation(
    image: NDArray,
    first: IntArray,
    row: IntArray,
    start: IntArray,
    stop: IntArray,
    out: FloatArray,
) -> None:
    channels = image.shape[0]
    longest = 0
    for j in range(len(row)):
        longest = max(longest, stop[j] - start[j])
    mean = np.empty(channels)
    deviation = np.empty((channels, longest))
    # Products are added up column by column of the runs: one sum over all pixels would be a chain
    # of additions, each of which waits for the one before.
    columns = np.zeros((channels, channels, longest))
    products = np.empty((channels, channels))
    for k in range(out.shape[0]):
        pixels = widest = 0
        mean[:] = 0.0
        for j in range(first[k], first[k + 1]):
            length = stop[j] - start[j]
            pixels += length
            widest = max(widest, length)
            for c in range(channels):
                line, sums = image[c, row[j], start[j] : stop[j]], columns[c, 0]
                for x in range(length):
                    sums[x] += np.float64(line[x])
        for c in range(channels):
            mean[c] = columns[c, 0, :widest].sum() / pixels
            columns[c, 0, :widest] = 0.0
        # A second pass, as sums of products minus products of sums would cancel.
        for j in range(first[k], first[k + 1]):
            length = stop[j] - start[j]
            for c in range(channels):
                line, own = image[c, row[j], start[j] : stop[j]], deviation[c]
                for x in range(length):
                    own[x] = np.float64(line[x]) - mean[c]
                for d in range(c + 1):
                    other, sums = deviation[d], columns[c, d]
                    for x in range(length):
                        sums[x] += own[x] * other[x]
        for c in range(channels):
            for d in range(c + 1):
                products[c, d] = columns[c, d, :widest].sum()
                columns[c, d, :widest] = 0.0
        pair = 0
        for c in range(channels):
            for d in range(c + 1, channels):
                spread = np.sqrt(products[c, c]) * np.sqrt(products[d, d])
                if spread > 0.0:
                    out[k, pair] = min(1.0, max(-1.0, products[d, c] / spread))
                pair += 1
