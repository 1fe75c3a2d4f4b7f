"""Shifts of the parts of a field: do they agree with what was found for all of it?"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nucprof.core import correlation
from nucprof.core.moving import warp
from nucprof.core.search import Search
from nucprof.core.similarity import Similarity

#: Low-pass of the refined correlation (Gaussian sigma, pixels). Of 1, 2 and 3 px the best over
#: clean, noisy and partly stained pairs together.
LOW_PASS_PX = 2.0
#: Parts along each side, at most: fine ones follow a rotation, coarse ones average over nuclei that
#: moved by themselves. A part is at least `PART_RADII` nuclear radii wide.
FINE_PARTS, COARSE_PARTS = 5, 3
PART_RADII = 8
#: Largest shift looked for in a part, as a share of its side.
REACH = 0.2
#: A part tells something if it holds this share of what the parts hold on average.
LEAST_SIGNAL = 0.1


@dataclass(frozen=True, eq=False)
class LocalShifts:
    """Where the parts of a field lie in the round.

    Attributes
    ----------
    points : (N, 2) float64
        Centres (y, x) of the parts in the Cell Painting image, only parts with signal in both
        images.
    images : (N, 2) float64
        Where they lie in the round.
    """

    points: NDArray[np.float64]
    images: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.points)


class View(NamedTuple):
    """What both images show under a similarity, ready for `correlation.refine`.

    Attributes
    ----------
    start : Similarity
    here, there : (H3, W3) float32
        Of the fixed image and of the round, reduced by `Search.half`.
    corner : (int, int)
        Where they begin in the fixed image, pixels.
    """

    start: Similarity
    here: NDArray[np.float32]
    there: NDArray[np.float32]
    corner: tuple[int, int]

    @classmethod
    def of(cls, search: Search, start: Similarity) -> View:
        """Cut the overlap; a shift without rotation must be in whole pixels.

        Otherwise the round is turned first, and both planes are as large as the fixed image.
        """
        corner = (0, 0)
        if start.is_translation:
            corner = max(0, -int(start.shift[0])), max(0, -int(start.shift[1]))
        views = _both(search.fixed, search.moving, start)
        here, there = (correlation.compress(correlation.bin_mean(v, search.half)) for v in views)
        if search.hidden is not None:
            for plane, mask in zip((here, there), _both(*search.hidden, start), strict=True):
                # A corner pixel stands for its square: the mask has a halo.
                small = mask[:: search.half, :: search.half]
                plane[small[: plane.shape[0], : plane.shape[1]] > 0] = 0
        return cls(start, here, there, corner)


def _both(fixed: NDArray, moving: NDArray, start: Similarity) -> tuple[NDArray, NDArray]:
    """Two images on a common frame: the overlap of a shift, or the round turned onto the fixed."""
    if start.is_translation:
        return correlation.overlapping(fixed, moving, int(start.shift[0]), int(start.shift[1]))
    return fixed, warp(moving, start, fixed.shape)


def local_shifts(
    search: Search,
    view: View,
    radius_px: float,
    *,
    most_parts: int = FINE_PARTS,
    reach_px: float | None = None,
) -> LocalShifts:
    """Measure the shift of every part of a field around a similarity that nearly holds.

    Parameters
    ----------
    search : Search
    view : View
        The two images under that similarity.
    radius_px : float
        Typical radius of a nucleus.
    most_parts : int
        Parts along each side, at most.
    reach_px : float, optional
        Largest shift looked for; by default `REACH` of a part's side.
    """
    start, here, there, corner = view
    half = search.half
    rows, columns = (_edges(n, PART_RADII * radius_px / half, most_parts) for n in here.shape)
    points, shifts = [], []
    for top, bottom in itertools.pairwise(rows):
        for left, right in itertools.pairwise(columns):
            part = slice(top, bottom), slice(left, right)
            reach = REACH * min(bottom - top, right - left)
            if reach_px is not None:
                reach = min(reach, reach_px / half)
            shift = correlation.refine(
                here[part], there[part], max(2, int(reach)), LOW_PASS_PX / half, search.workers
            )
            middle = (top + bottom) / 2, (left + right) / 2
            points.append([half * m - 0.5 + c for m, c in zip(middle, corner, strict=True)])
            shifts.append([half * s for s in shift])
    at, moved = np.array(points), np.array(shifts)
    telling = _telling(search, start, rows * half + corner[0], columns * half + corner[1])
    return LocalShifts(at[telling], start(at + moved)[telling])


def _edges(size: int, smallest: float, most: int) -> NDArray[np.int64]:
    """Edges of the parts along one side."""
    parts = int(np.clip(size // smallest, 1, most))
    return np.linspace(0, size, parts + 1).astype(np.int64)


def _telling(
    search: Search, start: Similarity, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether both images show something in a part: (N,) in the order of the parts."""
    telling = np.ones((len(rows) - 1) * (len(columns) - 1), dtype=bool)
    small = Similarity.of(
        search.small_fixed.shape,
        (start.shift[0] / search.factor, start.shift[1] / search.factor),
        start.angle,
        start.scale,
    )
    moved = warp(search.small_moving, small, search.small_fixed.shape)
    for plane in (search.small_fixed, moved):
        bright = np.square(np.maximum(plane - 1, 0), dtype=np.float64)
        table = np.zeros((plane.shape[0] + 1, plane.shape[1] + 1))
        table[1:, 1:] = bright.cumsum(axis=0).cumsum(axis=1)
        y, x = (
            np.minimum(np.rint(edges / search.factor).astype(int), n)
            for edges, n in zip((rows, columns), plane.shape, strict=True)
        )
        signal = np.diff(np.diff(table[np.ix_(y, x)], axis=0), axis=1).ravel()
        telling &= signal >= LEAST_SIGNAL * signal.mean()
    return telling
