"""How a classifier errs in wells, learnt from reference wells: rates, and how much wells differ.

Of the cells of class i in well w on plate p, those called j have the probability

    C[w, i, j] = softmax over j of  m[i, j] + a[p, j] + u[w, j] + v[w, i, j]

`m` are the log-odds of the average well. `u` is the well's shift, which all classes share: a
brighter stain moves all cells the same way. `a` is the plate's, `v` what a well does to the cells
of one class alone. They are normal, so that the log-odds of two classes vary between wells with
standard deviation tau (u), between plates omega (a) and within a class sigma (v); the priors of
these are half-normal, the prior of every row of `softmax(m)` is Jeffreys' (Dirichlet, 1/2). This is
a multinomial logistic regression with random intercepts (Agresti 2013, Categorical Data Analysis,
chapter 13).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nucprof.learn.composition.sampler import sample

PLATE_SCALE, WELL_SCALE, OWN_SCALE = 0.5, 1.2, 0.4
"""Scales of the half-normal priors of omega, tau and sigma, in log-odds."""


@dataclass(frozen=True)
class ErrorRates:
    """What is known of the errors in a new well of one plate."""

    drawn: np.ndarray
    """`(n, K, K)` posterior draws, rows true."""
    shift: np.ndarray
    """`(K,)` log-odds by which the plate calls each class more often than the plates of the other
    reference wells do; 0 where the plate has no reference well, or the others lack a class."""


def draw_rates(
    confusion: np.ndarray, plates: np.ndarray, plate: int, *, n: int, seed: int
) -> ErrorRates:
    """Draw the error rates of a new well of a plate.

    Parameters
    ----------
    confusion
        `(W, K, K)` counts, rows true: one matrix per reference well; rows may be empty.
    plates
        `(W,)` int, the plate of each.
    plate
        The plate of the new well, with or without a reference well.
    n
        Number of draws.
    seed
        Of the draws.
    """
    names, on = np.unique(np.append(plates, plate), return_inverse=True)
    on, here = on[:-1], int(on[-1])
    counts = np.ascontiguousarray(confusion, dtype=np.float64)
    rng = np.random.default_rng(seed)
    chain = int(rng.integers(2**32))
    priors = np.array([PLATE_SCALE, WELL_SCALE, OWN_SCALE])
    mean, shifts, scales = sample(counts, on, len(names), priors, n, chain)
    n_classes = counts.shape[1]
    well = rng.normal(size=(n, 1, n_classes)) * scales[:, 1, None, None]
    own = rng.normal(size=(n, n_classes, n_classes)) * scales[:, 2, None, None]
    logits = mean + shifts[:, here, None] + (well + own) / np.sqrt(2)
    rates = np.exp(logits - logits.max(axis=2, keepdims=True))
    rates /= rates.sum(axis=2, keepdims=True)
    return ErrorRates(rates, _plate_shift(shifts, counts, on, here))


def _plate_shift(shifts: np.ndarray, counts: np.ndarray, on: np.ndarray, here: int) -> np.ndarray:
    """`(K,)` posterior mean of the plate's effect against that of the others, by their cells."""
    elsewhere = counts[on != here].sum(axis=(0, 2)) > 0
    if not (on == here).any() or not elsewhere.all():
        return np.zeros(shifts.shape[2])
    cells = np.bincount(on, counts.sum(axis=(1, 2)), minlength=shifts.shape[1])
    cells[here] = 0
    against = shifts[:, here] - np.average(shifts, axis=1, weights=cells)
    centred = against - against.mean(axis=1, keepdims=True)
    return np.asarray(centred.mean(axis=0))
