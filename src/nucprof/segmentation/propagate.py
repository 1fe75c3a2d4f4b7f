"""Whole cells without a network: each grown from its nucleus.

The idea of seeded "secondary objects" (Jones, Carpenter and Golland 2005, as in CellProfiler): the
stained area is shared out among the nuclei so that borders between cells lie on edges of the
stain, and half-way where there is none. Here by a watershed on the stain's slope.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from nucprof.errors import DataError, FieldError

#: Levels of the cost: enough that a step of one level is below the noise.
COST_LEVELS = 64
#: What a pixel of distance from the nucleus costs, in these levels.
LEVELS_PER_PX = 3.0


def propagate_cells(
    nuclei: NDArray,
    plane: NDArray,
    *,
    max_reach_px: float,
    threshold: float | None = None,
) -> NDArray:
    """Grow cells from nuclei over the stained area.

    Parameters
    ----------
    nuclei : (H, W) integer
        Labels, gaps allowed.
    plane : (H, W)
        A stain of the whole cell, any real dtype.
    max_reach_px : float
        Cells end at this distance from the nearest nucleus, pixels.
    threshold : float, optional
        Pixels of the smoothed plane at or below it are background, in the plane's grey levels;
        default Otsu's on the logarithm, which leaves thin, dim cell bodies in.

    Returns
    -------
    (H, W), dtype of `nuclei`
        Each cell under its nucleus's label; a nucleus is always part of its cell, also where the
        plane is dark.

    Raises
    ------
    FieldError
        The shapes differ.
    DataError
        `max_reach_px` is negative.
    """
    if nuclei.shape != plane.shape:
        raise FieldError(f"the nuclei are {nuclei.shape}, but the cell stain is {plane.shape}")
    if max_reach_px < 0:
        raise DataError(f"segment.max_reach_px must not be negative, got {max_reach_px}")
    names, position = np.unique(nuclei, return_inverse=True)
    seeds = position.reshape(nuclei.shape).astype(np.int32)
    if names.size and names[0] > 0:  # nuclei without any background
        return nuclei.copy()
    smooth = ndi.gaussian_filter(plane.astype(np.float32), 1.0)
    near = ndi.distance_transform_edt(seeds == 0) <= max_reach_px
    area = (near & (smooth > _background(smooth, threshold))) | (seeds > 0)
    # Without distance in the cost, a cell whose own nucleus is edged by the stain is flooded by its
    # neighbour before it has left the nucleus.
    grown = watershed(_cost(smooth), seeds, mask=area, compactness=LEVELS_PER_PX)
    return np.asarray(names[grown])


def _background(smooth: NDArray, threshold: float | None) -> float:
    """Highest grey level that is background."""
    if threshold is not None:
        return threshold
    low, high = np.percentile(smooth[::2, ::2], (0.5, 99.5))
    if high <= low:
        return float(high)
    # An offset of some percent of the range keeps the logarithm from spreading the camera's noise.
    floor = low - 0.05 * (high - low)
    logarithm = np.log(np.clip(smooth[::2, ::2], low, high) - floor)
    return float(np.exp(threshold_otsu(logarithm)) + floor)


def _cost(smooth: NDArray) -> NDArray[np.uint8]:
    """Flooding height: steep where the intensity changes, in few levels, so distance counts too."""
    slope = ndi.gaussian_gradient_magnitude(smooth, 1.0)
    top = float(np.percentile(slope[::2, ::2], 99.5))
    if top <= 0:
        return np.zeros(smooth.shape, np.uint8)
    level: NDArray[np.uint8] = (np.minimum(slope / top, 1) * COST_LEVELS).astype(np.uint8)
    return level
