"""The forest as a file: skops, which cannot run code, and checked before it is used."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from sklearn.ensemble import RandomForestClassifier

from nucprof.errors import ModelError
from nucprof.io.damage import reading
from nucprof.learn.calibrate import calibrated, logits_of
from nucprof.learn.expectations import Expectations
from nucprof.learn.forest.fit import predict_proba
from nucprof.learn.model_schema import ForestFile, described
from nucprof.learn.scaling import Scaler, Scaling
from nucprof.learn.selection import find_features
from nucprof.plate.columns import PLATE, REFERENCE, WELL_KEY, require

SCHEMA = 2
# skops does not trust a tree by itself, since node indices out of range would be followed without a
# check; _trees_fit looks at them. Nothing else beyond skops' own list may be in the file.
TRUSTED = ["sklearn.tree._tree.Tree"]


@dataclass
class ForestModel:
    """A fitted forest with all that is needed to apply it to a table of features."""

    forest: RandomForestClassifier
    features: list[str]
    scaling: Scaling
    classes: list[str]
    cultures: list[str] = field(default_factory=list)
    """Cultures of the reference wells that scale a plate; empty where they are not needed."""
    metadata: dict[str, Any] = field(default_factory=dict)
    expects: Expectations | None = None
    """The images and features it was trained on; None for a model of an earlier version."""

    @property
    def prior(self) -> np.ndarray:
        """Shares `(K,)` of the classes at which the calibrated probabilities hold."""
        return np.asarray(self.metadata["prior"])

    def calibrate(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities `(n, K)` that mean what they say, of the forest's votes."""
        return calibrated(logits_of(probabilities), self.metadata["temperature"])

    def calibrate_evaluation(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated, of the probabilities that `predictions.csv` holds: the forest's votes."""
        return self.calibrate(probabilities)

    def values(self, cells: pd.DataFrame) -> np.ndarray:
        """The model's features `(n_cells, n_features)` of a feature table, unscaled."""
        found = find_features(self.features, list(cells.columns))
        return np.asarray(cells[found], dtype=float)

    def predict_proba(self, cells: pd.DataFrame, *, n_jobs: int = 1) -> np.ndarray:
        """Class probabilities `(n_cells, n_classes)` of the cells of a feature table.

        A model that was trained on features scaled by plate scales each plate by its reference
        wells: the cells with a culture in the column `reference`.

        Raises
        ------
        ModelError
            If the table lacks a feature of the model, naming it.
        DataError
            If a plate has no reference wells of the cultures that the model was scaled by.
        """
        require(cells, WELL_KEY)
        values = self.values(cells)
        if self.scaling != "none":
            named = pd.DataFrame(values, columns=self.features, index=cells.index)
            table = pd.concat(
                [cells[[c for c in (*WELL_KEY, REFERENCE) if c in cells]], named], axis=1
            )
            reference = table[table[REFERENCE].notna()] if REFERENCE in table else None
            scaler = Scaler(self.scaling, self.features, list(self.cultures))
            values = scaler.fit(reference, sorted(table[PLATE].unique())).transform(table)
        return predict_proba(self.forest, values, n_jobs)

    def save(self, path: Path) -> None:
        """Write the skops file."""
        import skops.io  # slow: it imports all of scikit-learn, and torch where there is one

        content = {
            "schema": SCHEMA,
            "sklearn": sklearn.__version__,
            "forest": self.forest,
            "features": list(self.features),
            "scaling": self.scaling,
            "classes": list(self.classes),
            "cultures": list(self.cultures),
            "metadata": self.metadata,
            "expects": self.expects.model_dump(mode="json") if self.expects else None,
        }
        skops.io.dump(content, path)


def load_forest(path: Path) -> ForestModel:
    """Read a skops file written by :meth:`ForestModel.save`.

    Raises
    ------
    ModelError
        If the file is missing or broken, holds any type that a forest does not need, or trees that
        do not fit its features and classes.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    if not path.is_file():
        raise ModelError(f"there is no forest {path}; train one with `nucprof train rf`")
    with reading(path, ModelError, "Is it a forest of nucprof's? Train it again."):
        try:
            content = skops.io.load(path, trusted=TRUSTED)
        except UntrustedTypesFoundException as error:
            raise ModelError(
                f"{path} holds more than a forest and was not loaded: {error}"
            ) from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ModelError(f"{path} is no forest of nucprof's (schema {SCHEMA}); train it again")
    about = described(path, content, ForestFile)
    forest = content.get("forest")
    if not isinstance(forest, RandomForestClassifier) or not _trees_fit(
        forest, len(about.features), about.classes
    ):
        raise ModelError(f"{path}: trees, features and classes do not fit together; train it again")
    return ForestModel(
        forest,
        about.features,
        about.scaling,
        about.classes,
        about.cultures,
        content["metadata"],
        about.expects,
    )


def _trees_fit(forest: RandomForestClassifier, n_features: int, classes: list[str]) -> bool:
    """Whether all nodes can be followed and their values are shares.

    Every node's children and feature exist, children come after parents (so that paths end).
    """
    if list(forest.classes_) != list(classes) or forest.n_features_in_ != n_features:
        return False
    if not forest.estimators_:
        return False
    for estimator in forest.estimators_:
        tree = estimator.tree_
        left, right, feature = tree.children_left, tree.children_right, tree.feature
        nodes = np.arange(tree.node_count)
        leaf = left == -1
        inside = (left > nodes) & (right > nodes)
        inside &= (left < tree.node_count) & (right < tree.node_count)
        inside &= (feature >= 0) & (feature < n_features)
        whole = tree.value.shape == (tree.node_count, 1, len(classes))
        whole &= bool(np.isfinite(tree.value).all() and (tree.value >= 0).all())
        whole &= bool(np.isfinite(tree.threshold).all() and (tree.value.sum(axis=2) > 0).all())
        if not (whole and tree.n_features == n_features and (leaf | inside).all()):
            return False
    return True
