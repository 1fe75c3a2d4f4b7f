"""The labelled cells that every classifier learns from: features or crops joined by cell key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nucprof.config import Project
from nucprof.config.models import Sample
from nucprof.io.results import Results

if TYPE_CHECKING:
    import pandas as pd

Culture = Literal["mixed", "mono"]
Unit = Literal["well", "plate"]


def gate_table(results: Results) -> Path:
    """The true classes, as the gate writes them."""
    return results.folder("gate", "GT_data.csv")


def classifier_outputs(folder: Path, model: str) -> dict[str, Path]:
    """Files that every classifier writes; ``model`` is the name of its model file."""
    names = ("metrics.json", "predictions.csv", "split.csv", "confusion.png", "roc.png", "pr.png")
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


def training_of(project: Project) -> Training:
    """What a project says of the training of every classifier."""
    train = project.train
    return Training(
        gated=project.has_ground_truth,
        targets=tuple(train.targets),
        culture=train.culture,
        test_culture=train.test_culture,
        mixed_name=project.gate.mixed_culture,
        sample=train.sample,
        seeds=tuple(train.seeds),
        split_unit=train.split_unit,
        density_strata=train.density_strata,
    )


def write_evaluation(
    paths: dict[str, Path],
    metrics: dict[str, Any],
    predictions: pd.DataFrame,
    split: pd.DataFrame,
    title: str,
) -> None:
    """Write what every classifier reports: metrics, predictions, split and the three figures."""
    from nucprof.figures import classifiers
    from nucprof.io.files import atomic, write_json
    from nucprof.io.tables import write_table
    from nucprof.learn.evaluate import pr_curves, roc_curves

    write_json(paths["metrics.json"], metrics)
    write_table(paths["predictions.csv"], predictions)
    write_table(paths["split.csv"], split)
    tested = predictions[predictions["part"] == "test"] if "part" in predictions else predictions
    classes = metrics["classes"]
    unseen = f"{title}, unseen {metrics['split_unit']}s"
    with atomic(paths["confusion.png"]) as path:
        classifiers.confusion(path, metrics["confusion_matrix"], classes, title=unseen)
    with atomic(paths["roc.png"]) as path:
        classifiers.roc(path, roc_curves(tested, classes), title=unseen)
    with atomic(paths["pr.png"]) as path:
        classifiers.precision_recall(path, pr_curves(tested, classes), title=unseen)


def describe_metrics(metrics: dict[str, Any]) -> str:
    """One line that tells how good a classifier is."""
    spread = f" ± {metrics['f1_macro_std']:.3f}" if len(metrics["seeds"]) > 1 else ""
    control = metrics["f1_macro_permuted"]
    shuffled = f"; with shuffled labels {control:.3f}" if control is not None else ""
    return (
        f"macro-F1 {metrics['f1_macro']:.3f}{spread}, accuracy {metrics['accuracy']:.3f} on "
        f"{metrics['n_test']} cells of unseen {metrics['split_unit']}s{shuffled}"
    )
