"""Correlation of channels within objects: whether two stains lie in the same places.

A protein that moves between nucleus and cytoplasm changes its correlation with the nuclear stain in
the patch around a nucleus, whatever its brightness: CellProfiler's ``Correlation_Correlation``.
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
    mean = np.empty(channels)
    products = np.empty((channels, channels))
    value = np.empty(channels)
    for k in range(out.shape[0]):
        pixels = 0
        mean[:] = 0.0
        for j in range(first[k], first[k + 1]):
            pixels += stop[j] - start[j]
            for c in range(channels):
                for x in range(start[j], stop[j]):
                    mean[c] += np.float64(image[c, row[j], x])
        mean /= pixels
        products[:] = 0.0
        # A second pass, as sums of products minus products of sums would cancel.
        for j in range(first[k], first[k + 1]):
            for x in range(start[j], stop[j]):
                for c in range(channels):
                    value[c] = np.float64(image[c, row[j], x]) - mean[c]
                    for d in range(c + 1):
                        products[c, d] += value[c] * value[d]
        pair = 0
        for c in range(channels):
            for d in range(c + 1, channels):
                spread = np.sqrt(products[c, c]) * np.sqrt(products[d, d])
                if spread > 0.0:
                    out[k, pair] = min(1.0, max(-1.0, products[d, c] / spread))
                pair += 1
