"""Figures of confusion tables, and their intervals over wells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.95
DRAWS = 2000
PRIOR = 0.5


def table_of(truth: NDArray, guess: NDArray, n_classes: int) -> NDArray[np.float64]:
    """Confusion table `(K, K)`, rows true, of class numbers `(n,)`."""
    pairs = np.bincount(truth * n_classes + guess, minlength=n_classes**2)
    return pairs.reshape(n_classes, n_classes).astype(float)


def f1_per_class(tables: NDArray) -> NDArray[np.float64]:
    """F1 = 2 TP / (2 TP + FP + FN), `(..., K)` of tables `(..., K, K)`.

    A class that neither occurs nor is predicted counts 0.
    """
    hits = np.diagonal(tables, axis1=-2, axis2=-1)
    either = tables.sum(axis=-1) + tables.sum(axis=-2)
    return np.asarray(2 * hits / np.where(either > 0, either, 1))


def macro_f1(tables: NDArray) -> NDArray[np.float64]:
    """Mean of the classes' F1, `(...)`."""
    return np.asarray(f1_per_class(tables).mean(axis=-1))


def accuracy(tables: NDArray) -> NDArray[np.float64]:
    """Share of the cells that are right, `(...)`."""
    hits = np.trace(tables, axis1=-2, axis2=-1)
    total = tables.sum(axis=(-2, -1))
    return np.asarray(hits / np.where(total > 0, total, 1))


def unit_tables(
    predictions: pd.DataFrame, classes: Sequence[str], unit: Literal["well", "plate"]
) -> NDArray[np.float64]:
    """Confusion tables of the tested wells (or plates), `(U, K, K)`.

    A cell that several runs have tested counts as one cell, in equal parts.
    """
    keys = ["plate", "well"] if unit == "well" else ["plate"]
    number = {name: k for k, name in enumerate(classes)}
    group = predictions.groupby(keys, sort=True).ngroup().to_numpy()
    runs = predictions.groupby(["plate", "ROI_img_name"])["seed"].transform("size").to_numpy()
    truth, guess = (
        predictions[name].map(number).to_numpy() for name in ("true_condition", "predicted")
    )
    tables = np.zeros((group.max() + 1, len(classes), len(classes)))
    np.add.at(tables, (group, truth, guess), 1 / runs)
    return tables


def intervals(
    tables: NDArray, classes: Sequence[str], point: Mapping[str, Any], *, seed: int = 0
) -> dict[str, Any]:
    """95% intervals of macro-F1, accuracy and F1 per class over wells like the tested ones.

    The variance is that of a bootstrap over wells, of each class apart where wells are pure, in
    which n - 1 of n wells are drawn with weight n / (n - 1), so that it is unbiased also for few
    wells (Rao and Wu 1988). The limits are its t quantiles (as many degrees of freedom as wells
    less groups of wells) after the arcsine transform. No interval is narrower than if all cells
    were independent (draws of the error rates from their Jeffreys posterior), so that a classifier
    without any error in few cells does not get an interval of width 0.

    Parameters
    ----------
    tables
        `(U, K, K)` counts of every well (or plate), see :func:`unit_tables`.
    classes
        Class names.
    point
        `f1_macro`, `accuracy` and `f1_per_class` (by name), which lie inside their intervals.
    seed
        Of the draws.

    Returns
    -------
    dict
        `f1_macro_ci`, `accuracy_ci`: [low, high], `f1_per_class_ci`: by name; None where a class
        has a single pure well, or there is a single well: nothing is known about other wells.
    """
    rng = np.random.default_rng(seed)
    values = np.array([point["f1_macro"], point["accuracy"], *point["f1_per_class"].values()])
    drawn, freedom = _drawn_tables(tables, rng)
    if not freedom:
        low, high = [None] * len(values), [None] * len(values)
    else:
        angles = _angle(_figures(drawn))
        reach = stats.t.ppf((1 + LEVEL) / 2, freedom) * angles.std(axis=0)
        alone = _figures(_drawn_cells(tables.sum(axis=0), rng))
        cells = np.quantile(alone, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        low = np.minimum.reduce([_share(_angle(values) - reach), cells[0], values]).tolist()
        high = np.maximum.reduce([_share(_angle(values) + reach), cells[1], values]).tolist()
    limits = [None if a is None else [a, b] for a, b in zip(low, high, strict=True)]
    return {
        "f1_macro_ci": limits[0],
        "accuracy_ci": limits[1],
        "f1_per_class_ci": dict(zip(classes, limits[2:], strict=True)),
    }


def _figures(tables: NDArray) -> NDArray[np.float64]:
    """Macro-F1, accuracy and F1 of every class, `(n, 2 + K)`."""
    return np.column_stack([macro_f1(tables), accuracy(tables), f1_per_class(tables)])


def _drawn_tables(tables: NDArray, rng: np.random.Generator) -> tuple[NDArray, int]:
    """Tables of resampled wells `(n, K, K)`, and degrees of freedom; 0 where none is known."""
    present = tables.sum(axis=2) > 0
    pure = bool((present.sum(axis=1) == 1).all())
    stratum = present.argmax(axis=1) if pure else np.zeros(len(tables), dtype=int)
    sizes = np.bincount(stratum, minlength=1)
    sizes = sizes[sizes > 0]
    if sizes.min() < 2:
        return tables[:0], 0
    weights = np.zeros((DRAWS, len(tables)))
    for number in np.unique(stratum):
        own = np.flatnonzero(stratum == number)
        n = len(own)
        weights[:, own] = rng.multinomial(n - 1, np.full(n, 1 / n), DRAWS) * (n / (n - 1))
    drawn = np.einsum("du,ujk->djk", weights, tables)
    # Where wells are mixed, a draw may lack a class that few wells hold: it says nothing.
    whole = (drawn.sum(axis=2) > 0)[:, present.any(axis=0)].all(axis=1)
    return drawn[whole], int(sizes.sum() - len(sizes)) if whole.any() else 0


def _drawn_cells(table: NDArray, rng: np.random.Generator) -> NDArray:
    """Tables `(n, K, K)` whose rows are drawn from their Dirichlet posterior."""
    rows = [rng.dirichlet(row + PRIOR, size=DRAWS) * row.sum() for row in table]
    return np.stack(rows, axis=1)


def _angle(share: NDArray) -> NDArray:
    return np.asarray(2 * np.arcsin(np.sqrt(share)))


def _share(angle: NDArray) -> NDArray:
    return np.asarray(np.sin(np.clip(angle, 0, np.pi) / 2) ** 2)
