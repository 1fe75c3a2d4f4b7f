"""Probabilities under another composition than the one at which they hold.

A classifier's probability p[x, i] holds where class i makes up a share w[i] of the cells, w being
the prior at which it was calibrated. Where the shares are s, Bayes' rule gives the probability
p[x, i] s[i] / w[i], normalised. Saerens, Latinne and Decaestecker (Neural Computation 14, 2002)
find the most likely s of a set of cells without labels by expectation maximisation (EMQ).
"""

from __future__ import annotations

import numpy as np

from nucprof.errors import DataError

_TOLERANCE = 1e-9
_MOST_STEPS = 20_000


def at_shares(probabilities: np.ndarray, prior: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Probabilities `(n, K)` where the classes have these shares.

    Parameters
    ----------
    probabilities
        `(n, K)` as calibrated.
    prior
        `(K,)` shares at which they hold.
    shares
        `(K,)` shares of the cells at hand; they need not add up to 1.
    """
    weighted = probabilities * (np.asarray(shares) / np.asarray(prior))
    total = weighted.sum(axis=1, keepdims=True)
    # A cell that only a class of share 0 explains keeps its probabilities.
    return np.asarray(np.where(total > 0, weighted / np.where(total > 0, total, 1), probabilities))


def most_likely_shares(probabilities: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Shares `(K,)` of the classes under which the cells at hand are most likely (EMQ).

    The likelihood is concave in the shares, so where it starts does not matter.

    Parameters
    ----------
    probabilities
        `(n, K)` of the cells of one well.
    prior
        `(K,)` shares at which they hold.

    Raises
    ------
    DataError
        If there is no cell.
    """
    if not len(probabilities):
        raise DataError("a well without cells has no composition")
    ratios = probabilities / np.asarray(prior)
    shares = np.full(ratios.shape[1], 1 / ratios.shape[1])
    for _ in range(_MOST_STEPS):
        new = (ratios * shares / (ratios @ shares)[:, None]).mean(axis=0)
        if np.abs(new - shares).max() < _TOLERANCE:
            return np.asarray(new)
        shares = new
    return shares
