"""How many cells of each class a well holds, given how often the classifier errs.

Counting predictions is biased: a classifier that calls 5% of A's cells B finds B in pure A. The
adjusted count (Forman 2008) solves `q = p C` for the true composition p, where q are the predicted
shares and C[i, j] is the rate at which cells of class i are called j.

Two things may be asked. What the *population* holds from which the well's cells were drawn: then
the number of cells matters. Or what the *imaged* cells are: then only the classifier errs, and with
one that never errs nothing is uncertain. The 95% limits are quantiles of solutions of `q = p C`,
over draws of q (Dirichlet, Jeffreys' prior, which approximates the mid-P test of each share) and of
C for a well not yet seen (:mod:`nucprof.learn.composition.error_rates`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nucprof.errors import DataError
from nucprof.learn.composition.error_rates import draw_rates
from nucprof.learn.composition.simplex import dirichlet, onto_simplex

PRIOR = 0.5
LIMITS = (2.5, 97.5)


@dataclass(frozen=True)
class Composition:
    """Of one well: shares of the K classes, each `(K,)`, with the limits of 95% intervals."""

    naive: np.ndarray
    """Shares of the predicted classes."""
    adjusted: np.ndarray
    """Shares corrected for the classifier's errors."""
    low: np.ndarray
    high: np.ndarray
    """Of the population from which the well's cells were drawn."""
    imaged_low: np.ndarray
    imaged_high: np.ndarray
    """Of the cells that were imaged."""


class CompositionEstimator:
    """Adjusted counts with intervals, for the wells of one plate.

    Parameters
    ----------
    confusion
        `(W, K, K)` counts, rows true: one matrix per reference well, whose cells the classifier has
        not been trained on.
    plates
        `(W,)` the plate of each, as an integer; None: one plate.
    plate
        The plate of the wells that are asked about.
    bootstrap
        Number of draws.
    seed
        Of the draws.

    Raises
    ------
    DataError
        If there is no well, or a class occurs in none.
    """

    def __init__(
        self,
        confusion: Sequence[np.ndarray] | np.ndarray,
        plates: Sequence[int] | np.ndarray | None = None,
        plate: int = 0,
        *,
        bootstrap: int = 1000,
        seed: int = 0,
    ) -> None:
        wells = np.asarray(confusion, dtype=float)
        if wells.ndim != 3 or not len(wells):
            raise DataError("the model holds no confusion matrices of unseen wells; train it again")
        total = wells.sum(axis=0)
        if (total.sum(axis=1) == 0).any():
            raise DataError("a class has no cell in the unseen wells; its errors are unknown")
        self.seed = seed
        self.n_classes = wells.shape[1]
        on = np.zeros(len(wells), dtype=int) if plates is None else np.asarray(plates)
        known = draw_rates(wells, on, plate, n=bootstrap, seed=seed)
        # What the plate's own wells say is in the shift; they are not to be counted twice.
        elsewhere = wells[on != plate].sum(axis=0) if known.shift.any() else total
        tilted = elsewhere * np.exp(known.shift)
        self.rates = tilted / tilted.sum(axis=1, keepdims=True)
        self.drawn = known.drawn
        # A classifier that cannot tell two classes has a singular matrix: the pseudo-inverse.
        self._inverse, self._inverses = np.linalg.pinv(self.rates), np.linalg.pinv(self.drawn)

    def estimate(self, counts: Sequence[int] | np.ndarray) -> Composition:
        """The composition of a well in which `counts` `(K,)` cells were predicted of each class.

        Raises
        ------
        DataError
            If the well has no cell.
        """
        counts = np.asarray(counts, dtype=int)
        n_cells = int(counts.sum())
        if n_cells <= 0:
            raise DataError("a well without cells has no composition")
        # The same generator for every well: a well's interval does not depend on the others.
        rng = np.random.default_rng([self.seed, 1])
        shape = (len(self.drawn), self.n_classes)
        naive = counts / n_cells
        adjusted = onto_simplex((naive @ self._inverse)[None])[0]
        called = dirichlet(np.broadcast_to(counts + PRIOR, shape), rng)
        drawn = np.einsum("nj,nji->ni", called, self._inverses)
        low, high = np.clip(_limits(drawn), 0, 1)
        # Where fewer cells are called a class than errors alone should give, all draws are below 0:
        # no interval is narrower than a classifier without errors would give.
        faultless = dirichlet(np.broadcast_to(adjusted * n_cells + PRIOR, shape), rng)
        least, most = _limits(faultless)
        imaged = self._imaged(counts, onto_simplex(drawn), rng)
        imaged_low, imaged_high = _limits(imaged)
        return Composition(
            naive,
            adjusted,
            np.minimum(np.minimum(low, least), adjusted),
            np.maximum(np.maximum(high, most), adjusted),
            np.minimum(imaged_low, adjusted),
            np.maximum(imaged_high, adjusted),
        )

    def _imaged(
        self, counts: np.ndarray, populations: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Draws `(n, K)` of the shares of the imaged cells.

        Of the cells called j, those of class i are as many as a population p and rates C let fall
        there: their share is p[i] C[i, j] / (p C)[j] (Bayes).
        """
        joint = populations[:, :, None] * self.drawn
        of_called = np.swapaxes(joint / np.maximum(joint.sum(axis=1, keepdims=True), 1e-300), 1, 2)
        of_called /= np.maximum(of_called.sum(axis=2, keepdims=True), 1e-300)
        cells = rng.multinomial(np.broadcast_to(counts, of_called.shape[:2]), of_called)
        return np.asarray(cells.sum(axis=1) / counts.sum())


def _limits(drawn: np.ndarray) -> np.ndarray:
    """Quantiles `(2, K)` of `(n, K)` draws that a further draw exceeds as often as they say."""
    return np.asarray(np.percentile(drawn, LIMITS, axis=0, method="weibull"))
