"""How well a forest does on unseen wells when labels are exchanged between wells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from nucprof.config.models import ForestSettings
from nucprof.learn.cells import Training
from nucprof.learn.chance import Chance, Codes, Exchange, permutation_test
from nucprof.learn.forest.fit import Shape, fit_forest, predict_proba
from nucprof.learn.scaling import Scaler
from nucprof.learn.scores import macro_f1, table_of
from nucprof.learn.split import attach, cv_folds
from nucprof.plate.columns import CELL, PLATE, TARGET, WELL, WELL_KEY

ARRANGEMENTS = 99
"""Forests are fitted for each; this many take a third of the time of `train rf`, or less."""
FOLDS = 3
SHAPE = Shape(trees=10, depth=None, min_leaf=5)
CELLS = 600


def forest_chance(
    cells: pd.DataFrame,
    features: Sequence[str],
    settings: ForestSettings,
    training: Training,
    seed: int,
    *,
    reference: pd.DataFrame | None = None,
) -> Chance:
    """Cross-validate a small forest with the true labels, and with labels exchanged.

    The folds, the sample and the forest are made anew from the labels of every arrangement, and the
    true labels are treated like any other, so that the p-value is exact. That takes a forest whose
    shape no label has chosen: 10 trees on at most 600 cells (the same number of every well), three
    folds of wells, 99 arrangements.

    Parameters
    ----------
    cells
        All labelled cells, as for :func:`~nucprof.learn.forest.evaluate.evaluate_forest`.
    features, settings, training, seed, reference
        Likewise. Features are scaled once, the same for all arrangements.
    """
    wells = cells[WELL_KEY].drop_duplicates()
    scaler = Scaler(settings.scaling, list(features)).fit(reference, sorted(wells[PLATE].unique()))
    scaled = pd.DataFrame(scaler.transform(cells), columns=list(features), index=cells.index)
    cells = pd.concat([cells[[*WELL_KEY, CELL, TARGET]], scaled], axis=1)
    shuffled = cells.sample(frac=1, random_state=seed)
    few = shuffled.groupby(WELL_KEY).head(max(CELLS // len(wells), 1)).sort_index()
    few = few.reset_index(drop=True)
    classes, truth = np.unique(few[TARGET].to_numpy(dtype=str), return_inverse=True)
    unscaled = settings.model_copy(update={"scaling": "none"})

    def figure(labels: Codes) -> float:
        named = few.assign(**{TARGET: classes[labels]})
        return float(macro_f1(_tested(named, features, unscaled, training, seed)))

    exchange = Exchange.of(few[PLATE].to_numpy(), few[WELL].to_numpy(), truth)
    return permutation_test(figure, exchange, renamed=True, draws=ARRANGEMENTS, seed=seed)


def _tested(
    cells: pd.DataFrame,
    features: Sequence[str],
    settings: ForestSettings,
    training: Training,
    seed: int,
) -> np.ndarray:
    """Confusion table `(K, K)` of all cells, by forests that have not seen their wells."""
    split = cv_folds(cells, unit=training.split_unit, seed=seed, folds=FOLDS)
    fold = attach(cells, split, "fold").to_numpy()
    classes, truth = np.unique(cells[TARGET].to_numpy(dtype=str), return_inverse=True)
    table = np.zeros((len(classes), len(classes)))
    for number in np.unique(fold):
        test = cells[fold == number]
        # Forests this small lose more by threads than they gain: one thread.
        fitted = fit_forest(cells[fold != number], features, settings, training, seed, shape=SHAPE)
        likely = predict_proba(fitted.forest, fitted.scaler.transform(test), 1)
        table += table_of(truth[fold == number], likely.argmax(axis=1), len(classes))
    return table
