"""Apply a saved model to this project's cells; the composition of every well, with an interval."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucprof.config import Project
from nucprof.config.by_mode import CropKind, crop_kind
from nucprof.errors import UserError
from nucprof.io.digest import WHERE_IT_RUNS
from nucprof.learn.cnn.crop_table import crop_files, open_cells_crops
from nucprof.learn.model_files import is_forest, model_files
from nucprof.plate.keys import CP_ROUND, WellKey
from nucprof.stages.base import Context, Entry, Job, Outcome, Plan, Stage, Summary

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FIGURES = ("composition.png", "plates.png")


@dataclass(frozen=True, kw_only=True)
class PredictJob(Job):
    """The whole project's cells: ``table`` names them, ``crops`` is None for a forest."""

    confidence: float
    bootstrap: int
    seed: int
    table: Path
    crops: CropKind | None
    model: Path = dataclasses.field(metadata=WHERE_IT_RUNS)
    folder: Path = dataclasses.field(metadata=WHERE_IT_RUNS)
    device: str = dataclasses.field(metadata=WHERE_IT_RUNS)


@dataclass(frozen=True)
class PredictRecord:
    """Cells by predicted class."""

    cells: dict[str, int]


def plan(context: Context) -> Plan[PredictJob]:
    """One job: the whole project's cells."""
    project, results = context.project, context.results
    if project.predict.model is None:
        raise UserError(
            "predict needs a model: nucprof predict PROJECT --model DIR, e.g. "
            f"{results.folder('train', 'cnn', 'default')}"
        )
    folder = results.folder("predict", context.name)
    model = model_files(project.predict.model)
    by_forest = is_forest(project.predict.model)
    cells = (results.features(CP_ROUND),) if by_forest else crop_files(project, results)
    names = ("predictions.parquet", "composition.csv", *FIGURES)
    job = PredictJob(
        inputs=(*model, *cells),
        outputs=tuple(folder / name for name in names),
        confidence=project.predict.confidence,
        bootstrap=project.predict.bootstrap,
        seed=project.project.seed,
        table=cells[0],
        crops=None if by_forest else crop_kind(project),
        model=project.predict.model,
        folder=folder,
        device=project.execution.device,
    )
    return Plan([job])


def work(job: PredictJob) -> Outcome[PredictRecord]:
    """Predict, count, write."""
    from nucprof.io.tables import read_table, write_table
    from nucprof.learn.predict import compositions, load_classifier, prediction_table
    from nucprof.plate.columns import in_key_order

    folder = job.folder
    model = load_classifier(job.model)
    cells = in_key_order(read_table(job.table))
    predictions = prediction_table(
        cells, _probabilities(job, model, cells), model.classes, confidence=job.confidence
    )
    composition = compositions(
        predictions,
        model.classes,
        model.metadata["unseen_wells"],
        bootstrap=job.bootstrap,
        seed=job.seed,
    )
    write_table(folder / "predictions.parquet", predictions)
    write_table(folder / "composition.csv", composition)
    _draw(folder, composition, model.classes)
    shares = predictions["predicted"].value_counts()
    return Outcome(PredictRecord({str(name): int(n) for name, n in shares.items()}))


def _probabilities(job: PredictJob, model: Any, cells: pd.DataFrame) -> np.ndarray:
    """Calibrated class probabilities, `(n, K)`."""
    from nucprof.learn.calibrate import calibrated, logits_of
    from nucprof.machine import cores, resolve_device
    from nucprof.plate.columns import PLATE

    if job.crops is None:
        likely = model.predict_proba(cells, n_jobs=cores())
        return calibrated(logits_of(likely), model.metadata["temperature"])
    channels = model.check_fits(job.crops)
    crops = open_cells_crops(cells, job.table, channels, masked=job.crops.masked)
    device = resolve_device(job.device)
    inputs = model.inputs(crops, cells[PLATE].to_numpy(dtype=str), device)
    return calibrated(model.logits(inputs), model.temperature)


def _draw(folder: Path, composition: pd.DataFrame, classes: Sequence[str]) -> None:
    from nucprof.figures import classifiers, plots
    from nucprof.io.files import atomic

    with atomic(folder / "composition.png") as path:
        classifiers.composition(path, composition.to_dict("list"), classes)
    plates = {
        plate: {
            (key.row, key.column): share
            for key, share in zip(map(WellKey.parse, rows["well"]), rows["share"], strict=True)
        }
        for plate, rows in composition[composition["class"] == classes[-1]].groupby("plate")
    }
    with atomic(folder / "plates.png") as path:
        plots.plate_heatmaps(path, plates, label=f"share of {classes[-1]}", limits=(0, 1))


def finish(
    context: Context, plan: Plan[PredictJob], entries: Sequence[Entry[PredictRecord]]
) -> Summary:
    """Count cells by class; tell where to look."""
    folder = plan.jobs[0].folder
    (record,) = (entry.record for entry in entries)
    assert record is not None
    counts = record.cells
    listed = ", ".join(f"{n} {name}" for name, n in counts.items())
    return Summary(
        list(plan.jobs[0].outputs),
        {"cells": counts},
        [f"cells: {listed}", f"look at {folder / 'composition.png'} and composition.csv"],
    )


def _needs(project: Project) -> tuple[str, ...]:
    model = project.predict.model
    return ("features",) if model is None or is_forest(model) else ("crop", "features")


def _skip(project: Project) -> str | None:
    return "predict.model names no model" if project.predict.model is None else None


STAGE = Stage(
    name="predict",
    help="Apply a saved model: classes, and the composition of every well",
    sections=("predict",),
    needs=_needs,
    makes=("predict/",),
    plan=plan,
    work=work,
    finish=finish,
    record=PredictRecord,
    skip=_skip,
    named=True,
)
