"""The smallest share of a class that would be noticed in a well (Currie 1968; CLSI EP17).

A well in which a class is absent still has cells called by its name, more in some wells than in
others. The *critical value* is the share that 97.5% of such wells do not exceed: the lower limit of
the 95% interval is above 0 only beyond it. The *limit of detection* is the true share at which 95%
of wells exceed the critical value. It depends on the number of cells, on the classifier's errors,
and on how much these differ between wells.
"""

from __future__ import annotations

import numpy as np

FALSE_ALARMS = 0.025
MISSED = 0.05
_HALVINGS = 10


def limit_of_detection(
    drawn: np.ndarray, rates: np.ndarray, shares: np.ndarray, n_cells: int, *, seed: int
) -> np.ndarray:
    """Limits of detection `(K,)` in a well of `n_cells`; NaN where even a pure well could pass.

    Parameters
    ----------
    drawn
        `(n, K, K)` draws of the error rates of a well.
    rates
        `(K, K)` the rates by which counts are adjusted.
    shares
        `(K,)` of the well; those of the other classes, in their proportions, are kept.
    n_cells
        Number of cells in the well.
    seed
        Of the draws.
    """
    inverse = np.linalg.pinv(rates)

    def found(share: float, k: int) -> np.ndarray:
        """Adjusted share of class k in wells that hold this share of it."""
        others = np.where(np.arange(len(shares)) == k, 0, shares)
        others = others if others.sum() else np.arange(len(shares)) != k
        held = (1 - share) * others / others.sum()
        held[k] = share
        expected = np.clip(held @ drawn, 0, None)
        rng = np.random.default_rng([seed, k])  # the same for every share, so that they compare
        called = rng.multinomial(n_cells, expected / expected.sum(axis=1, keepdims=True))
        return np.asarray(called @ inverse[:, k] / n_cells)

    limits = np.full(len(shares), np.nan)
    for k in range(len(shares)):
        critical = np.quantile(found(0, k), 1 - FALSE_ALARMS)
        low, high = 0.0, 1.0
        if (found(1, k) > critical).mean() < 1 - MISSED:
            continue
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            noticed = (found(middle, k) > critical).mean() >= 1 - MISSED
            low, high = (low, middle) if noticed else (middle, high)
        limits[k] = high
    return limits
