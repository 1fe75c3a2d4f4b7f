"""The labelled cells that every classifier learns from: features or crops joined by cell key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nucprof.config import Project
from nucprof.config.models import Sample, TrainSettings
from nucprof.io.results import Results

if TYPE_CHECKING:
    import pandas as pd

Culture = Literal["mixed", "mono"]
Unit = Literal["well", "plate"]

FEW_WELLS = 4
SIGNIFICANT = 0.05


def gate_table(results: Results) -> Path:
    """The true classes, as the gate writes them."""
    return results.folder("gate", "GT_data.csv")


def classifier_outputs(folder: Path, model: str, *, strata: int) -> dict[str, Path]:
    """Files that every classifier writes; ``model`` is the name of its model file."""
    names = ["metrics.json", "predictions.csv", "split.csv", "confusion.png", "roc.png", "pr.png"]
    names += ["density.png"] if strata else []
    return {name: folder / name for name in (*names, model)}


def add_true_class(cells: pd.DataFrame, gate: Path | None) -> pd.DataFrame:
    """Join the gate's true class by (plate, cell); cells that it does not know are undefined."""
    from nucprof.core.gating import UNDEFINED
    from nucprof.io.tables import read_table
    from nucprof.plate.columns import KEY, TRUE

    if gate is None:
        return cells
    true = read_table(gate, [*KEY, TRUE])
    joined = cells.merge(true, on=KEY, how="left", validate="one_to_one")
    joined[TRUE] = joined[TRUE].fillna(UNDEFINED)
    return joined


def choose_cells(
    cells: pd.DataFrame, training: Training
) -> tuple[pd.DataFrame, pd.DataFrame | None, Culture]:
    """Cells to train on, cells of another culture to test on (or None), the former's culture."""
    from nucprof.learn.split import select_culture

    mixed_name = training.mixed_name
    chosen: Any = training.culture
    train, found = select_culture(
        cells, culture=chosen, mixed_name=mixed_name, targets=training.targets
    )
    if training.test_culture in ("same", found):
        return train, None, found
    other: Any = training.test_culture
    test, _ = select_culture(
        cells, culture=other, mixed_name=mixed_name, targets=sorted(train["target"].unique())
    )
    return train, test, found


@dataclass(frozen=True, kw_only=True)
class Training:
    """Which cells are learned from, and how they are split: what `[train]` says.

    Attributes
    ----------
    gated : bool
        Whether the true classes come from the gate.
    mixed_name : str
        The layout's word for mixed wells.
    """

    gated: bool
    targets: tuple[str, ...]
    culture: str
    test_culture: str
    mixed_name: str
    sample: Sample
    seeds: tuple[int, ...]
    split_unit: Unit
    density_strata: int

    @classmethod
    def of(cls, settings: TrainSettings, *, gated: bool, mixed_name: str) -> Training:
        """What every classifier needs to know of `[train]`; each has a section of its own."""
        return cls(
            gated=gated,
            targets=tuple(settings.targets),
            culture=settings.culture,
            test_culture=settings.test_culture,
            mixed_name=mixed_name,
            sample=settings.sample,
            seeds=tuple(settings.seeds),
            split_unit=settings.split_unit,
            density_strata=settings.density_strata,
        )


def training_of(project: Project) -> Training:
    """What a project says of the training of every classifier."""
    return Training.of(
        project.train, gated=project.has_ground_truth, mixed_name=project.gate.mixed_culture
    )


def write_evaluation(
    paths: dict[str, Path],
    metrics: dict[str, Any],
    predictions: pd.DataFrame,
    split: pd.DataFrame,
    title: str,
) -> None:
    """Write what every classifier reports: metrics, predictions, split and figures."""
    from nucprof.figures import classifiers
    from nucprof.io.files import atomic, write_json
    from nucprof.io.tables import write_table
    from nucprof.learn.evaluate import pr_curves, roc_curves

    write_json(paths["metrics.json"], metrics)
    write_table(paths["predictions.csv"], predictions)
    write_table(paths["split.csv"], split)
    tested = predictions[predictions["part"] == "test"] if "part" in predictions else predictions
    classes = metrics["classes"]
    unit = metrics["split_unit"]
    unseen = f"{title}, unseen {unit}s"
    f1 = f"macro-F1 {metrics['f1_macro']:.3f}{_limits(metrics['f1_macro_ci'], unit)}"
    with atomic(paths["confusion.png"]) as path:
        classifiers.confusion(path, metrics["confusion_matrix"], classes, title=f"{unseen}\n{f1}")
    with atomic(paths["roc.png"]) as path:
        classifiers.roc(path, roc_curves(tested, classes), title=unseen)
    with atomic(paths["pr.png"]) as path:
        classifiers.precision_recall(path, pr_curves(tested, classes), title=unseen)
    if "density.png" in paths:
        strata = metrics["seeds"][0]["density_strata"]
        with atomic(paths["density.png"]) as path:
            classifiers.density_strata(path, strata, classes, title=title)


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
