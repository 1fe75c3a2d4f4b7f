"""Crops: one box of fixed size around each cell, cut by slices.

A box always has its full size and its cell in the middle; what lies beyond the image is 0 and
the crop is flagged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nucprof.errors import DataError, FieldError


def box_start(centroids: ArrayLike, size: int) -> NDArray[np.int64]:
    """Top left pixel of the box around each centroid: ``floor(c + 0.5) - size // 2``.

    Halves are rounded up, not to the even neighbour, so that moving a cell by whole pixels moves
    its box by as many, wherever it lies.

    Parameters
    ----------
    centroids : (N, 2) float
        (y, x), pixels.
    size : int
        Side of the box, pixels.

    Returns
    -------
    (N, 2) int64
        (y, x); negative where the box reaches beyond the image.
    """
    points = np.asarray(centroids, dtype=np.float64).reshape(-1, 2)
    start: NDArray[np.int64] = np.floor(points + 0.5).astype(np.int64) - size // 2
    return start


def extract_crops(
    image: NDArray,
    labels: NDArray | None,
    ids: ArrayLike,
    centroids: ArrayLike,
    size: int,
    *,
    masked: bool,
) -> tuple[NDArray, NDArray[np.bool_]]:
    """Cut one box per cell.

    Parameters
    ----------
    image : (C, H, W)
        Any dtype.
    labels : (H, W) integer or None
        Only needed where `masked`.
    ids : (N,) integer
        The cells' labels.
    centroids : (N, 2) float
        The cells' centres (y, x), pixels.
    size : int
        Side of a crop, pixels.
    masked : bool
        Set everything outside the cell's own label to 0.

    Returns
    -------
    crops : (N, C, size, size), dtype of `image`
    padded : (N,) bool
        The box reached beyond the image.

    Raises
    ------
    FieldError
        Image, labels, ids and centroids do not belong together, or a centre lies so far outside the
        image that its box holds no pixel of it.
    DataError
        The size is not positive, or masked crops are asked for without labels.
    """
    names = np.asarray(ids)
    start = box_start(centroids, size)
    _check(image, labels, names, start, size, masked)
    channels, height, width = image.shape
    stop = start + size
    first, last = np.maximum(start, 0), np.minimum(stop, (height, width))
    if (first >= last).any():
        lost = int(np.flatnonzero((first >= last).any(axis=1))[0])
        raise FieldError(
            f"the box of cell {names[lost]} starts at {tuple(start[lost].tolist())}, outside its "
            f"image ({height} x {width}): the mask belongs to another image"
        )
    padded = np.any((start < 0) | (stop > (height, width)), axis=1)
    crops = np.zeros((len(start), channels, size, size), dtype=image.dtype)
    boxes = np.concatenate((first, last, first - start, last - start), axis=1).tolist()
    for crop, label, box in zip(crops, names.tolist(), boxes, strict=True):
        top, left, bottom, right, to_top, to_left, to_bottom, to_right = box
        target = crop[:, to_top:to_bottom, to_left:to_right]
        target[...] = image[:, top:bottom, left:right]
        if masked:
            assert labels is not None
            target *= labels[top:bottom, left:right] == label
    return crops, np.asarray(padded)


def _check(
    image: NDArray,
    labels: NDArray | None,
    ids: NDArray,
    start: NDArray,
    size: int,
    masked: bool,
) -> None:
    if size < 1:
        raise DataError(f"crops of {size} px cannot be cut: set crop.patch_size to 1 or more")
    if masked and labels is None:
        raise DataError("masked crops need the label image that the cells were measured on")
    if image.ndim != 3:
        raise FieldError(f"crops are cut from (C, H, W), but the image is {image.shape}")
    if labels is not None and labels.shape != image.shape[1:]:
        raise FieldError(f"the mask is {labels.shape}, but its image is {image.shape[1:]}")
    if len(start) != len(ids):
        raise FieldError(f"{len(ids)} ids, but {len(start)} centroids")


def resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """Nearest neighbour to `size` x `size`, the shorter side padded as the crop's was."""
    side = max(mask.shape)
    missing = [side - n for n in mask.shape]
    square = np.pad(mask, [(gap // 2, gap - gap // 2) for gap in missing])
    rows = np.minimum(((np.arange(size) + 0.5) * side / size).astype(int), side - 1)
    return np.asarray(square[np.ix_(rows, rows)], dtype=bool)
