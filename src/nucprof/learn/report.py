"""What every classifier reports: its files, and how good it is in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

FEW_WELLS = 4
SIGNIFICANT = 0.05


def classifier_outputs(folder: Path, model: str, *, strata: int) -> dict[str, Path]:
    """Files that every classifier writes; ``model`` is the name of its model file."""
    names = ["metrics.json", "predictions.csv", "split.csv", "confusion.png", "roc.png", "pr.png"]
    names += ["density.png"] if strata else []
    return {name: folder / name for name in (*names, model)}


def write_evaluation(
    paths: dict[str, Path],
    metrics: dict[str, Any],
    predictions: pd.DataFrame,
    split: pd.DataFrame,
    title: str,
    colours: Path,
) -> None:
    """Write what every classifier reports: metrics, predictions, split and figures.

    ``colours`` is the file of the project's colours.
    """
    from nucprof.figures import classifiers
    from nucprof.figures.colours import project_colours
    from nucprof.io.files import atomic, write_json
    from nucprof.io.tables import write_table
    from nucprof.learn.evaluate import pr_curves, roc_curves

    write_json(paths["metrics.json"], metrics)
    write_table(paths["predictions.csv"], predictions)
    write_table(paths["split.csv"], split)
    tested = predictions[predictions["part"] == "test"] if "part" in predictions else predictions
    classes = metrics["classes"]
    looks = project_colours(colours, classes)
    unit = metrics["split_unit"]
    unseen = f"{title}, unseen {unit}s"
    f1 = f"macro-F1 {metrics['f1_macro']:.3f}{_limits(metrics['f1_macro_ci'], unit)}"
    with atomic(paths["confusion.png"]) as path:
        classifiers.confusion(path, metrics["confusion_matrix"], classes, title=f"{unseen}\n{f1}")
    with atomic(paths["roc.png"]) as path:
        classifiers.roc(path, roc_curves(tested, classes), title=unseen, colours=looks)
    with atomic(paths["pr.png"]) as path:
        curves = pr_curves(tested, classes)
        classifiers.precision_recall(path, curves, title=unseen, colours=looks)
    if "density.png" in paths:
        strata = metrics["seeds"][0]["density_strata"]
        with atomic(paths["density.png"]) as path:
            classifiers.density_strata(path, strata, classes, title=title, colours=looks)


def describe_metrics(metrics: dict[str, Any]) -> list[str]:
    """How good a classifier is, and whether chance could be as good; a line each."""
    spread = f" ± {metrics['f1_macro_std']:.3f}" if len(metrics["seeds"]) > 1 else ""
    unit = metrics["split_unit"]
    wells = ", ".join(f"{n} of {name}" for name, n in metrics["wells_per_class"].items())
    return [
        f"macro-F1 {metrics['f1_macro']:.3f}{spread}{_limits(metrics['f1_macro_ci'], unit)}, "
        f"accuracy {metrics['accuracy']:.3f}{_limits(metrics['accuracy_ci'], unit)} on "
        f"{metrics['n_test']} cells of unseen {unit}s ({wells})",
        describe_chance(metrics),
    ]


def describe_chance(metrics: dict[str, Any]) -> str:
    """Whether chance could be as good as the classifier, by the permutation test."""
    p, least = metrics["p_value"], metrics["p_value_min"]
    if least > SIGNIFICANT:
        verdict = f"too few {metrics['split_unit']}s to tell it from chance"
    elif p > SIGNIFICANT:
        verdict = "within chance"
    else:
        verdict = "better than chance"
    return (
        f"{verdict}: p = {p:.2g} (the smallest possible here is {least:.2g}); with permuted labels "
        f"macro-F1 is {metrics['f1_macro_permuted']:.3f} on average, in 95% of the permutations "
        f"at most {metrics['f1_macro_permuted_95']:.3f}"
    )


def few_wells(metrics: dict[str, Any]) -> list[str]:
    """A warning where a class was tested on fewer than four wells (or plates)."""
    unit, counts = metrics["split_unit"], metrics["wells_per_class"]
    few = ", ".join(f"{name} {n}" for name, n in counts.items() if n < FEW_WELLS)
    if not few:
        return []
    return [
        f"fewer than {FEW_WELLS} {unit}s of a class were tested ({few}): how much {unit}s differ "
        f"is hardly known, so intervals are wide; add {unit}s of every class"
    ]


def _limits(interval: list[float] | None, unit: str) -> str:
    if interval is None:
        return f" (no interval: one {unit})"
    return f" (95% {interval[0]:.3f} to {interval[1]:.3f})"
