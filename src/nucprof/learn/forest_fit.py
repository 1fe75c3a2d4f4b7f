"""Fit one random forest on a training part: features, scale, sample, search, fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from nucprof.learn.columns import PLATE, TARGET, WELL_KEY
from nucprof.learn.evaluate import score
from nucprof.learn.selection import Scaler, Scaling, informative
from nucprof.learn.split import Unit, attach, cv_folds, sample_cells

# Trees that are deeper or have smaller leaves fit more; which is right is asked of the wells.
SHAPES: tuple[tuple[int | None, int], ...] = ((4, 1), (8, 1), (None, 5), (None, 1))
TREES = (100, 300)
SEARCH_CELLS_PER_CLASS = 500
CONTROLS = 3
_PREDICT_ROWS = 4096


@dataclass(frozen=True)
class ForestSettings:
    """How a forest is evaluated and fitted; the keys of `train` and `train.rf`."""

    evaluation: Literal["cv", "split"] = "cv"
    split_unit: Unit = "well"
    sample: int | Literal["max", "unequal", "oversampling"] = 2000
    seeds: tuple[int, ...] = (0,)
    scaling: Scaling = "none"
    drop_redundant: bool = False
    n_jobs: int = 1


@dataclass(frozen=True)
class Shape:
    """What is searched: number of trees, depth (None: unlimited), smallest leaf."""

    trees: int
    depth: int | None
    min_leaf: int


@dataclass
class FittedForest:
    """A forest, what it was fitted on, and the same forests fitted to shuffled labels."""

    forest: RandomForestClassifier
    scaler: Scaler
    n_train: int
    shape: Shape
    searched_on: str
    controls: list[RandomForestClassifier]


def fit_forest(
    train: pd.DataFrame,
    features: Sequence[str],
    settings: ForestSettings,
    seed: int,
    *,
    controls: int = 0,
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
        See :class:`ForestSettings`.
    seed
        Of the sample, the search and the trees; the result does not depend on `n_jobs`.
    controls
        Number of forests to fit to labels shuffled within the training part.
    """
    chosen = informative(train, features, drop_redundant=settings.drop_redundant)
    scaler = Scaler(settings.scaling, chosen).fit(train)
    sampled = sample_cells(train, sample=settings.sample, seed=seed)
    # Wells are scaled by all their cells, so scaling comes before the rows are picked.
    values = scaler.transform(train)[train.index.get_indexer(sampled.index)]
    labels = sampled[TARGET].to_numpy(dtype=str)
    shape, searched_on = search_shape(values, sampled, settings, seed)
    forest = new_forest(shape, seed, settings.n_jobs).fit(values, labels)
    rng = np.random.default_rng(seed)
    small = Shape(TREES[0], shape.depth, shape.min_leaf)
    shuffled = [
        new_forest(small, seed + i, settings.n_jobs).fit(values, rng.permutation(labels))
        for i in range(controls)
    ]
    return FittedForest(forest, scaler, len(sampled), shape, searched_on, shuffled)


def search_shape(
    values: np.ndarray,
    cells: pd.DataFrame,
    settings: ForestSettings,
    seed: int,
) -> tuple[Shape, str]:
    """Depth, leaf size and number of trees with the best macro-F1 on wells held out of training.

    At most 500 cells per class take part. Of equals (to 0.001) the simplest is taken.

    Parameters
    ----------
    values
        `(n_cells, n_features)`, the training cells, in the order of `cells`.
    cells
        Their keys and `target`.
    settings
        Gives the unit that is never divided, and the number of threads.
    seed
        Of the folds and the forests.

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
    trials = _inner_trials(rows, settings.split_unit, seed)
    on = "oob" if trials is None else f"{settings.split_unit}s"
    labels = rows[TARGET].to_numpy(dtype=str)
    classes = sorted(set(labels))

    @cache
    def f1(shape: Shape) -> float:
        if trials is None:
            forest = new_forest(shape, seed, settings.n_jobs, oob_score=True).fit(values, labels)
            guess = forest.classes_[np.nan_to_num(forest.oob_decision_function_).argmax(axis=1)]
            return float(score(labels, guess, classes)["f1_macro"])
        guess = np.empty_like(labels)
        for held_out in trials:
            forest = new_forest(shape, seed, settings.n_jobs).fit(
                values[~held_out], labels[~held_out]
            )
            likely = predict_proba(forest, values[held_out], settings.n_jobs).argmax(axis=1)
            guess[held_out] = forest.classes_[likely]
        return float(score(labels, guess, classes)["f1_macro"])

    best = _simplest_best([Shape(TREES[0], depth, leaf) for depth, leaf in SHAPES], f1)
    trees = [Shape(n, best.depth, best.min_leaf) for n in TREES]
    return _simplest_best(trees, f1), on


def _simplest_best(shapes: list[Shape], f1: Callable[[Shape], float]) -> Shape:
    scores = [round(f1(shape), 3) for shape in shapes]
    return shapes[int(np.argmax(scores))]


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


def predict_proba(forest: RandomForestClassifier, values: np.ndarray, n_jobs: int) -> np.ndarray:
    """Probabilities, equal for any number of threads.

    scikit-learn's own threads add up the trees in whatever order they finish, so that the last bits
    differ from run to run; here threads take rows, and each adds up the trees in order.
    """
    forest.set_params(n_jobs=1)
    chunks = [values[i : i + _PREDICT_ROWS] for i in range(0, len(values), _PREDICT_ROWS)]
    if not chunks:
        return np.empty((0, len(forest.classes_)))
    with ThreadPoolExecutor(n_jobs) as pool:
        return np.concatenate(list(pool.map(forest.predict_proba, chunks)))
