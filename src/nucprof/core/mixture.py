"""Probability of a cell's class: a two-component mixture per marker, fitted plate by plate.

Every cell is in a hidden state: the set of markers that it carries (none, one, or two at once).
Given the state, its markers vary independently, each as one of two normal distributions on the
scale ``asinh((x - centre) / width)`` of flow cytometry, which is linear about the cells without the
marker and logarithmic far above them. The shares of the states differ between cultures, the
distributions do not. Maximum likelihood by expectation-maximisation (Dempster, Laird and Rubin
1977), from the calls of the cutoffs.

Between the two means the chance of carrying a marker rises with its intensity; beyond them it stays
what it is at the mean. Without this rule the wider distribution would be the more likely one
at the far end, and the dimmest cells of all would be called positive.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from nucprof.core.markers import FloatArray

FEWEST = 3
"""Smallest number of cells without, and with, a marker that a fit needs."""
LEAST_DISTANCE = 1.0
"""Distance of the means, in standard deviations, below which two components are one."""
_MOST_ROUNDS = 500
_TOLERANCE = 1e-7
_LEAST_SD = 0.05


def states_of(markers: int) -> npt.NDArray[np.bool_]:
    """``(S, markers)`` bool: no marker, each alone, every two of them."""
    chosen = [(), *combinations(range(markers), 1), *combinations(range(markers), 2)]
    states = np.zeros((len(chosen), markers), dtype=bool)
    for row, carried in enumerate(chosen):
        states[row, list(carried)] = True
    return states


def fit_mixture(
    values: FloatArray, positive: npt.NDArray[np.bool_], groups: Sequence[str] | npt.NDArray
) -> FloatArray | None:
    """Fit the mixture of one plate.

    Parameters
    ----------
    values : (N, M) float
        Intensities of M markers; NaN where one is missing.
    positive : (N, M) bool
        First guess: which cells are above the cutoffs.
    groups : (N,)
        Culture of each cell: cells of one culture share the prior of their states.

    Returns
    -------
    (N, S) float or None
        Probability of each state of :func:`states_of`; NaN rows for cells that lack a value. None
        where a marker has fewer than three cells on either side of its cutoff, or where the
        fit does not keep the cells with the marker above those without.
    """
    known = ~np.isnan(values).any(axis=1)
    x, start = values[known], positive[known]
    on_each_side = np.minimum(start.sum(axis=0), (~start).sum(axis=0))
    if not len(x) or on_each_side.min() < FEWEST:
        return None
    _, group = np.unique(np.asarray(groups, dtype=str)[known], return_inverse=True)
    z = np.column_stack([_scaled(x[:, m], ~start[:, m]) for m in range(x.shape[1])])
    states = states_of(x.shape[1])
    fitted = _maximise(z, start, group, states)
    if fitted is None:
        return None
    posterior = np.full((len(values), len(states)), np.nan)
    posterior[known] = fitted
    return posterior


def _scaled(x: FloatArray, without: npt.NDArray[np.bool_]) -> FloatArray:
    centre = np.median(x[without])
    width = 1.4826 * np.median(np.abs(x[without] - centre))
    scaled: FloatArray = np.arcsinh((x - centre) / max(width, 1e-9 * max(np.ptp(x), 1e-300)))
    return scaled


def _maximise(
    z: FloatArray,
    carried: npt.NDArray[np.bool_],
    group: npt.NDArray[np.int64],
    states: npt.NDArray[np.bool_],
) -> FloatArray | None:
    """Posterior of the states at the end of the iterations, or None (see :func:`fit_mixture`)."""
    markers = z.shape[1]
    with_marker = carried.astype(np.float64)
    shares = np.full((group.max() + 1, len(states)), 1 / len(states))
    before = -np.inf
    posterior = np.empty((len(z), len(states)))
    for _ in range(_MOST_ROUNDS):
        ratio, density = np.empty_like(z), np.zeros(len(z))
        for m in range(markers):
            low, high = (_normal(z[:, m], w) for w in (1 - with_marker[:, m], with_marker[:, m]))
            if high[0] - low[0] < LEAST_DISTANCE * np.sqrt((low[1] ** 2 + high[1] ** 2) / 2):
                return None
            between = np.clip(z[:, m], low[0], high[0])
            ratio[:, m] = _log_density(between, high) - _log_density(between, low)
            density += _log_density(z[:, m], low)
        logs = ratio @ states.T + np.log(shares[group])
        most = logs.max(axis=1)
        posterior = np.exp(logs - most[:, None])
        total = posterior.sum(axis=1)
        posterior /= total[:, None]
        # half a cell is added to every state, so a state that a small culture lacks stays possible
        counts = np.stack([np.bincount(group, posterior[:, s]) for s in range(len(states))], axis=1)
        shares = (counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True)
        with_marker = posterior @ states
        now = float((most + np.log(total) + density).sum())
        if abs(now - before) < _TOLERANCE * len(z):
            break
        before = now
    return posterior


def _normal(z: FloatArray, weights: FloatArray) -> tuple[float, float]:
    total = max(float(weights.sum()), 1e-12)
    mean = float(weights @ z) / total
    return mean, max(float(np.sqrt(weights @ (z - mean) ** 2 / total)), _LEAST_SD)


def _log_density(z: FloatArray, normal: tuple[float, float]) -> FloatArray:
    mean, sd = normal
    out: FloatArray = -0.5 * ((z - mean) / sd) ** 2 - np.log(sd)
    return out
