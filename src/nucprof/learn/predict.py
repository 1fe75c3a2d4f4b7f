"""Apply a saved classifier, forest or network: classes and confidence of cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from nucprof.errors import ModelError
from nucprof.learn.cnn.model import CnnModel, load_cnn
from nucprof.learn.composition.prior_shift import at_shares
from nucprof.learn.forest.model import ForestModel, load_forest
from nucprof.learn.model_files import FOREST, model_files
from nucprof.learn.out_of_fold import NEW, Rows, first_of_each_cell, replace_seen, wells_seen
from nucprof.plate.columns import CELL, PLATE, WELL

UNCERTAIN = "uncertain"


def load_classifier(folder: Path) -> ForestModel | CnnModel:
    """Load whichever model the folder holds."""
    (first, *_) = model_files(folder)
    return load_forest(first) if first.name == FOREST else load_cnn(folder)


@dataclass(frozen=True)
class Predicted:
    """Calibrated probabilities `(n, K)`, and where each row comes from, `(n,)`."""

    probabilities: np.ndarray
    source: np.ndarray
    seen: set[tuple[str, str]]
    """Wells (plate, well) that the model was trained on."""
    warnings: list[str]


def with_evaluation(
    model: ForestModel | CnnModel,
    probabilities: np.ndarray,
    cells: pd.DataFrame,
    rows: Rows,
    evaluated: pd.DataFrame | None,
) -> Predicted:
    """Put the evaluation's predictions in the place of those of cells that were trained on.

    Parameters
    ----------
    model
        The classifier.
    probabilities
        `(n, K)` its own, calibrated.
    cells
        Plate, well and key of the n cells.
    rows
        What the classifier saw of them.
    evaluated
        `predictions.csv` of its evaluation; None where it came without.
    """
    same, named = wells_seen(model.metadata["trained_wells"], cells, rows)
    kept = None
    if evaluated is not None and same:
        kept = first_of_each_cell(evaluated)
        columns = [f"p_{name}" for name in model.classes]
        kept[columns] = model.calibrate_evaluation(kept[columns].to_numpy(dtype=float))
    found, source = replace_seen(probabilities, cells, same, kept, model.classes)
    warnings = []
    if named:
        plate, well = min(named)
        warnings.append(
            f"{len(named)} wells, e.g. {plate}/{well}, have the names of wells that the model was "
            "trained on and hold other cells: they count as new. If they are the same wells, "
            "segmented or measured anew, train again"
        )
    return Predicted(found, source, same, warnings)


def prediction_table(
    cells: pd.DataFrame,
    probabilities: np.ndarray,
    classes: Sequence[str],
    *,
    confidence: float,
    source: np.ndarray | None = None,
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
    source
        `(n,)` where the probabilities come from (see :mod:`nucprof.learn.out_of_fold`); None: all
        are new to the model.

    Returns
    -------
    DataFrame
        `plate, ROI_img_name, well, predicted, most_likely, confidence, p_<class> ..., source`;
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
    table["source"] = NEW if source is None else source
    return table


def add_confidence_in_well(
    predictions: pd.DataFrame, composition: pd.DataFrame, classes: Sequence[str], prior: np.ndarray
) -> pd.DataFrame:
    """Add `confidence_in_well`: how likely the most likely class is, given what the well holds.

    `confidence` holds where the classes are as frequent as in the calibration. In a well with 2%
    of a class, most cells called by its name are errors of the many others; Bayes' rule with the
    well's estimated shares says so. Half a cell is added to every class, as no count proves that a
    class is absent.

    Parameters
    ----------
    predictions
        As from :func:`prediction_table`.
    composition
        As from :func:`nucprof.learn.composition.table.compositions`.
    classes
        Class names.
    prior
        `(K,)` shares at which the probabilities hold.
    """
    columns = [f"p_{name}" for name in classes]
    shares = composition.pivot(index=["plate", "well"], columns="class", values="share")[
        list(classes)
    ]
    found = np.zeros(len(predictions))
    places = predictions.groupby(["plate", "well"]).indices
    for well, rows in places.items():
        own = shares.loc[well].to_numpy() * len(rows) + 0.5
        probabilities = predictions.iloc[rows][columns].to_numpy(dtype=float)
        right = at_shares(probabilities, prior, own)
        called = probabilities.argmax(axis=1)
        found[rows] = right[np.arange(len(rows)), called]
    place = list(predictions.columns).index("confidence") + 1
    predictions = predictions.copy()
    predictions.insert(place, "confidence_in_well", found)
    return predictions


def refuse_erased(model: ForestModel | CnnModel) -> None:
    """Refuse a model that scales every well by its own cells: it cannot tell what wells hold.

    Raises
    ------
    ModelError
        If the model was trained with ``train.rf.scaling = "well"``.
    """
    if isinstance(model, ForestModel) and model.scaling == "well":
        raise ModelError(
            'the model was trained with train.rf.scaling = "well": every well is scaled by its own '
            "cells, which makes all wells look alike, so that their composition cannot be told; "
            'train again with scaling = "none", or "plate" (by reference wells)'
        )
