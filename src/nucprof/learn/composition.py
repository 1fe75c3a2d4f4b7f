"""How many cells of each class a well really holds, given how often the classifier errs.

Counting predictions is biased: a classifier that calls 5% of A's cells B finds B in pure A. The
adjusted count (Forman 2008) solves `q = p C` for the true composition p, where q are the predicted
shares and C[i, j] is the rate at which class i is called j on wells the classifier has not seen.

The 95% interval holds what is uncertain: the cells counted (Dirichlet draws of q, Jeffreys prior),
the error rates (wells drawn with replacement, then Dirichlet draws), and that the well at hand is
another well, with error rates of its own (spread between wells by the method of moments).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nucprof.errors import DataError

PRIOR = 0.5
_LARGEST_CONCENTRATION = 1e6


@dataclass(frozen=True)
class Composition:
    """Of one well: shares of the K classes, with the limits of their 95% intervals."""

    naive: np.ndarray
    """`(K,)` shares of the predicted classes."""
    adjusted: np.ndarray
    """`(K,)` shares corrected for the classifier's errors."""
    low: np.ndarray
    high: np.ndarray


class CompositionEstimator:
    """Adjusted counts with intervals, from the confusion matrices of unseen wells.

    Parameters
    ----------
    confusion
        `(W, K, K)` counts, rows true: one matrix per unseen well.
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
        self, confusion: Sequence[np.ndarray] | np.ndarray, *, bootstrap: int = 1000, seed: int = 0
    ) -> None:
        wells = np.asarray(confusion, dtype=float)
        if wells.ndim != 3 or not len(wells):
            raise DataError("the model holds no confusion matrices of unseen wells; train it again")
        total = wells.sum(axis=0)
        if (total.sum(axis=1) == 0).any():
            raise DataError("a class has no cell in the unseen wells; its errors are unknown")
        self.seed = seed
        self.n_classes = wells.shape[1]
        self.rates = total / total.sum(axis=1, keepdims=True)
        self._drawn = _draw_rates(wells, bootstrap, np.random.default_rng(seed))

    def estimate(self, counts: Sequence[int] | np.ndarray) -> Composition:
        """The composition of a well in which `counts` `(K,)` cells were predicted of each class.

        Raises
        ------
        DataError
            If the well has no cell.
        """
        counts = np.asarray(counts, dtype=float)
        if counts.sum() <= 0:
            raise DataError("a well without cells has no composition")
        naive = counts / counts.sum()
        # The same generator for every well: a well's interval does not depend on the others.
        rng = np.random.default_rng([self.seed, 1])
        shares = _dirichlet(np.broadcast_to(counts + PRIOR, (len(self._drawn), len(counts))), rng)
        drawn = _adjust(shares, self._drawn)
        adjusted = _adjust(naive[None], self.rates[None])[0]
        # At the edge (none seen where errors alone should give some) the draws can pile up on 0: no
        # interval is narrower than a classifier without errors would give.
        faultless = adjusted * counts.sum() + PRIOR
        drawn_faultless = _dirichlet(np.broadcast_to(faultless, shares.shape), rng)
        limits = np.percentile([drawn, drawn_faultless], [2.5, 97.5], axis=1)
        low, high = limits[0].min(axis=0), limits[1].max(axis=0)
        return Composition(naive, adjusted, np.minimum(low, adjusted), np.maximum(high, adjusted))


def _draw_rates(wells: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draws of the error rates of a new well, `(n, K, K)`."""
    chosen = rng.integers(0, len(wells), size=(n, len(wells)))
    pooled = wells[chosen].sum(axis=1)
    # A draw of wells may lack a class; then all wells speak for that class.
    absent = pooled.sum(axis=2) == 0
    pooled[absent] = np.broadcast_to(wells.sum(axis=0), pooled.shape)[absent]
    means = _dirichlet(pooled + PRIOR / wells.shape[1], rng)
    concentration = np.array([_concentration(wells[:, k]) for k in range(wells.shape[1])])
    return _dirichlet(np.maximum(means * concentration[:, None], 1e-9), rng)


def _concentration(rows: np.ndarray) -> float:
    """How alike wells are in one class's rates: A of a Dirichlet, large where they are all alike.

    Method of moments: of the variance between wells, what the finite numbers of cells do not
    explain is the wells' own. Without two wells of the class nothing is known, and none is assumed.
    """
    sizes = rows.sum(axis=1)
    rows, sizes = rows[sizes > 0], sizes[sizes > 0]
    if len(rows) < 2:
        return _LARGEST_CONCENTRATION
    mean = rows.sum(axis=0) / sizes.sum()
    expected = (mean * (1 - mean)).sum()
    if expected == 0:
        return _LARGEST_CONCENTRATION
    squares = (sizes[:, None] * (rows / sizes[:, None] - mean) ** 2).sum()
    # E[squares] = expected * ((W - 1) + rho * (N - sum n^2 / N - (W - 1)))
    spare = sizes.sum() - (sizes**2).sum() / sizes.sum() - (len(rows) - 1)
    rho = (squares / expected - (len(rows) - 1)) / max(spare, 1e-9)
    rho = float(np.clip(rho, 1 / (1 + _LARGEST_CONCENTRATION), 0.5))
    return float((1 - rho) / rho)


def _dirichlet(alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One draw along the last axis for each parameter vector."""
    # Gamma draws of tiny shapes underflow to 0 together; in logarithms they do not.
    shifted = np.log(rng.gamma(alpha + 1)) + np.log(rng.random(alpha.shape)) / alpha
    weights = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def _adjust(shares: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Solve `q = p C` for each row, and take the nearest point whose shares are 0 to 1, sum 1.

    Parameters
    ----------
    shares
        `(n, K)` predicted shares q.
    rates
        `(n, K, K)` C, rows true.
    """
    transposed = np.swapaxes(rates, 1, 2)
    # The pseudo-inverse: a classifier that cannot tell two classes has a singular matrix.
    solved = np.einsum("nij,nj->ni", np.linalg.pinv(transposed), shares)
    return _onto_simplex(solved)


def _onto_simplex(points: np.ndarray) -> np.ndarray:
    """Euclidean projection onto the probability simplex (Duchi et al., ICML 2008), row by row."""
    ordered = -np.sort(-points, axis=1)
    above = np.cumsum(ordered, axis=1) - 1
    ranks = np.arange(1, points.shape[1] + 1)
    last = (ordered - above / ranks > 0).sum(axis=1)
    theta = above[np.arange(len(points)), last - 1] / last
    return np.asarray(np.maximum(points - theta[:, None], 0))
