"""Apply a saved model to this project's cells; the composition of every well, with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucprof.errors import UserError
from nucprof.io.files import atomic
from nucprof.io.tables import read_table, write_table
from nucprof.learn.cnn.crop_table import crop_files, crop_folder, crop_kind, open_cells_crops
from nucprof.learn.model_files import FOREST, model_files
from nucprof.machine import cores
from nucprof.plate.keys import CP_ROUND, WellKey
from nucprof.stages.base import WHOLE, Context, Entry, Job, Outcome, Plan, Summary, require

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FIGURES = ("composition.png", "plates.png")


def plan(context: Context) -> Plan:
    """One job: the whole project's cells."""
    project, results = context.project, context.results
    if project.predict.model is None:
        raise UserError(
            "predict needs a model: nucprof predict PROJECT --model DIR, e.g. "
            f"{results.folder('train', 'cnn', 'default')}"
        )
    folder = results.folder("predict", context.name)
    model = model_files(project.predict.model)
    by_forest = model[0].name == FOREST
    require(context, "features" if by_forest else "crop")
    cells = (results.features(CP_ROUND),) if by_forest else crop_files(project, results)
    names = ("predictions.parquet", "composition.csv", *FIGURES)
    job = Job(
        *WHOLE,
        (*model, *cells),
        tuple(folder / name for name in names),
        {
            "confidence": project.predict.confidence,
            "bootstrap": project.predict.bootstrap,
            "seed": project.project.seed,
            "crops": None if by_forest else vars(crop_kind(project)),
        },
        {
            "folder": folder,
            "model": project.predict.model,
            "by_forest": by_forest,
            "table": cells[0],
            "index": crop_folder(project, results) / "index.parquet",
            "kind": None if by_forest else crop_kind(project),
            "device": project.execution.device,
        },
    )
    return Plan([job])


def work(job: Job) -> Outcome:
    """Predict, count, write."""
    from nucprof.learn.predict import compositions, load_classifier, prediction_table
    from nucprof.plate.columns import in_key_order

    params, folder = job.params, job.runtime["folder"]
    model = load_classifier(job.runtime["model"])
    cells = in_key_order(read_table(job.runtime["table"]))
    predictions = prediction_table(
        cells, _probabilities(job, model, cells), model.classes, confidence=params["confidence"]
    )
    composition = compositions(
        predictions,
        model.classes,
        model.metadata["unseen_wells"],
        bootstrap=params["bootstrap"],
        seed=params["seed"],
    )
    write_table(folder / "predictions.parquet", predictions)
    write_table(folder / "composition.csv", composition)
    _draw(folder, composition, model.classes)
    shares = predictions["predicted"].value_counts()
    return Outcome({"cells": {str(name): int(n) for name, n in shares.items()}})


def _probabilities(job: Job, model: Any, cells: pd.DataFrame) -> np.ndarray:
    """Calibrated class probabilities, `(n, K)`."""
    from nucprof.learn.calibrate import calibrated, logits_of
    from nucprof.learn.device import resolve_device
    from nucprof.plate.columns import PLATE

    if job.runtime["by_forest"]:
        likely = model.predict_proba(cells, n_jobs=cores())
        return calibrated(logits_of(likely), model.metadata["temperature"])
    channels = model.check_fits(job.runtime["kind"])
    crops = open_cells_crops(
        cells, job.runtime["index"], channels, masked=job.runtime["kind"].masked
    )
    device = resolve_device(job.runtime["device"])
    inputs = model.inputs(crops, cells[PLATE].to_numpy(dtype=str), device)
    return calibrated(model.logits(inputs), model.temperature)


def _draw(folder: Path, composition: pd.DataFrame, classes: Sequence[str]) -> None:
    from nucprof.figures import classifiers, plots

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


def finish(context: Context, plan: Plan, entries: Sequence[Entry]) -> Summary:
    """Count cells by class; tell where to look."""
    folder, counts = plan.jobs[0].runtime["folder"], entries[0].record["cells"]
    listed = ", ".join(f"{n} {name}" for name, n in counts.items())
    return Summary(
        list(plan.jobs[0].outputs),
        {"cells": counts},
        [f"cells: {listed}", f"look at {folder / 'composition.png'} and composition.csv"],
    )
