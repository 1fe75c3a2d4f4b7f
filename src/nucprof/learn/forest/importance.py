"""Which features a forest needs: impurity decrease, and what it loses when one is permuted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.inspection import permutation_importance

from nucprof.learn.evaluate import score
from nucprof.learn.forest.fit import FittedForest, predict_proba
from nucprof.plate.columns import TARGET

CELLS = 500
REPEATS = 3
FEATURES = 30


def f1_lost(fitted: FittedForest, test: pd.DataFrame, seed: int) -> pd.Series:
    """Macro-F1 lost on unseen cells when one feature's values are shuffled among them.

    Measured for the 30 features of largest impurity decrease, on at most 500 cells.
    """
    rows = np.random.default_rng(seed).permutation(len(test))[:CELLS]
    values = fitted.scaler.transform(test)[rows]
    truth = test[TARGET].to_numpy(dtype=str)[rows]
    names = fitted.forest.classes_
    order = np.argsort(-fitted.forest.feature_importances_, kind="stable")
    leading = np.sort(order[:FEATURES])

    def f1(forest: RandomForestClassifier, shown: np.ndarray, truth: np.ndarray) -> float:
        """Of the forest where the leading features are as `shown`; the others stay as they are."""
        values[:, leading] = shown
        guess = names[predict_proba(forest, values, 1).argmax(axis=1)]
        return float(score(truth, guess, list(names))["f1_macro"])

    lost = permutation_importance(
        fitted.forest,
        values[:, leading],
        truth,
        scoring=f1,
        n_repeats=REPEATS,
        random_state=seed,
    )
    return pd.Series(lost.importances_mean, [fitted.scaler.features[i] for i in leading])


def importance_table(impurity: pd.Series, permutation: Sequence[pd.Series]) -> pd.DataFrame:
    """`feature, impurity, permutation`, the most important first; missing where not measured."""
    table = pd.DataFrame({"impurity": impurity})
    table["permutation"] = pd.concat(permutation, axis=1).mean(axis=1) if permutation else np.nan
    table = table.rename_axis("feature").reset_index()
    return table.sort_values(["impurity", "feature"], ascending=[False, True], ignore_index=True)
