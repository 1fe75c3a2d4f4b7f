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
    hits = np.diag(table)
    f1 = 2 * hits / np.maximum(table.sum(axis=0) + table.sum(axis=1), 1)
    return {
        "f1_macro": float(f1.mean()),
        "accuracy": float(hits.sum() / max(table.sum(), 1)),
        "f1_per_class": {name: float(value) for name, value in zip(classes, f1, strict=True)},
        "confusion_matrix": table.tolist(),
    }


def run_metrics(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    *,
    n_train: int,
    evaluation: str,
    split_unit: str,
    f1_macro_permuted: float | None,
    device: str,
    fit_seconds: float,
    **extra: object,
) -> dict[str, Any]:
    """The metrics of one run (one seed), from the predictions of its tested cells only."""
    seeds = predictions["seed"].unique()
    if len(seeds) != 1:
        raise ValueError(f"one run has one seed, got {seeds}")
    return {
        "seed": int(seeds[0]),
        **score(predictions["true_condition"], predictions["predicted"], classes),
        "classes": list(classes),
        "n_train": int(n_train),
        "n_test": len(predictions),
        "evaluation": evaluation,
        "split_unit": split_unit,
        "f1_macro_permuted": f1_macro_permuted,
        "device": device,
        "fit_seconds": round(fit_seconds, 3),
        **extra,
    }


def combine_runs(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`metrics.json` over several seeds.

    `f1_macro`, `accuracy`, `f1_macro_permuted` and `n_train` are means over the seeds,
    `f1_macro_std` the standard deviation over them (ddof 0; 0 for one seed); `confusion_matrix` and
    `n_test` are sums, so that the matrix adds up to `n_test`. What does not depend on the seed is
    taken from the first run; the runs themselves are under `seeds`.
    """
    first = runs[0]
    f1 = [run["f1_macro"] for run in runs]
    permuted = [run["f1_macro_permuted"] for run in runs if run["f1_macro_permuted"] is not None]
    return {
        "f1_macro": float(np.mean(f1)),
        "f1_macro_std": float(np.std(f1)),
        "accuracy": float(np.mean([run["accuracy"] for run in runs])),
        "f1_per_class": {
            name: float(np.mean([run["f1_per_class"][name] for run in runs]))
            for name in first["classes"]
        },
        "confusion_matrix": np.sum([run["confusion_matrix"] for run in runs], axis=0).tolist(),
        "classes": list(first["classes"]),
        "n_train": round(float(np.mean([run["n_train"] for run in runs]))),
        "n_test": int(sum(run["n_test"] for run in runs)),
        "evaluation": first["evaluation"],
        "split_unit": first["split_unit"],
        "f1_macro_permuted": float(np.mean(permuted)) if permuted else None,
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
    """Macro-F1 by density: tested cells in equal groups by the number of cells in their field.

    Returns
    -------
    list of dict
        `low`, `high` (cells per field), `n`, `f1_macro`, `accuracy`; fields of equal density are
        never divided, so that there may be fewer strata.
    """
    require(cells, [DENSITY])
    density = cells[DENSITY].to_numpy(dtype=float)
    edges = np.unique(np.quantile(density, np.linspace(0, 1, n_strata + 1)[1:-1], method="lower"))
    stratum = np.searchsorted(edges, density, side="left")
    found = []
    for number in np.unique(stratum):
        here = stratum == number
        own = predictions[here]
        judged = score(own["true_condition"], own["predicted"], classes)
        found.append({
            "low": float(density[here].min()), "high": float(density[here].max()),
            "n": int(here.sum()), "f1_macro": judged["f1_macro"], "accuracy": judged["accuracy"],
        })  # fmt: skip
    return found
