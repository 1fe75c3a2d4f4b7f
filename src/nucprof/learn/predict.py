"""Apply a saved classifier, forest or network: classes, confidence, composition of every well."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nucprof.errors import DataError
from nucprof.learn.cnn.model import CnnModel, load_cnn
from nucprof.learn.composition import CompositionEstimator
from nucprof.learn.forest.model import ForestModel, load_forest
from nucprof.learn.model_files import FOREST, model_files
from nucprof.plate.columns import CELL, PLATE, WELL

UNCERTAIN = "uncertain"


def load_classifier(folder: Path) -> ForestModel | CnnModel:
    """Load whichever model the folder holds."""
    (first, *_) = model_files(folder)
    return load_forest(first) if first.name == FOREST else load_cnn(folder)


def prediction_table(
    cells: pd.DataFrame,
    probabilities: np.ndarray,
    classes: Sequence[str],
    *,
    confidence: float,
) -> pd.DataFrame:
    """The rows of `predictions.parquet`.

    Parameters
    ----------
    cells
        Plate, well and key of the cells.
    probabilities
        `(n, K)` calibrated.
    classes
        Class names.
    confidence
        Cells whose largest probability is below this are called "uncertain".

    Returns
    -------
    DataFrame
        `plate, ROI_img_name, well, predicted, most_likely, confidence, p_<class> ...`;
        `most_likely` is the class before uncertain cells are set apart.
    """
    best = probabilities.argmax(axis=1) if len(probabilities) else np.empty(0, dtype=int)
    sure = probabilities.max(axis=1) if len(probabilities) else np.empty(0)
    likely = np.asarray(classes, dtype=object)[best]
    table = pd.DataFrame(
        {
            "plate": cells[PLATE].to_numpy(),
            "ROI_img_name": cells[CELL].to_numpy(),
            "well": cells[WELL].to_numpy(),
            "predicted": np.where(sure < confidence, UNCERTAIN, likely),
            "most_likely": likely,
            "confidence": sure,
        }
    )
    for column, name in enumerate(classes):
        table[f"p_{name}"] = probabilities[:, column]
    return table


def compositions(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    unseen_wells: Sequence[dict[str, Any]],
    *,
    bootstrap: int,
    seed: int,
) -> pd.DataFrame:
    """The rows of `composition.csv`: what every well holds, with 95% intervals.

    All cells count, by their most likely class: leaving the uncertain ones out would leave out more
    of the class that is harder to tell.

    Parameters
    ----------
    predictions
        As from :func:`prediction_table`.
    classes
        Class names.
    unseen_wells
        The model's confusion matrices on wells that it had not seen (`confusion_matrix` of each).
    bootstrap, seed
        Number and seed of the draws.

    Returns
    -------
    DataFrame
        One row per well and class, sorted: `plate, well, class, n_cells` (of the well),
        `n_predicted`, `n_uncertain`, `predicted_share`, `share` (corrected for the classifier's
        errors), `low`, `high`.

    Raises
    ------
    DataError
        If the model's errors are not known.
    """
    matrices = [np.asarray(well["confusion_matrix"]) for well in unseen_wells]
    if any(matrix.shape != (len(classes), len(classes)) for matrix in matrices):
        raise DataError("the model's confusion matrices do not fit its classes; train it again")
    estimator = CompositionEstimator(matrices, bootstrap=bootstrap, seed=seed)
    rows = []
    for (plate, well), cells in predictions.groupby(["plate", "well"], sort=True):
        counts = [int((cells["most_likely"] == name).sum()) for name in classes]
        found = estimator.estimate(counts)
        rows += [
            {
                "plate": plate,
                "well": well,
                "class": name,
                "n_cells": len(cells),
                "n_predicted": counts[i],
                "n_uncertain": int((cells["predicted"] == UNCERTAIN).sum()),
                "predicted_share": found.naive[i],
                "share": found.adjusted[i],
                "low": found.low[i],
                "high": found.high[i],
            }
            for i, name in enumerate(classes)
        ]
    return pd.DataFrame(rows)
