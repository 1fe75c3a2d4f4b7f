"""Crops: one box of fixed size around each cell, cut by slices.

A box always has its full size and its cell in the middle, and is flagged where it reaches beyond
the image. There an unmasked crop repeats the image's edge: 0 would be darker than any pixel of a
camera with an offset. A masked crop is 0 outside its cell, within the image and beyond it. Only the
real pixels of a crop decide how it is normalised (:func:`real_boxes`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nucprof.errors import DataError, FieldError


def box_start(centroids: ArrayLike, size: int) -> NDArray[np.int64]:
    """Top left pixel of the box around each centroid: ``floor(c + 0.5) - size // 2``.

    Halves are rounded up, not to the even neighbour, so a cell that moves by whole pixels
    moves its box by the same number of pixels.

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


def real_boxes(centroids: ArrayLike, size: int, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Where each crop shows the image, in pixels of the crop.

    Parameters
    ----------
    centroids : (N, 2) float
        (y, x), pixels.
    size : int
        Side of the crops, pixels.
    shape : (H, W)
        Of the image, pixels.

    Returns
    -------
    (N, 4) int64
        top, left, bottom, right, the latter two exclusive: ``0, 0, size, size`` for a box inside
        the image. Empty (bottom <= top or right <= left) for a box outside it.
    """
    start = box_start(centroids, size)
    first = np.maximum(-start, 0)
    last = np.minimum(np.asarray(shape) - start, size)
    return np.concatenate((first, last), axis=1)


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
        Set everything outside the cell's label to 0. Otherwise pixels beyond the image repeat the
        nearest pixel.

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
    real = real_boxes(centroids, size, (height, width))
    outside = (real[:, :2] >= real[:, 2:]).any(axis=1)
    if outside.any():
        lost = int(np.flatnonzero(outside)[0])
        raise FieldError(
            f"the box of cell {names[lost]} starts at {tuple(start[lost].tolist())}, outside its "
            f"image ({height} x {width}): the mask belongs to another image"
        )
    padded = (real != (0, 0, size, size)).any(axis=1)
    crops = np.zeros((len(start), channels, size, size), dtype=image.dtype)
    places = zip(names.tolist(), start.tolist(), real.tolist(), padded.tolist(), strict=True)
    for crop, (label, (y, x), box, beyond) in zip(crops, places, strict=True):
        top, left, bottom, right = box
        rows, columns = slice(y + top, y + bottom), slice(x + left, x + right)
        target = crop[:, top:bottom, left:right]
        target[...] = image[:, rows, columns]
        if masked:
            assert labels is not None
            target *= labels[rows, columns] == label
        elif beyond:
            _repeat_edge(crop, box)
    return crops, np.asarray(padded)


def _repeat_edge(crop: NDArray, real: list[int]) -> None:
    """Fill what lies around the real part of a crop `(C, S, S)` with the nearest real pixel."""
    top, left, bottom, right = real
    crop[:, :top, left:right] = crop[:, top : top + 1, left:right]
    crop[:, bottom:, left:right] = crop[:, bottom - 1 : bottom, left:right]
    crop[:, :, :left] = crop[:, :, left : left + 1]
    crop[:, :, right:] = crop[:, :, right - 1 : right]


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
