"""Shares that are 0 to 1 and add up to 1: draws of them, and the nearest to other points."""

from __future__ import annotations

import numpy as np


def dirichlet(alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One draw along the last axis for each parameter vector."""
    # Gamma draws of tiny shapes underflow to 0 together; in logarithms they do not.
    shifted = np.log(rng.gamma(alpha + 1)) + np.log(rng.random(alpha.shape)) / alpha
    weights = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def onto_simplex(points: np.ndarray) -> np.ndarray:
    """Euclidean projection onto the probability simplex (Duchi et al., ICML 2008), row by row."""
    ordered = -np.sort(-points, axis=1)
    above = np.cumsum(ordered, axis=1) - 1
    ranks = np.arange(1, points.shape[1] + 1)
    last = (ordered - above / ranks > 0).sum(axis=1)
    theta = above[np.arange(len(points)), last - 1] / last
    return np.asarray(np.maximum(points - theta[:, None], 0))
