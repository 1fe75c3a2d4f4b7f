"""One patch per cell, cut around its centroid.

A box of side ``size`` around a centroid starts at ``box_start``; pixels beyond the image's edge are
0 and the crop is flagged, so that a crop always has its cell in the middle.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nucprof.errors import UserError


def box_start(centroids: npt.ArrayLike, size: int) -> npt.NDArray[np.int64]:
    """First pixel of the box around each centroid, along each axis.

    Parameters
    ----------
    centroids : (N, 2) float
        (y, x); a half is rounded to the even neighbour.
    size : int
        Side of the box, pixels.

    Returns
    -------
    (N, 2) int64
        ``round(centroid) - size // 2``; negative where the box begins outside the image.
    """
    centres = np.rint(np.asarray(centroids, dtype=np.float64)).astype(np.int64)
    return centres.reshape(-1, 2) - size // 2


def extract_crops(
    image: npt.NDArray[np.generic],
    labels: npt.NDArray[np.integer],
    ids: Sequence[int] | npt.NDArray[np.integer],
    centroids: npt.ArrayLike,
    size: int,
    *,
    masked: bool,
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_]]:
    """Cut the crop of every cell.

    Parameters
    ----------
    image : (C, H, W)
        Any dtype.
    labels : (H, W) integer
        The objects; read only where ``masked``.
    ids : (N,) int
        Label of each cell.
    centroids : (N, 2) float
        (y, x) of each cell.
    size : int
        Side of a crop, pixels.
    masked : bool
        Set pixels outside the cell's own label to 0.

    Returns
    -------
    crops : (N, C, size, size)
        In the image's dtype.
    padded : (N,) bool
        Whether part of the box lies outside the image.

    Raises
    ------
    UserError
        Image and labels differ in size.
    """
    if image.shape[1:] != labels.shape:
        raise UserError(f"The image is {image.shape[1:]} but its labels are {labels.shape}.")
    starts = box_start(centroids, size)
    height, width = labels.shape
    crops = np.zeros((len(starts), len(image), size, size), dtype=image.dtype)
    padded = (starts < 0).any(axis=1) | (starts + size > (height, width)).any(axis=1)
    for crop, label, (top, left) in zip(crops, np.asarray(ids), starts.tolist(), strict=True):
        rows = slice(max(top, 0), min(top + size, height))
        columns = slice(max(left, 0), min(left + size, width))
        inner = crop[
            :, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]
        inner[...] = image[:, rows, columns]
        if masked:
            inner[:, labels[rows, columns] != label] = 0
    return crops, padded
