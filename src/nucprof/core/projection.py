"""Projection of focal planes into one image."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

METHODS = ("max", "mean", "best_focus")
_BIN_PX, _FINE_PX = 2, 1.0  # otherwise the noise of single pixels outweighs dim edges


def project(planes: Iterable[NDArray], method: str) -> NDArray:
    """Project focal planes, read one after the other, into one image.

    Parameters
    ----------
    planes : iterable of (C, H, W)
        The focal planes, all of one shape and dtype; at least one.
    method : str
        ``max``: brightest value of every pixel. ``mean``: mean, rounded to the dtype of whole
        numbers. ``best_focus``: of every channel the plane with the highest :func:`sharpness`,
        the first one if several are equal.

    Returns
    -------
    (C, H, W)
        In the dtype of the planes.

    Raises
    ------
    ValueError
        The method is unknown, or there is no plane.
    """
    following = iter(planes)
    first = next(following, None)
    if first is None:
        raise ValueError("there is no focal plane to project")
    if method == "max":
        brightest = first.copy()
        for plane in following:
            np.maximum(brightest, plane, out=brightest)
        return brightest
    if method == "mean":
        total, count = first.astype(np.float64), 1
        for plane in following:
            total += plane
            count += 1
        mean = total / count
        return (mean if first.dtype.kind == "f" else np.rint(mean)).astype(first.dtype)
    if method == "best_focus":
        sharpest, best = first.copy(), [sharpness(channel) for channel in first]
        for plane in following:
            for index, channel in enumerate(plane):
                value = sharpness(channel)
                if value > best[index]:
                    best[index], sharpest[index] = value, channel
        return sharpest
    raise ValueError(f"unknown projection {method!r}; known are {', '.join(METHODS)}")


def sharpness(plane: NDArray) -> float:
    """Variance of the Laplacian of a plane ``(H, W)``, binned and smoothed a little.

    The variance of the Laplacian (Pech-Pacheco et al. 2000, doi:10.1109/ICPR.2000.903548) measures
    focus; binning and smoothing suppress the noise of the camera.
    """
    height, width = (side - side % _BIN_PX for side in plane.shape)
    blocks = plane[:height, :width].reshape(height // _BIN_PX, _BIN_PX, width // _BIN_PX, _BIN_PX)
    binned = blocks.mean(axis=(1, 3), dtype=np.float32)
    return float(ndi.laplace(ndi.gaussian_filter(binned, _FINE_PX)).var())
