"""Label images: which objects are there, where, and their hygiene.

A label image is ``(H, W)`` integer, 0 is background, and labels may have gaps: 3, 70000 and
nothing else is as good as 1, 2. Nothing here renumbers a label. Everything goes through runs (the
stretches of equal label in a row), so that one pass over the pixels serves all objects.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucprof.errors import DataError, FieldError

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Runs:
    """Horizontal stretches of pixels, grouped by object.

    Object ``k`` owns the runs ``first[k]:first[k + 1]``; run ``j`` covers the pixels
    ``[row[j], start[j]:stop[j]]``. Within an object the runs are in raster order. Objects may
    overlap, which patches do and labels do not.

    Attributes
    ----------
    first : (N + 1,) int64
    row, start, stop : (R,) int64
    """

    first: IntArray
    row: IntArray
    start: IntArray
    stop: IntArray

    def __len__(self) -> int:
        return len(self.first) - 1

    @property
    def owner(self) -> IntArray:
        """Object index (0-based) of every run, ``(R,)`` int64."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.first))

    def sum(self, per_run: IntArray) -> IntArray:
        """Add up a number per run to a number per object, ``(R,) -> (N,)`` int64."""
        # add.reduceat would give an object without runs its neighbour's value.
        upto = np.zeros(len(per_run) + 1, dtype=np.int64)
        np.cumsum(per_run, out=upto[1:])
        return np.diff(upto[self.first])


@dataclass(frozen=True, eq=False)
class ObjectIndex:
    """All objects of a label image, in ascending order of their original labels.

    Attributes
    ----------
    ids : (N,) int64
        Labels as they are in the image.
    boxes : (N, 4) int64
        ``top, left, bottom, right``, the last two exclusive.
    areas : (N,) int64
        Pixels.
    centroids : (N, 2) float64
        Mean pixel coordinates (y, x).
    runs : Runs
        The pixels of every object.
    shape : tuple of int
        Shape (H, W) of the label image.
    """

    ids: IntArray
    boxes: IntArray
    areas: IntArray
    centroids: FloatArray
    runs: Runs
    shape: tuple[int, int]

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, labels: NDArray) -> ObjectIndex:
        """Index a label image in one scan.

        Parameters
        ----------
        labels : (H, W) integer
            Any integer type, gaps allowed, 0 = background.

        Raises
        ------
        FieldError
            The array is not a two-dimensional integer array, or a label is negative.
        """
        start, length, value = _all_runs(labels)
        object_runs = np.flatnonzero(value)
        ids, owner = np.unique(value[object_runs], return_inverse=True)
        order = object_runs[np.argsort(owner, kind="stable")]
        first = np.zeros(len(ids) + 1, dtype=np.int64)
        np.cumsum(np.bincount(owner, minlength=len(ids)), out=first[1:])
        height, width = labels.shape
        row, left = np.divmod(start[order], max(width, 1))
        runs = Runs(first, row, left, left + length[order])
        areas = runs.sum(length[order])
        return cls(
            ids=ids.astype(np.int64),
            boxes=_boxes(runs),
            areas=areas,
            centroids=_centroids(runs, areas),
            runs=runs,
            shape=(height, width),
        )


def typical_radius(labels: NDArray) -> float | None:
    """Radius of the disk with the median area of the objects, pixels; None where there is none.

    Parameters
    ----------
    labels : (H, W) integer
    """
    areas = ObjectIndex.of(labels).areas
    return float(np.sqrt(np.median(areas) / np.pi)) if areas.size else None


def touches_border(labels: NDArray) -> IntArray:
    """Labels that have a pixel on the outermost rows or columns.

    Parameters
    ----------
    labels : (H, W) integer

    Returns
    -------
    (K,) int64
        Ascending, without 0.
    """
    _check(labels)
    edges = (labels[:1], labels[-1:], labels[:, :1], labels[:, -1:])
    ids: IntArray = np.unique(np.concatenate([edge.ravel() for edge in edges])).astype(np.int64)
    return np.setdiff1d(ids, [0])


def clear_border(labels: NDArray) -> tuple[NDArray, IntArray]:
    """Remove the objects that touch the border.

    Parameters
    ----------
    labels : (H, W) integer

    Returns
    -------
    cleared : (H, W), same dtype
        A new array; the other labels keep their numbers.
    dropped : (K,) int64
        The labels that were removed, ascending.
    """
    dropped = touches_border(labels)
    return _rewrite(labels, dropped, keep=False), dropped


def keep_labels(labels: NDArray, ids: Iterable[int]) -> NDArray:
    """Set every label that is not in `ids` to 0; the others keep their numbers.

    Parameters
    ----------
    labels : (H, W) integer
    ids : iterable of int
        Labels to keep; ids that are not in the image are no error.

    Returns
    -------
    (H, W), same dtype
        A new array.
    """
    return _rewrite(labels, np.asarray(list(ids), dtype=np.int64), keep=True)


def label_dtype(largest: int) -> type[np.uint16] | type[np.uint32]:
    """Smallest of uint16 and uint32 that holds the label `largest`.

    Raises
    ------
    FieldError
        The label is negative or above 4294967295.
    """
    if not 0 <= largest <= np.iinfo(np.uint32).max:
        raise FieldError(
            f"label {largest} does not fit a label image (0 to {np.iinfo(np.uint32).max}); "
            "renumber the objects where the mask was made"
        )
    return np.uint16 if largest <= np.iinfo(np.uint16).max else np.uint32


def smallest_labels(labels: NDArray) -> NDArray:
    """Give a label image in the smallest label type, uint16 or uint32, with the same labels.

    Parameters
    ----------
    labels : (H, W) integer

    Raises
    ------
    FieldError
        The array is no label image, or a label fits neither type.
    """
    _check(labels)
    smallest, largest = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    return labels.astype(label_dtype(smallest if smallest < 0 else largest), copy=False)


def encode_ids(ids: Iterable[int]) -> str:
    """Write a set of labels as ranges: ``[1, 2, 3, 7]`` is ``"1-3,7"``; none is ``""``.

    Parameters
    ----------
    ids : iterable of int
        Labels, 0 or above, in any order; each is written once.

    Raises
    ------
    DataError
        An id is negative.
    """
    values = np.unique(np.asarray(list(ids), dtype=np.int64))
    if values.size == 0:
        return ""
    if values[0] < 0:
        raise DataError(f"{values[0]} is no label: labels are 0 or above")
    breaks = np.flatnonzero(np.diff(values) > 1)
    firsts = values[np.r_[0, breaks + 1]]
    lasts = values[np.r_[breaks, values.size - 1]]
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in zip(firsts, lasts, strict=True))


def decode_ids(text: str) -> IntArray:
    """Read what :func:`encode_ids` wrote, ``(N,)`` int64 ascending.

    Raises
    ------
    DataError
        The text is not a list of ascending labels and ranges such as ``1-5,7,9-12``.
    """
    if text == "":
        return np.empty(0, dtype=np.int64)
    ranges = []
    previous = -1
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not (first.isdecimal() and (last.isdecimal() if dash else True)):
            raise DataError(f"{part!r} in {text!r} is no label or range; expected e.g. 1-5,7,9-12")
        a, b = int(first), int(last if dash else first)
        if not previous < a <= b:
            raise DataError(f"{part!r} in {text!r} is out of order; expected e.g. 1-5,7,9-12")
        ranges.append(np.arange(a, b + 1, dtype=np.int64))
        previous = b
    return np.concatenate(ranges)


def _check(labels: NDArray) -> None:
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise FieldError(
            f"a label image is a two-dimensional integer array, not {labels.dtype} "
            f"of shape {labels.shape}; write the mask as (height, width) integers"
        )


def _all_runs(labels: NDArray) -> tuple[IntArray, IntArray, NDArray]:
    """Cut a label image into runs: flat start, length and value of each, background included."""
    _check(labels)
    if labels.size == 0:
        none = np.empty(0, dtype=np.int64)
        return none, none, np.empty(0, dtype=labels.dtype)
    begins = np.empty(labels.shape, dtype=bool)
    begins[:, 0] = True
    np.not_equal(labels[:, 1:], labels[:, :-1], out=begins[:, 1:])
    start = np.flatnonzero(begins).astype(np.int64, copy=False)
    length = np.diff(start, append=labels.size)
    value = labels.reshape(-1)[start]
    if value.dtype.kind == "i" and value.min() < 0:
        raise FieldError(f"label {value.min()} is negative; labels are 1 or above, 0 is background")
    return start, length, value


def _rewrite(labels: NDArray, ids: IntArray, *, keep: bool) -> NDArray:
    """Copy a label image with the labels in `ids` kept, or dropped."""
    _, length, value = _all_runs(labels)
    value[np.isin(value.astype(np.int64), ids, invert=keep)] = 0
    return np.repeat(value, length).reshape(labels.shape)


def _boxes(runs: Runs) -> IntArray:
    boxes = np.zeros((len(runs), 4), dtype=np.int64)
    if len(runs):
        # Every object of a label image has a run, so that reduceat is safe here.
        begin = runs.first[:-1]
        boxes[:, 0] = runs.row[begin]
        boxes[:, 1] = np.minimum.reduceat(runs.start, begin)
        boxes[:, 2] = runs.row[runs.first[1:] - 1] + 1
        boxes[:, 3] = np.maximum.reduceat(runs.stop, begin)
    return boxes


def _centroids(runs: Runs, areas: IntArray) -> FloatArray:
    length = runs.stop - runs.start
    sum_y = runs.sum(runs.row * length)
    # Twice the sum of start..stop-1, an integer: exact up to the division.
    twice_sum_x = runs.sum(length * (runs.start + runs.stop - 1))
    return np.stack([sum_y / areas, twice_sum_x / (2 * areas)], axis=1)
