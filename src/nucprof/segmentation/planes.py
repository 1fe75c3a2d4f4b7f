"""From the channels of a field to the planes that a backend sees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from nucprof.core.normalize import percentile_normalize


def split_planes(image: NDArray, mode: str) -> tuple[NDArray, NDArray | None]:
    """Make the nuclear plane and, for cells, the cytoplasm plane of a field.

    Parameters
    ----------
    image : (C, H, W)
        The channels chosen. In cell mode the nuclear one is the first.
    mode : str
        ``nuclei`` or ``cells``.

    Returns
    -------
    nuclei : (H, W)
        The channel itself; for nuclei on several channels, these combined.
    cyto : (H, W) float32 or None
        In cell mode the other channels combined; the nuclear one where there is no other.
    """
    if mode == "cells":
        return image[0], combine_channels(image[1:] if len(image) > 1 else image)
    return (image[0] if len(image) == 1 else combine_channels(image)), None


def combine_channels(image: NDArray) -> NDArray[np.float32]:
    """Average channels ``(C, H, W)``, each after a median filter.

    Every channel counts alike: its percentiles 1 and 99 become 0 and 1 before the average. The idea
    is that of De Beuckeleer et al., eLife 95273 (2025).

    Returns
    -------
    (H, W) float32
    """
    scaled = [percentile_normalize(ndi.median_filter(plane, 3), 1, 99) for plane in image]
    average: NDArray[np.float32] = np.mean(scaled, axis=0, dtype=np.float32)
    return average
