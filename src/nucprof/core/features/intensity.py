"""Intensity of objects: mean, extremes and spread of their pixels, per channel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucprof.core.features._compile import compiled
from nucprof.core.labels import FloatArray, IntArray, Runs

FEATURES = ("MeanIntensity", "MaxIntensity", "MinIntensity", "StdIntensity")


def measure_intensity(image: NDArray, runs: Runs) -> FloatArray:
    """Measure all objects in all channels.

    Equals ``intensity_mean``, ``intensity_max``, ``intensity_min`` and ``intensity_std`` (ddof 0)
    of `skimage.measure.regionprops` on the image as float64.

    Parameters
    ----------
    image : (C, H, W) uint8, uint16, float32 or float64, C-contiguous, finite
    runs : Runs
        The pixels of every object; every object has at least one.

    Returns
    -------
    (N, C, 4) float64
        In the order of `FEATURES`.
    """
    out = np.empty((len(runs), len(image), len(FEATURES)))
    _intensity(image, runs.first, runs.row, runs.start, runs.stop, out)
    return out


@compiled
def _intensity(
    image: NDArray,
    first: IntArray,
    row: IntArray,
    start: IntArray,
    stop: IntArray,
    out: FloatArray,
) -> None:
    longest = 0
    for j in range(len(row)):
        longest = max(longest, stop[j] - start[j])
    # Sums and extremes are taken column by column of the runs: one sum over all pixels would be a
    # chain of additions, each of which waits for the one before.
    sums, lows, highs = np.empty(longest), np.empty(longest), np.empty(longest)
    for c in range(image.shape[0]):
        for k in range(out.shape[0]):
            pixels = widest = 0
            sums[:] = 0.0
            lows[:] = np.inf
            highs[:] = -np.inf
            for j in range(first[k], first[k + 1]):
                line = image[c, row[j], start[j] : stop[j]]
                pixels += len(line)
                widest = max(widest, len(line))
                for x in range(len(line)):
                    value = np.float64(line[x])
                    sums[x] += value
                    lows[x] = value if value < lows[x] else lows[x]
                    highs[x] = value if value > highs[x] else highs[x]
            mean = sums[:widest].sum() / pixels
            # A second pass, as the difference of two sums of squares would cancel for a bright,
            # even object.
            sums[:] = 0.0
            for j in range(first[k], first[k + 1]):
                line = image[c, row[j], start[j] : stop[j]]
                for x in range(len(line)):
                    deviation = np.float64(line[x]) - mean
                    sums[x] += deviation * deviation
            out[k, c, 0] = mean
            out[k, c, 1] = highs[:widest].max()
            out[k, c, 2] = lows[:widest].min()
            out[k, c, 3] = np.sqrt(sums[:widest].sum() / pixels)
