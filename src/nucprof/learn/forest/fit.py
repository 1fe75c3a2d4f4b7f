"""Fit one random forest on a training part: features, scale, sample, search, fit."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from nucprof.config.models import ForestSettings
from nucprof.learn.cells import Training
from nucprof.learn.scaling import Scaler
from nucprof.learn.selection import informative
from nucprof.learn.split import Unit, attach, cv_folds, sample_cells
from nucprof.plate.columns import PLATE, TARGET, WELL_KEY

# Trees that are deeper or have smaller leaves fit more; which is right is asked of the wells.
SHAPES: tuple[tuple[int | None, int], ...] = ((4, 1), (8, 1), (None, 5), (None, 1))
TREES = (50, 150)
SEARCH_TREES = 30
SEARCH_CELLS_PER_CLASS = 500
_PREDICT_ROWS = 4096


@dataclass(frozen=True)
class Shape:
    """What is searched: number of trees, depth (None: unlimited), smallest leaf."""

    trees: int
    depth: int | None
    min_leaf: int


@dataclass
class FittedForest:
    """A forest and what it was fitted on."""

    forest: RandomForestClassifier
    scaler: Scaler
    n_train: int
    shape: Shape
    searched_on: str


def fit_forest(
    train: pd.DataFrame,
    features: Sequence[str],
    settings: ForestSettings,
    training: Training,
    seed: int,
    *,
    n_jobs: int = 1,
    reference: pd.DataFrame | None = None,
    shape: Shape | None = None,
) -> FittedForest:
    """Choose features, scale, sample, search the shape and fit, all on the training cells.

    A missing value (NaN) is no error: every tree decides at each split to which side missing go.

    Parameters
    ----------
    train
        The training part: keys, `target`, features.
    features
        Candidate columns.
    settings
        Give the scaling, and whether redundant features are dropped.
    training
        Gives the sample, and the unit that the search never divides.
    seed
        Of the sample, the search and the trees.
    n_jobs
        Number of threads; the result does not depend on it.
    reference
        Cells of the reference wells of all plates, where features are scaled by plate.
    shape
        What is fitted; None searches it.
    """
    chosen = informative(train, features, drop_redundant=settings.drop_redundant)
    plates = {*train[PLATE], *([] if reference is None else reference[PLATE])}
    scaler = Scaler(settings.scaling, chosen).fit(reference, sorted(plates))
    sampled = sample_cells(train, sample=training.sample, seed=seed)
    # Wells are scaled by all their cells, so scaling comes before the rows are picked.
    values = scaler.transform(train)[train.index.get_indexer(sampled.index)]
    labels = sampled[TARGET].to_numpy(dtype=str)
    searched_on = "given"
    if shape is None:
        shape, searched_on = search_shape(values, sampled, training.split_unit, seed, n_jobs=n_jobs)
    forest = new_forest(shape, seed, n_jobs).fit(values, labels)
    return FittedForest(forest, scaler, len(sampled), shape, searched_on)


def search_shape(
    values: np.ndarray,
    cells: pd.DataFrame,
    unit: Unit,
    seed: int,
    *,
    n_jobs: int = 1,
) -> tuple[Shape, str]:
    """Depth, leaf size and number of trees that do best on wells held out of the training part.

    Best is the least Brier score (squared error of the probabilities), which says more than F1
    where cells are few. At most 500 cells per class take part. Depth and leaf are chosen
    first, with few trees, then their number. Of equals (to 0.001) the simplest is taken.

    Parameters
    ----------
    values
        `(n_cells, n_features)`, the training cells, in the order of `cells`.
    cells
        Their keys and `target`.
    unit
        What a fold never divides.
    seed
        Of the folds and the forests.
    n_jobs
        Number of threads.

    Returns
    -------
    tuple
        The shape, and on what it was chosen: "wells" ("plates"), or "oob" (out-of-bag cells) where
        a class has a single training well, so that no well can be held out.
    """
    rows = cells.reset_index(drop=True)
    shuffled = rows.sample(frac=1, random_state=seed)
    picked = np.sort(shuffled.groupby(TARGET).head(SEARCH_CELLS_PER_CLASS).index.to_numpy())
    values, rows = values[picked], rows.iloc[picked].reset_index(drop=True)
    trials = _inner_trials(rows, unit, seed)
    on = "oob" if trials is None else f"{unit}s"
    labels = rows[TARGET].to_numpy(dtype=str)
    truth = labels[:, None] == np.unique(labels)

    def loss(shape: Shape, sizes: Sequence[int]) -> list[float]:
        """Brier score of the first so many trees of one forest, for every size."""
        votes = np.empty((len(sizes), *truth.shape))
        if trials is None:
            for row, size in zip(votes, sizes, strict=True):
                forest = new_forest(replace(shape, trees=size), seed, n_jobs, oob_score=True)
                row[:] = np.nan_to_num(forest.fit(values, labels).oob_decision_function_)
        for held_out in trials or ():
            forest = new_forest(shape, seed, n_jobs).fit(values[~held_out], labels[~held_out])
            for row, size in zip(votes, sizes, strict=True):
                row[held_out] = predict_proba(forest, values[held_out], n_jobs, trees=size)
        return [float(((row - truth) ** 2).sum(axis=1).mean()) for row in votes]

    shapes = [Shape(SEARCH_TREES, depth, leaf) for depth, leaf in SHAPES]
    best = shapes[_first_best([loss(shape, [SEARCH_TREES])[0] for shape in shapes])]
    trees = TREES[_first_best(loss(replace(best, trees=max(TREES)), TREES))]
    return replace(best, trees=trees), on


def _first_best(losses: list[float]) -> int:
    return int(np.argmin(np.round(losses, 3)))


def _inner_trials(rows: pd.DataFrame, unit: Unit, seed: int) -> list[np.ndarray] | None:
    keys = [PLATE] if unit == "plate" else WELL_KEY
    units = rows[[*keys, TARGET]].drop_duplicates().groupby(TARGET).size()
    if units.min() < 2:
        return None
    fold = attach(rows, cv_folds(rows, unit=unit, seed=seed, folds=3), "fold").to_numpy()
    return [fold == held_out for held_out in np.unique(fold)]


def new_forest(shape: Shape, seed: int, n_jobs: int, **more: Any) -> RandomForestClassifier:
    """An unfitted forest; classes weigh the same whatever their sizes."""
    return RandomForestClassifier(
        n_estimators=shape.trees,
        max_depth=shape.depth,
        min_samples_leaf=shape.min_leaf,
        class_weight="balanced",
        random_state=seed,
        n_jobs=n_jobs,
        **more,
    )


def predict_proba(
    forest: RandomForestClassifier, values: np.ndarray, n_jobs: int, *, trees: int | None = None
) -> np.ndarray:
    """Probabilities `(n, K)`, the mean over the (first so many) trees; equal for any `n_jobs`.

    scikit-learn's own threads add up the trees in whatever order they finish, so that the last bits
    differ from run to run; here threads take rows, and each adds up the trees in order.
    """
    used = forest.estimators_[:trees]
    ready = np.ascontiguousarray(values, dtype=np.float32)
    chunks = [ready[i : i + _PREDICT_ROWS] for i in range(0, len(ready), _PREDICT_ROWS)]

    def mean(chunk: np.ndarray) -> np.ndarray:
        total = np.zeros((len(chunk), len(forest.classes_)))
        for tree in used:
            total += tree.predict_proba(chunk, check_input=False)
        return total / len(used)

    if not chunks:
        return np.empty((0, len(forest.classes_)))
    if n_jobs == 1 or len(chunks) == 1:
        return np.concatenate([mean(chunk) for chunk in chunks])
    with ThreadPoolExecutor(n_jobs) as pool:
        return np.concatenate(list(pool.map(mean, chunks)))
