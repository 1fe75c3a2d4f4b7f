"""Resample a round onto the Cell Painting frame, and mark where it has data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from nucprof.core.similarity import Similarity


def move_image(
    image: NDArray, similarity: Similarity, output_shape: tuple[int, ...], fill: float = 0
) -> tuple[NDArray, NDArray[np.bool_]]:
    """Resample a round onto the Cell Painting frame: ``out(p) = image(similarity(p))``.

    Uses one linear interpolation for any similarity; a translation is done by `shift_image`.

    Parameters
    ----------
    image : (C, H2, W2)
        Any dtype; integers are rounded to the nearest.
    similarity : Similarity
    output_shape : (int, int)
        Shape (H, W) of the Cell Painting frame.
    fill : float
        Value where there are no data.

    Returns
    -------
    aligned : (C, H, W), dtype of `image`
    valid : (H, W) bool
        Where there are data.
    """
    if similarity.is_translation:
        return shift_image(image, similarity.shift, output_shape, fill)
    valid = _inside(similarity, output_shape, image.shape[1:])
    aligned = np.full((len(image), *output_shape), fill, dtype=image.dtype)
    for source, target in zip(image, aligned, strict=True):
        plane = warp(source, similarity, output_shape)
        if image.dtype.kind != "f":
            np.rint(plane, out=plane)
        target[valid] = plane[valid]
    return aligned, valid


def warp(plane: NDArray, similarity: Similarity, output_shape: tuple[int, ...]) -> NDArray:
    """Interpolate one plane linearly at `similarity` of every pixel; beyond its edge, the edge."""
    return np.asarray(
        ndi.affine_transform(
            plane,
            similarity.matrix,
            similarity.offset,
            output_shape=tuple(output_shape),
            output=_exact(plane.dtype),
            order=1,
            mode="nearest",
        )
    )


def covered(similarity: Similarity, fixed: tuple[int, ...], moving: tuple[int, ...]) -> float:
    """Share of a fixed image of shape (H, W) where a moving one of shape (H2, W2) has data."""
    return float(_inside(similarity, fixed, moving).mean())


def _inside(
    similarity: Similarity, output_shape: tuple[int, ...], shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Where the similarity of a pixel lies within an image of `shape`: (H, W)."""
    matrix, offset = similarity.matrix, similarity.offset
    rows, columns = (np.arange(n, dtype=np.float64) for n in output_shape)
    inside = np.ones(tuple(output_shape), dtype=bool)
    for axis in range(2):
        at = (matrix[axis, 0] * rows + offset[axis])[:, None] + matrix[axis, 1] * columns
        inside &= (at >= 0) & (at <= shape[axis] - 1)
    return inside


def _exact(dtype: np.dtype) -> np.dtype:
    """Float type that holds an image's values: float32 has 24 bits, enough for 8- and 16-bit."""
    return dtype if dtype.kind == "f" else np.result_type(dtype, np.float32)


def valid_box(
    shift: tuple[float, float], fixed: tuple[int, ...], moving: tuple[int, ...]
) -> tuple[slice, slice]:
    """Rows and columns of the fixed frame that have data of the moving image.

    Parameters
    ----------
    shift : (float, float)
        (shift_y, shift_x), pixels; at a fraction of a pixel both neighbours must exist.
    fixed, moving : (int, int)
        Shapes (H, W) of the two images.
    """
    rows, columns = (
        slice(
            min(max(0, int(np.ceil(-d))), size),
            max(min(size, int(np.floor(other - 1 - d)) + 1), min(max(0, int(np.ceil(-d))), size)),
        )
        for d, size, other in zip(shift, fixed, moving, strict=True)
    )
    return rows, columns


def shift_image(
    image: NDArray, shift: tuple[float, float], output_shape: tuple[int, ...], fill: float = 0
) -> tuple[NDArray, NDArray[np.bool_]]:
    """Shift a ground-truth image onto the fixed frame: ``out(y, x) = image(y + sy, x + sx)``.

    A whole shift copies; a fraction of a pixel is interpolated linearly, which makes no value
    outside the range of its neighbours (splines ring) and preserves sums.

    Parameters
    ----------
    image : (C, H2, W2)
        Any dtype; integers are rounded to the nearest.
    shift : (float, float)
        (shift_y, shift_x), pixels.
    output_shape : (int, int)
        Shape (H, W) of the fixed frame.
    fill : float
        Value where there are no data.

    Returns
    -------
    aligned : (C, H, W), dtype of `image`
    valid : (H, W) bool
        Where there are data.
    """
    rows, columns = valid_box(shift, output_shape, image.shape[1:])
    aligned = np.full((len(image), *output_shape), fill, dtype=image.dtype)
    valid = np.zeros(output_shape, dtype=bool)
    valid[rows, columns] = True
    if not valid.any():
        return aligned, valid
    whole_y, whole_x = (int(np.floor(d)) for d in shift)
    part_y, part_x = shift[0] - whole_y, shift[1] - whole_x
    top, bottom = rows.start + whole_y, rows.stop + whole_y
    left, right = columns.start + whole_x, columns.stop + whole_x
    for source, target in zip(image, aligned, strict=True):
        plane = source[top : bottom + (part_y > 0), left : right + (part_x > 0)]
        plane = _between(_between(plane, part_y, 0), part_x, 1)
        if plane.dtype != image.dtype:
            np.rint(plane, out=plane)
        target[rows, columns] = plane
    return aligned, valid


def _between(plane: NDArray, part: float, axis: int) -> NDArray:
    """Interpolate linearly between each row (column) and the next; a copy-free no-op at 0."""
    if part == 0:
        return plane
    first, second = (plane[:-1], plane[1:]) if axis == 0 else (plane[:, :-1], plane[:, 1:])
    exact = _exact(plane.dtype)
    weight = exact.type(part) if isinstance(exact, np.dtype) else part
    out = second.astype(exact)
    out -= first
    out *= weight
    out += first
    return out
