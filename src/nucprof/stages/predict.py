"""Apply a saved model to this project's cells; the composition of every well, with an interval."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucprof.config import Project
from nucprof.config.by_mode import CropKind, crop_kind
from nucprof.config.models import FeatureSettings, Precision
from nucprof.errors import UserError
from nucprof.io.digest import WHERE_IT_RUNS
from nucprof.io.results import Results
from nucprof.learn.cnn.crop_table import crop_files, network_inputs
from nucprof.learn.model_files import is_forest, model_files, predictions_file
from nucprof.learn.references import References, mark_references, references_of
from nucprof.plate.keys import CP_ROUND, WellKey
from nucprof.stages.base import Context, Entry, Job, Outcome, Plan, Stage, Summary

if TYPE_CHECKING:
    import pandas as pd

    from nucprof.learn.predict import Predicted

FIGURES = ("composition.png", "plates.png")


@dataclass(frozen=True, kw_only=True)
class PredictJob(Job):
    """The whole project's cells: ``table`` names them, ``crops`` is None for a forest.

    ``features`` are the cells' features, which are compared with what the model expects;
    ``evaluated`` is the file of the predictions of the model's evaluation, None if there is none.
    """

    confidence: float
    bootstrap: int
    seed: int
    table: Path
    features: Path
    crops: CropKind | None
    references: References
    evaluated: Path | None
    measured: FeatureSettings = dataclasses.field(metadata=WHERE_IT_RUNS)  # so are the features
    model: Path = dataclasses.field(metadata=WHERE_IT_RUNS)
    folder: Path = dataclasses.field(metadata=WHERE_IT_RUNS)
    colours: Path = dataclasses.field(metadata=WHERE_IT_RUNS)
    device: str = dataclasses.field(metadata=WHERE_IT_RUNS)
    precision: Precision = dataclasses.field(metadata=WHERE_IT_RUNS)


@dataclass(frozen=True)
class PredictRecord:
    """Cells by predicted class, and by where their prediction comes from."""

    cells: dict[str, int]
    sources: dict[str, int]


def plan(context: Context) -> Plan[PredictJob]:
    """One job: the whole project's cells."""
    project, results = context.project, context.results
    assert project.predict.model is not None
    folder = context.written.folder("predict", context.name)
    model = model_files(project.predict.model)
    by_forest = is_forest(project.predict.model)
    features = results.features(CP_ROUND)
    cells = (features,) if by_forest else (*crop_files(project, results), features)
    references, evaluated = references_of(project), predictions_file(project.predict.model)
    names = ("predictions.parquet", "composition.csv", *FIGURES)
    job = PredictJob(
        inputs=(*model, *cells, *references.files, *([evaluated] if evaluated else [])),
        outputs=tuple(folder / name for name in names),
        confidence=project.predict.confidence,
        bootstrap=project.predict.bootstrap,
        seed=project.project.seed,
        table=cells[0],
        features=features,
        measured=project.features,
        crops=None if by_forest else crop_kind(project),
        references=references,
        evaluated=evaluated,
        model=project.predict.model,
        folder=folder,
        colours=context.written.colours,
        device=project.execution.device,
        precision=project.execution.precision,
    )
    return Plan([job])


def work(job: PredictJob) -> Outcome[PredictRecord]:
    """Predict, count, write."""
    from nucprof.io.tables import read_table, write_table
    from nucprof.learn.composition import Known, cautions, compositions
    from nucprof.learn.expectations import check_cells, check_settings
    from nucprof.learn.predict import (
        add_confidence_in_well,
        load_classifier,
        prediction_table,
        refuse_erased,
    )
    from nucprof.plate.columns import in_key_order

    folder, references = job.folder, job.references
    model = load_classifier(job.model)
    refuse_erased(model)
    check_settings(model.expects, job.measured)
    doubts = check_cells(model.expects, read_table(job.features))
    wells = references.wells
    cells = mark_references(in_key_order(read_table(job.table)), wells)
    found = _predict(job, model, cells)
    predictions = prediction_table(
        cells, found.probabilities, model.classes, confidence=job.confidence, source=found.source
    )
    known = Known(
        model.metadata["unseen_wells"],
        prior=model.prior,
        seen_plates={plate for plate, _ in found.seen},
        cultures=references.cultures,
        references=wells,
    )
    composition = compositions(
        predictions, model.classes, known, bootstrap=job.bootstrap, seed=job.seed
    )
    predictions = add_confidence_in_well(predictions, composition, model.classes, model.prior)
    write_table(folder / "predictions.parquet", predictions)
    write_table(folder / "composition.csv", composition)
    _draw(job, composition, model.classes)
    record = PredictRecord(_tally(predictions["predicted"]), _tally(predictions["source"]))
    return Outcome(record, warnings=[*doubts, *found.warnings, *cautions(composition)])


def _tally(values: pd.Series) -> dict[str, int]:
    return {str(name): int(n) for name, n in values.value_counts().items()}


def _predict(job: PredictJob, model: Any, cells: pd.DataFrame) -> Predicted:
    """Calibrated probabilities; of cells that the model was trained on, those of its evaluation."""
    from nucprof.io.tables import read_table
    from nucprof.learn.predict import with_evaluation
    from nucprof.machine import cores

    evaluated = None if job.evaluated is None else read_table(job.evaluated)
    if job.crops is None:
        own = model.calibrate(model.predict_proba(cells, n_jobs=cores()))
        return with_evaluation(
            model, own, cells, lambda numbers: model.values(cells.iloc[numbers]), evaluated
        )
    inputs = network_inputs(
        model,
        cells,
        job.table,
        job.crops,
        job.references,
        device=job.device,
        precision=job.precision,
    )
    return with_evaluation(model, model.probabilities(inputs), cells, inputs.crops.rows, evaluated)


def _draw(job: PredictJob, composition: pd.DataFrame, classes: Sequence[str]) -> None:
    from nucprof.figures import classifiers, overview
    from nucprof.figures.colours import project_colours
    from nucprof.io.files import atomic

    colours = project_colours(job.colours, classes)
    with atomic(job.folder / "composition.png") as path:
        classifiers.composition(path, composition.to_dict("list"), classes, colours=colours)
    wells: dict[str, dict[tuple[str, int], dict[str, float]]] = {}
    for name, rows in composition.groupby("class", sort=False):
        for plate, well, share in zip(rows["plate"], rows["well"], rows["share"], strict=True):
            key = WellKey.parse(well)
            of_well = wells.setdefault(plate, {}).setdefault((key.row, key.column), {})
            of_well[str(name)] = share
    with atomic(job.folder / "plates.png") as path:
        overview.composition_map(path, wells, colours)


def finish(
    context: Context, plan: Plan[PredictJob], entries: Sequence[Entry[PredictRecord]]
) -> Summary:
    """Count cells by class; say where to look."""
    folder = plan.jobs[0].folder
    (record,) = (entry.record for entry in entries)
    assert record is not None
    counts = record.cells
    listed = ", ".join(f"{n} {name}" for name, n in counts.items())
    held_out = record.sources.get("out_of_fold", 0)
    lines = [f"cells: {listed}"]
    if held_out:
        lines.append(
            f"{held_out} cells come from training wells; their predictions are those of the "
            "evaluation, made by models that had not seen these wells"
        )
    return Summary(
        list(plan.jobs[0].outputs),
        {"cells": counts, "sources": record.sources},
        [*lines, f"look at {folder / 'composition.png'} and composition.csv"],
    )


def _needs(project: Project) -> tuple[str, ...]:
    model = project.predict.model
    return ("features",) if model is None or is_forest(model) else ("crop", "features")


def _require_model(project: Project) -> None:
    if project.predict.model is None:
        example = Results(project.project.output).folder("train", "cnn", "default")
        raise UserError(
            f"predict needs a model: nucprof predict PROJECT --model DIR, e.g. {example}"
        )


def _skip(project: Project) -> str | None:
    if project.predict.model is not None:
        return None
    example = Results(project.project.output).folder("train", "rf", "default")
    if example.is_relative_to(project.root):
        example = example.relative_to(project.root)
    return f"predict.model names no model, e.g. {example.as_posix()}"


STAGE = Stage(
    name="predict",
    help="Apply a saved model: classes, and the composition of every well",
    sections=("predict", "reference"),
    needs=_needs,
    makes=("predict/",),
    plan=plan,
    work=work,
    finish=finish,
    record=PredictRecord,
    skip=_skip,
    asked=_require_model,
    named=True,
    elsewhere=True,
    version=3,
)
