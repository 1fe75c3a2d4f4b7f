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
    for c in range(image.shape[0]):
        for k in range(out.shape[0]):
            pixels = 0
            total = 0.0
            low = high = np.float64(image[c, row[first[k]], start[first[k]]])
            for j in range(first[k], first[k + 1]):
                pixels += stop[j] - start[j]
                for x in range(start[j], stop[j]):
                    value = np.float64(image[c, row[j], x])
                    total += value
                    low = min(low, value)
                    high = max(high, value)
            mean = total / pixels
            # A second pass, as the difference of two sums of squares would cancel for a bright,
            # even object.
            squares = 0.0
            for j in range(first[k], first[k + 1]):
                for x in range(start[j], stop[j]):
                    deviation = np.float64(image[c, row[j], x]) - mean
                    squares += deviation * deviation
            out[k, c, 0] = mean
            out[k, c, 1] = high
            out[k, c, 2] = low
            out[k, c, 3] = np.sqrt(squares / pixels)
