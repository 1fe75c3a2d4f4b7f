"""Medians in which some values count more than others."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def weighted_median(values: ArrayLike, weights: ArrayLike) -> NDArray:
    """The value at which half of the weight is reached, the values taken in ascending order.

    Parameters
    ----------
    values, weights : (N, ...)
        At least one value; weights are not negative.

    Returns
    -------
    (...)
        Of every column; one of its values.
    """
    values, weights = np.asarray(values), np.asarray(weights)
    order = np.argsort(values, axis=0, kind="stable")
    reached = np.cumsum(np.take_along_axis(weights, order, axis=0), axis=0)
    middle = np.argmax(reached >= reached[-1] / 2, axis=0)
    row = np.take_along_axis(order, np.asarray(middle)[None], axis=0)
    found: NDArray = np.take_along_axis(values, row, axis=0)[0]
    return found
