"""The search for the shift between two images, and the scores expected by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from nucprof.core import correlation
from nucprof.core.moving import warp
from nucprof.core.pattern import Pattern, hide
from nucprof.core.similarity import Similarity, centre_of

#: A match must be this improbable among images that do not belong together.
ALPHA = 0.001
#: A p-value this many times smaller or larger than `ALPHA` needs no larger null distribution.
CLEAR = 0.05
#: Angles tried if the rounds do not match without rotation, degrees. A degree apart, the nearest
#: turns the corners of a reduced image by at most 3 of its pixels, about a nucleus's radius.
ANGLES = tuple(float(a) for a in range(-15, 16) if a)
#: Sets of values by which the uncertainty of a null distribution is averaged.
_SETS = 20_000


class Peak(NamedTuple):
    """Best shift in whole pixels of the full images, its score, and whether it is a limit."""

    shift_y: int
    shift_x: int
    score: float
    at_limit: bool


@dataclass(frozen=True, eq=False)
class Search:
    """Two images of a field, cleaned and reduced, and the shifts to try.

    Attributes
    ----------
    fixed, moving : (H, W), (H2, W2) float32
        `correlation.clean` images.
    factor : int
        Pixels of the full images per pixel of the small ones, along each axis.
    small_fixed, small_moving : float32
        `correlation.reduce` of the two.
    """

    fixed: NDArray[np.float32]
    moving: NDArray[np.float32]
    factor: int
    lags: correlation.Lags
    small_fixed: NDArray[np.float32]
    small_moving: NDArray[np.float32]
    fixed_spectrum: NDArray
    fixed_energy: NDArray
    pattern: Pattern | None
    workers: int

    @classmethod
    def of(
        cls,
        fixed: NDArray,
        moving: NDArray,
        max_shift_px: float,
        min_overlap: float,
        workers: int,
        pattern: Pattern | None = None,
    ) -> Search | None:
        """Clean and reduce two images (H, W) and (H2, W2); None where one of them is constant.

        The fixed `pattern` of camera and plate is masked.
        """
        here, there = correlation.clean(fixed), correlation.clean(moving)
        if here is None or there is None:
            return None
        factor = correlation.binning(fixed.shape, moving.shape)
        small, other = correlation.reduce(here, factor), correlation.reduce(there, factor)
        if pattern is not None:
            small, other = hide(small, pattern.hidden_fixed), hide(other, pattern.hidden_moving)
        lags = correlation.Lags.of(small.shape, other.shape, max_shift_px / factor, min_overlap)
        return cls(
            here,
            there,
            factor,
            lags,
            small,
            other,
            correlation.spectrum(small, lags, workers),
            correlation.overlap_energy(small, lags, moving=False),
            pattern,
            workers,
        )

    @property
    def half(self) -> int:
        """Factor by which large images are reduced for a fraction of a pixel.

        The low-pass removes the finest detail anyway.
        """
        return 2 if self.factor >= 4 else 1

    def scores(self, moving: NDArray) -> NDArray:
        """Score of every shift of a reduced image."""
        return correlation.correlate(
            self.fixed_spectrum, self.fixed_energy, moving, self.lags, self.workers
        )

    @cached_property
    def peak(self) -> Peak:
        """Best shift of the field's own round."""
        return self.best(self.small_moving)

    def best(self, moving: NDArray) -> Peak:
        """Best shift of a reduced image."""
        scores = self.scores(moving)
        y, x = np.unravel_index(int(np.where(self.lags.allowed, scores, -2).argmax()), scores.shape)
        around = scores[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
        return Peak(
            int(self.lags.y[y]) * self.factor,
            int(self.lags.x[x]) * self.factor,
            float(max(scores[y, x], 0.0)),
            bool(around.max() > scores[y, x]),
        )

    @cached_property
    def hidden(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
        """Pixels of the two full images in which the pattern lies; None where there is none."""
        if self.pattern is None:
            return None
        masks = self.pattern.hidden_fixed, self.pattern.hidden_moving
        smalls = self.small_fixed, self.small_moving
        if not any(m.any() and m.shape == s.shape for m, s in zip(masks, smalls, strict=True)):
            return None
        fixed, moving = (
            self._enlarged(mask if mask.shape == small.shape else np.zeros(small.shape, bool), full)
            for mask, small, full in zip(masks, smalls, (self.fixed, self.moving), strict=True)
        )
        return fixed, moving

    def _enlarged(self, mask: NDArray[np.bool_], full: NDArray) -> NDArray[np.bool_]:
        enlarged = np.zeros(full.shape, dtype=bool)
        block = mask.repeat(self.factor, axis=0).repeat(self.factor, axis=1)
        enlarged[: block.shape[0], : block.shape[1]] = block
        return enlarged

    def null(
        self, samples: int, rng: np.random.Generator, others: Sequence[NDArray] = ()
    ) -> NDArray:
        """Best scores with images that do not belong to the field.

        First, images with the same content at other places: a mirrored or rotated image does not
        match the fixed one, however it is rolled. Rolling alone is not enough: it moves the true
        match to another shift, which may be searched. Symmetric images (a grid, vignetting) match
        their mirror image too, so their match is rightly not significant. Second, the reduced
        rounds of other wells, which share the fixed pattern of camera and plate.
        """
        height, width = self.small_moving.shape
        turns = [(True, 0), (False, 2), (True, 2)]
        if height == width:
            turns += [(False, 1), (False, 3), (True, 1), (True, 3)]
        best = []
        for sample in range(samples):
            mirrored, quarters = turns[sample % len(turns)]
            image = np.rot90(self.small_moving[::-1] if mirrored else self.small_moving, quarters)
            by = rng.integers(height), rng.integers(width)
            scores = self.scores(np.roll(image, by, axis=(0, 1)))
            best.append(scores[self.lags.allowed].max())
        best += [self.scores(other)[self.lags.allowed].max() for other in others]
        return np.array(best)

    def decisive_null(
        self, samples: int, rng: np.random.Generator, others: Sequence[NDArray] = ()
    ) -> NDArray:
        """Best scores as from `null`; five times as many where the first ones leave it open."""
        null = self.null(samples, rng, others)
        _, p_value = chance(null, self.peak.score)
        if CLEAR * ALPHA < p_value < ALPHA / CLEAR:
            null = np.concatenate([null, self.null(4 * samples, rng)])
        return null

    def turned(self, shape: tuple[int, ...]) -> tuple[Similarity, float]:
        """Best of `ANGLES` with its shift for a Cell Painting image of `shape`, and its score."""
        found, score = Similarity.of(shape, (0.0, 0.0)), -1.0
        small = self.small_moving
        for angle in ANGLES:
            peak = self.best(
                warp(small, Similarity.of(small.shape, (0.0, 0.0), angle), small.shape)
            )
            if peak.score > score and not peak.at_limit:
                # The image was turned about its own centre before it was shifted.
                turn = Similarity(centre_of(self.moving.shape), (0.0, 0.0), angle)
                centre = np.array(centre_of(shape))
                there = turn(centre[None] + np.array([[peak.shift_y, peak.shift_x]]))[0] - centre
                found, score = Similarity.of(shape, (there[0], there[1]), angle), peak.score
        return found, score


def chance(null: NDArray, score: float, alpha: float = ALPHA) -> tuple[float, float]:
    """Threshold at `alpha`, and the probability of `score`, if it were one more of `null`.

    Largest values follow a Gumbel distribution. Its mean and standard deviation are known from the
    few values of `null` only: a further value lies more often far above them than it would if they
    were exact (4 times as often above the threshold of 0.001, for 14 values).
    """
    mean, deviation = float(null.mean()), max(float(null.std(ddof=1)), 1e-6)
    threshold = mean + _quantile(len(null), alpha) * deviation
    p_value = _exceeded(len(null), (score - mean) / deviation)
    return max(threshold, float(null.max())), p_value


@cache
def _moments(count: int) -> tuple[NDArray, NDArray]:
    """Mean and standard deviation of many sets of `count` standard Gumbel values."""
    values = np.random.default_rng(0).gumbel(size=(_SETS, count))
    return values.mean(axis=1), values.std(axis=1, ddof=1)


def _exceeded(count: int, deviations: float) -> float:
    """Probability that a further value lies so many `deviations` above the mean of `count`."""
    means, widths = _moments(count)
    return float(np.mean(-np.expm1(-np.exp(-means - deviations * widths))))


@cache
def _quantile(count: int, alpha: float) -> float:
    """Deviations above the mean that a further value exceeds with probability `alpha`."""
    high = 1.0
    while _exceeded(count, high) > alpha:
        high *= 2
    return float(optimize.brentq(lambda x: _exceeded(count, x) - alpha, -high, high))
