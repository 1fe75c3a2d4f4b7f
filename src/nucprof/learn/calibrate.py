"""Confidence that means what it says: temperature scaling (Guo et al., ICML 2017)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax

_BOUNDS = (0.05, 20.0)
_SMALLEST = 1e-6


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The temperature T by which softmax(logits / T) has the least negative log-likelihood.

    Parameters
    ----------
    logits
        `(n, K)` of cells of wells that the classifier was not trained on.
    targets
        `(n,)` index of the true class.

    Returns
    -------
    float
        Between 0.05 and 20; above 1 where the classifier is surer than it should be.
    """
    rows = np.arange(len(targets))

    def loss(log_t: float) -> float:
        return float(-log_softmax(logits / np.exp(log_t), axis=1)[rows, targets].mean())

    found = minimize_scalar(loss, bounds=tuple(np.log(_BOUNDS)), method="bounded")
    return float(np.exp(found.x))


def calibrated(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Class probabilities `(n, K)` at a temperature; the most likely class stays the same."""
    return np.asarray(softmax(logits / temperature, axis=1))


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Logits whose softmax are the probabilities; zeros (a forest's unanimity) become 1e-6."""
    return np.asarray(np.log(np.clip(probabilities, _SMALLEST, None)))


def calibration_error(probabilities: np.ndarray, targets: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error: mean |accuracy - confidence| over bins of equal width."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == targets
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(number, minlength=bins)
    gaps = np.bincount(number, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / counts.sum())


def fit_prior(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The shares of the classes at which calibrated probabilities hold.

    A classifier trained on balanced classes speaks of balanced classes; one that leans towards a
    class, of wells with more of it. The prior w is the one that makes `p / w` the most likely on
    cells weighted so that the classes count alike: the bias term of Alexandari, Kundaje and
    Shrikumar (ICML 2020). A weak normal prior (standard deviation 1 of the log-odds) keeps it
    finite where the classes are told apart without error.

    Parameters
    ----------
    probabilities
        `(n, K)` calibrated, of cells of wells that the classifier was not trained on.
    targets
        `(n,)` index of the true class. Where a class is absent nothing is known: all are alike.

    Returns
    -------
    ndarray
        `(K,)`, adds up to 1.
    """
    logits, rows = logits_of(probabilities), np.arange(len(targets))
    sizes = np.bincount(targets, minlength=probabilities.shape[1])
    weights = sizes.min() / sizes[targets]
    truth = np.eye(probabilities.shape[1])[targets]

    def loss(bias: np.ndarray) -> tuple[float, np.ndarray]:
        logged = log_softmax(logits + bias, axis=1)
        slope = (weights[:, None] * (np.exp(logged) - truth)).sum(axis=0) + bias
        return float(-(weights * logged[rows, targets]).sum() + (bias**2).sum() / 2), slope

    found = minimize(loss, np.zeros(probabilities.shape[1]), jac=True, method="BFGS")
    return np.asarray(softmax(-found.x))
