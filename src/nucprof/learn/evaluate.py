"""The figures by which classifiers are judged, the same for the forest and the CNN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import (
    auc,
    average_precision_score,
    confusion_matrix,
    precision_recall_curve,
    roc_curve,
)

from nucprof.learn.chance import Chance
from nucprof.learn.scores import accuracy, f1_per_class, intervals, macro_f1, unit_tables
from nucprof.learn.split import Unit
from nucprof.plate.columns import CELL, DENSITY, PLATE, TARGET, WELL, require

Curve = dict[str, np.ndarray | float]


def predictions_frame(
    cells: pd.DataFrame,
    probabilities: np.ndarray,
    classes: Sequence[str],
    *,
    seed: int,
    **extra: object,
) -> pd.DataFrame:
    """The rows of `predictions.csv`.

    Parameters
    ----------
    cells
        The predicted cells, with plate, well, cell key and `target`.
    probabilities
        `(n_cells, n_classes)` float, in the order of `classes`; the largest decides (of equals
        the first).
    classes
        Class names.
    seed
        The run's seed.
    extra
        Further columns, `part` or `fold`: one value, or one per cell.

    Returns
    -------
    DataFrame
        `plate, ROI_img_name, well, true_condition, predicted, p_<class> ..., part|fold, seed`.
    """
    frame = pd.DataFrame(
        {
            "plate": cells[PLATE].to_numpy(),
            "ROI_img_name": cells[CELL].to_numpy(),
            "well": cells[WELL].to_numpy(),
            "true_condition": cells[TARGET].to_numpy(),
            "predicted": np.asarray(classes, dtype=object)[probabilities.argmax(axis=1)],
        }
    )
    for column, name in enumerate(classes):
        frame[f"p_{name}"] = probabilities[:, column]
    for name, value in extra.items():
        frame[name] = np.asarray(value) if isinstance(value, pd.Series) else value
    frame["seed"] = seed
    return frame


def score(true: Any, predicted: Any, classes: Sequence[Any]) -> dict[str, Any]:
    """Macro-F1, accuracy and confusion matrix (rows true, columns predicted) of one set of cells.

    F1 is 2 TP / (2 TP + FP + FN), per class; a class that neither occurs nor is predicted counts 0.

    Returns
    -------
    dict
        `f1_macro`, `accuracy`, `f1_per_class` (by name), `confusion_matrix` (list of lists of int).
    """
    table = confusion_matrix(np.asarray(true), np.asarray(predicted), labels=list(classes))
    return {
        "f1_macro": float(macro_f1(table)),
        "accuracy": float(accuracy(table)),
        "f1_per_class": dict(zip(classes, f1_per_class(table).tolist(), strict=True)),
        "confusion_matrix": table.tolist(),
    }


def run_metrics(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    *,
    n_train: int,
    evaluation: str,
    split_unit: Unit,
    chance: Chance | None,
    device: str,
    fit_seconds: float,
    **extra: object,
) -> dict[str, Any]:
    """The metrics of one run (one seed), from the predictions of its tested cells only.

    `chance` is what exchanged labels give (see :mod:`nucprof.learn.chance`), None where it was not
    measured.
    """
    seeds = predictions["seed"].unique()
    if len(seeds) != 1:
        raise ValueError(f"one run has one seed, got {seeds}")
    scores = score(predictions["true_condition"], predictions["predicted"], classes)
    return {
        "seed": int(seeds[0]),
        **scores,
        **_over_wells(predictions, classes, split_unit, scores),
        "classes": list(classes),
        "n_train": int(n_train),
        "n_test": len(predictions),
        "evaluation": evaluation,
        "split_unit": split_unit,
        **chance_metrics(chance),
        "device": device,
        "fit_seconds": round(fit_seconds, 3),
        **extra,
    }


def chance_metrics(chance: Chance | None) -> dict[str, Any]:
    """What :class:`~nucprof.learn.chance.Chance` says, by its names in `metrics.json`."""
    return {
        "f1_macro_permuted": chance and chance.mean,
        "f1_macro_permuted_95": chance and chance.reach,
        "p_value": chance and chance.p_value,
        "p_value_min": chance and chance.p_value_min,
        "permutations": chance and chance.arrangements,
    }


def _over_wells(
    predictions: pd.DataFrame, classes: Sequence[str], unit: Unit, scores: Mapping[str, Any]
) -> dict[str, Any]:
    """Intervals over the tested wells (or plates), and how many of these hold each class."""
    tables = unit_tables(predictions, classes, unit)
    holds = (tables.sum(axis=2) > 0).sum(axis=0)
    return {
        **intervals(tables, classes, scores),
        "wells_per_class": dict(zip(classes, holds.tolist(), strict=True)),
    }


def combine_runs(runs: Sequence[Mapping[str, Any]], predictions: pd.DataFrame) -> dict[str, Any]:
    """`metrics.json` over several seeds.

    `f1_macro`, `accuracy`, `f1_per_class` and `n_train` are means over the seeds, `f1_macro_std`
    the standard deviation over them (ddof 0; 0 for one seed); `confusion_matrix` and `n_test` are
    sums, so that the matrix adds up to `n_test`. The intervals are those of the means, over all
    wells tested in `predictions` (of all runs). The comparison with chance is that of the first
    seed, and so is what does not depend on the seed; the runs themselves are under `seeds`.
    """
    first = runs[0]
    f1 = [run["f1_macro"] for run in runs]
    classes, unit = first["classes"], first["split_unit"]
    means = {
        "f1_macro": float(np.mean(f1)),
        "accuracy": float(np.mean([run["accuracy"] for run in runs])),
        "f1_per_class": {
            name: float(np.mean([run["f1_per_class"][name] for run in runs])) for name in classes
        },
    }
    return {
        **means,
        "f1_macro_std": float(np.std(f1)),
        **_over_wells(predictions, classes, unit, means),
        "confusion_matrix": np.sum([run["confusion_matrix"] for run in runs], axis=0).tolist(),
        "classes": list(classes),
        "n_train": round(float(np.mean([run["n_train"] for run in runs]))),
        "n_test": int(sum(run["n_test"] for run in runs)),
        "evaluation": first["evaluation"],
        "split_unit": unit,
        **{name: first[name] for name in chance_metrics(None)},
        "device": first["device"],
        "fit_seconds": round(float(sum(run["fit_seconds"] for run in runs)), 3),
        "seeds": [dict(run) for run in runs],
    }


def confusion_per_well(predictions: pd.DataFrame, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Confusion matrix (rows true) of every tested well; compositions draw on it."""
    return [
        {
            "plate": str(plate),
            "well": str(well),
            "confusion_matrix": confusion_matrix(
                group["true_condition"], group["predicted"], labels=list(classes)
            ).tolist(),
        }
        for (plate, well), group in predictions.groupby(["plate", "well"], sort=True)
    ]


def roc_curves(predictions: pd.DataFrame, classes: Sequence[str]) -> dict[str, Curve]:
    """Per class, one against the rest: `x` false and `y` true positive rate, `area` under it.

    A class that is absent from the tested cells, or alone in them, has no curve and is left out.
    """
    curves: dict[str, Curve] = {}
    for name in classes:
        truth, probability = _one_against_rest(predictions, name)
        if 0 < truth.sum() < len(truth):
            x, y, _ = roc_curve(truth, probability)
            curves[name] = {"x": x, "y": y, "area": float(auc(x, y))}
    return curves


def pr_curves(predictions: pd.DataFrame, classes: Sequence[str]) -> dict[str, Curve]:
    """Per class, one against the rest: `x` recall, `y` precision, `area` the average precision.

    `base` is the class's share of the cells, the precision of guessing.
    """
    curves: dict[str, Curve] = {}
    for name in classes:
        truth, probability = _one_against_rest(predictions, name)
        if 0 < truth.sum() < len(truth):
            y, x, _ = precision_recall_curve(truth, probability)
            area = float(average_precision_score(truth, probability))
            curves[name] = {"x": x, "y": y, "area": area, "base": float(truth.mean())}
    return curves


def _one_against_rest(predictions: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    truth = (predictions["true_condition"] == name).to_numpy()
    return truth, predictions[f"p_{name}"].to_numpy(dtype=float)


def density_strata(
    cells: pd.DataFrame, predictions: pd.DataFrame, classes: Sequence[str], n_strata: int
) -> list[dict[str, Any]]:
    """Recall by density: tested cells in equal groups by the number of cells in their field.

    The classes' shares differ between strata, often widely (one class grows denser), and F1 and
    accuracy move with these shares. Recall does not: compare strata by it.

    Returns
    -------
    list of dict
        `low`, `high` (cells per field), `n`, `cells_per_class` (by name, all classes),
        `recall_per_class` (of the classes that occur), `recall_macro` and `f1_macro` (means over
        these), `accuracy`. Fields of equal density are never divided, so that there may be fewer
        strata.
    """
    require(cells, [DENSITY])
    density = cells[DENSITY].to_numpy(dtype=float)
    edges = np.unique(np.quantile(density, np.linspace(0, 1, n_strata + 1)[1:-1], method="lower"))
    stratum = np.searchsorted(edges, density, side="left")
    found = []
    for number in np.unique(stratum):
        here = stratum == number
        limits = {"low": float(density[here].min()), "high": float(density[here].max())}
        found.append(limits | _stratum(predictions[here], classes))
    return found


def _stratum(predictions: pd.DataFrame, classes: Sequence[str]) -> dict[str, Any]:
    judged = score(predictions["true_condition"], predictions["predicted"], classes)
    table = np.array(judged["confusion_matrix"])
    counts = table.sum(axis=1)
    occur = [name for name, count in zip(classes, counts, strict=True) if count]
    recall = (np.diag(table)[counts > 0] / counts[counts > 0]).tolist()
    return {
        "n": int(counts.sum()),
        "cells_per_class": dict(zip(classes, counts.tolist(), strict=True)),
        "recall_per_class": dict(zip(occur, recall, strict=True)),
        "recall_macro": float(np.mean(recall)),
        "f1_macro": float(np.mean([judged["f1_per_class"][name] for name in occur])),
        "accuracy": judged["accuracy"],
    }
