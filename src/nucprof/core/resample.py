"""Images brought to another pixel size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi


def resample(image: NDArray, zoom: float) -> NDArray:
    """Enlarge or reduce an image ``(C, H, W)`` by ``zoom``, grey levels kept.

    Linear interpolation between pixel centres: the point (y, x) of the image lies at
    ``zoom * (y + 0.5) - 0.5`` of the result, and likewise in x, exactly, as only whole pixels that
    the image covers are made. Before a reduction the image is smoothed (sigma ``(1/zoom - 1)/2``)
    so that nothing aliases.

    Returns
    -------
    (C, floor(zoom * H), floor(zoom * W))
        In the dtype of the image.

    Raises
    ------
    ValueError
        ``zoom`` is not positive, or leaves no pixel.
    """
    size = tuple(int(zoom * side + 1e-9) for side in image.shape[1:]) if zoom > 0 else (0, 0)
    if 0 in size:
        raise ValueError(f"an image of {image.shape[1:]} cannot be resampled by {zoom}")
    resampled = np.empty((len(image), *size), np.float32)
    for plane, target in zip(image.astype(np.float32), resampled, strict=True):
        smooth = ndi.gaussian_filter(plane, (1 / zoom - 1) / 2) if zoom < 1 else plane
        ndi.affine_transform(
            smooth,
            [1 / zoom, 1 / zoom],
            offset=0.5 / zoom - 0.5,
            output_shape=size,
            output=target,
            order=1,
            mode="nearest",
        )
    if image.dtype.kind == "f":
        return resampled.astype(image.dtype)
    limits = np.iinfo(image.dtype)
    return np.clip(np.rint(resampled), limits.min, limits.max).astype(image.dtype)
