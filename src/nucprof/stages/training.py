"""What training a forest and training a CNN have in common: which cells, which files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nucprof.config import CP_ROUND, Project
from nucprof.config.models import TrainSettings
from nucprof.errors import DataError
from nucprof.io.files import atomic, write_json
from nucprof.io.tables import read_table, write_table
from nucprof.learn.columns import CELL, KEY, PLATE, TARGET, TRUE
from nucprof.learn.evaluate import pr_curves, roc_curves
from nucprof.learn.split import UNDEFINED, Culture, select_culture
from nucprof.report import figures
from nucprof.stages.base import Context

EVALUATION_FILES = (
    "metrics.json", "predictions.csv", "split.csv", "confusion.png", "roc.png", "pr.png",
)  # fmt: skip


def gate_path(context: Context) -> Path | None:
    """The table of true classes, or None where the project has no ground truth."""
    if not context.project.has_ground_truth:
        return None
    return context.results.folder("gate", "GT_data.csv")


def label_inputs(context: Context) -> tuple[Path, ...]:
    """The tables that :func:`labelled_cells` reads."""
    gate = gate_path(context)
    features = context.results.features(CP_ROUND)
    return (features,) if gate is None else (features, gate)


def label_params(project: Project) -> dict[str, Any]:
    """What decides which cells are trained and tested, under which class."""
    settings = project.train
    return {
        "targets": settings.targets,
        "culture": settings.culture,
        "test_culture": settings.test_culture,
        "sample": settings.sample,
        "seeds": settings.seeds,
        "split_unit": settings.split_unit,
        "mixed_culture": project.gate.mixed_culture,
    }


def read_cells(inputs: Sequence[Path], columns: list[str] | None = None) -> pd.DataFrame:
    """Read the cells of the feature table, with `true_condition` where there is a gate.

    Cells that the gate's filters left out leave here too.
    """
    cells = read_table(inputs[0], columns)
    if len(inputs) == 1:
        return cells
    gate = read_table(inputs[1])[["plate", "ROI_img_name", TRUE]]
    gate = gate.rename(columns={"plate": PLATE, "ROI_img_name": CELL})
    return cells.merge(gate, on=KEY, how="inner", validate="one_to_one")


def labelled_cells(
    cells: pd.DataFrame, settings: TrainSettings, mixed_name: str
) -> tuple[pd.DataFrame, Culture, pd.DataFrame | None]:
    """Choose the cells to train on, their culture, and, where they differ, those to test on."""
    chosen, culture = select_culture(
        cells, culture=settings.culture, mixed_name=mixed_name, targets=settings.targets
    )
    if settings.test_culture in ("same", culture):
        return chosen, culture, None
    other: Culture = "mono" if culture == "mixed" else "mixed"
    classes = sorted(chosen[TARGET].unique())
    tested, _ = select_culture(cells, culture=other, mixed_name=mixed_name, targets=classes)
    return chosen, culture, tested


def require_gated(cells: pd.DataFrame) -> None:
    """Raise where a gate exists but decided no cell, which no classifier can learn from."""
    if TRUE in cells and (cells[TRUE] == UNDEFINED).all():
        raise DataError(
            "every cell's true class is undefined; look at gate/scatter.png and gate.cutoffs"
        )


def write_evaluation(
    folder: Path,
    metrics: dict[str, Any],
    predictions: pd.DataFrame,
    split: pd.DataFrame,
    *,
    title: str,
) -> list[Path]:
    """Write what every trained classifier leaves beside its model."""
    classes = metrics["classes"]
    paths = {name: folder / name for name in EVALUATION_FILES}
    write_json(paths["metrics.json"], metrics)
    write_table(paths["predictions.csv"], predictions)
    write_table(paths["split.csv"], split)
    shown = f"{title}, unseen {metrics['split_unit']}s"
    with atomic(paths["confusion.png"]) as target:
        figures.confusion(target, metrics["confusion_matrix"], classes, title=shown)
    counted = f"{shown}\nn = {len(predictions):,} cells"
    with atomic(paths["roc.png"]) as target:
        figures.roc(target, roc_curves(predictions, classes), title=counted)
    with atomic(paths["pr.png"]) as target:
        figures.precision_recall(target, pr_curves(predictions, classes), title=counted)
    return list(paths.values())


def evaluation_lines(metrics: dict[str, Any], culture: str) -> list[str]:
    """Say in words what `metrics.json` says."""
    how = {
        "cv": f"cross-validated over {metrics['split_unit']}s",
        "split": f"on the unseen 30% of {metrics['split_unit']}s",
        "across": "on the other kind of culture",
    }[metrics["evaluation"]]
    chance = metrics["f1_macro_permuted"]
    lines = [
        f"classes {', '.join(metrics['classes'])}; {culture} cultures; "
        f"{metrics['n_train']} cells trained on",
        f"macro-F1 {metrics['f1_macro']:.3f}"
        + (f" ± {metrics['f1_macro_std']:.3f}" if len(metrics["seeds"]) > 1 else "")
        + f" on {metrics['n_test']} cells, {how}",
    ]
    if chance is not None:
        lines.append(f"with shuffled labels {chance:.3f} (chance)")
    return lines
