"""Train a random forest, evaluate it on unseen wells, and save the final one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nucprof.config.models import FeatureSettings, ForestSettings
from nucprof.io.digest import WHERE_IT_RUNS
from nucprof.learn.cells import Training, choose_cells, labelled_cells, training_of
from nucprof.learn.references import References, reference_cells, references_of
from nucprof.learn.report import classifier_outputs, describe_metrics, few_wells, write_evaluation
from nucprof.plate.keys import CP_ROUND
from nucprof.stages.base import (
    Context,
    Entry,
    Job,
    Outcome,
    Plan,
    Stage,
    Summary,
    disabled,
    needs,
)

MODEL = "model.skops"


@dataclass(frozen=True, kw_only=True)
class ForestJob(Job):
    """The whole project's cells: their features and, where there is one, the gate's classes.

    ``references`` is None if features are not scaled by reference wells.
    """

    settings: ForestSettings
    training: Training
    features: Path
    gate: Path | None
    corrections: tuple[Path, ...] = ()
    references: References | None = None
    measured: FeatureSettings = dataclasses.field(metadata=WHERE_IT_RUNS)  # so are the features
    folder: Path = dataclasses.field(metadata=WHERE_IT_RUNS)
    colours: Path = dataclasses.field(metadata=WHERE_IT_RUNS)


@dataclass(frozen=True)
class ForestRecord:
    """The training culture, and the number of features."""

    culture: str
    features: int


def plan(context: Context) -> Plan[ForestJob]:
    """One job: the whole project's cells."""
    project, results = context.project, context.results
    folder = results.folder("train", "rf", context.name)
    features = results.features(CP_ROUND)
    gate = results.classes if project.has_ground_truth else None
    references = references_of(project) if project.train.rf.scaling == "plate" else None
    training = training_of(project)
    outputs = classifier_outputs(folder, MODEL, strata=training.density_strata)
    extra = (folder / "importance.csv", folder / "importance.png")
    job = ForestJob(
        inputs=(
            features,
            *([gate] if gate else []),
            *project.gate.corrections,
            *(references.files if references else ()),
        ),
        outputs=(*outputs.values(), *extra),
        settings=project.train.rf,
        training=training,
        features=features,
        gate=gate,
        corrections=tuple(project.gate.corrections),
        references=references,
        measured=project.features,
        folder=folder,
        colours=results.colours,
    )
    return Plan([job])


def work(job: ForestJob) -> Outcome[ForestRecord]:
    """Train, evaluate, write."""
    from nucprof.figures import classifiers
    from nucprof.io.files import atomic
    from nucprof.io.tables import read_table, write_table
    from nucprof.learn.expectations import differing_plates, expectations_of
    from nucprof.learn.forest.evaluate import evaluate_forest
    from nucprof.learn.selection import choose_features
    from nucprof.machine import cores

    training, settings = job.training, job.settings
    table = read_table(job.features)
    cells = labelled_cells(table, job.gate, job.corrections, training.mixed_name)
    train, test, culture = choose_cells(cells, training)
    features = choose_features(
        list(cells.columns), regions=settings.regions, channels=settings.channels
    )
    result = evaluate_forest(
        train,
        features,
        settings,
        training,
        culture=culture,
        n_jobs=cores(),
        test_cells=test,
        reference=reference_cells(table, job.references.wells) if job.references else None,
    )
    folder = job.folder
    write_evaluation(
        classifier_outputs(folder, MODEL, strata=training.density_strata),
        result.metrics,
        result.predictions,
        result.split,
        "Random forest",
        job.colours,
    )
    write_table(folder / "importance.csv", result.importances)
    with atomic(folder / "importance.png") as path:
        classifiers.importance(
            path,
            result.importances["feature"].tolist(),
            result.importances["impurity"].tolist(),
            result.importances["permutation"].tolist(),
            title="Random forest: feature importance",
        )
    result.model.expects = expectations_of(train, job.measured, result.model.features)
    with atomic(folder / MODEL) as path:
        result.model.save(path)
    record = ForestRecord(culture, len(features))
    return Outcome(
        record, warnings=[*differing_plates(train), *few_wells(result.metrics), *_erasing(settings)]
    )


def _erasing(settings: ForestSettings) -> list[str]:
    if settings.scaling != "well":
        return []
    return [
        'train.rf.scaling = "well" scales every well by its own cells, which removes the '
        'composition of wells, so predict refuses this model; use "plate" to scale by reference '
        "wells"
    ]


def finish(
    context: Context, plan: Plan[ForestJob], entries: Sequence[Entry[ForestRecord]]
) -> Summary:
    """Report how good the forest is, and where to look."""
    from nucprof.io.files import read_json
    from nucprof.learn.rounds import add_round

    folder, corrections = plan.jobs[0].folder, plan.jobs[0].corrections
    (record,) = (entry.record for entry in entries)
    assert record is not None
    metrics = read_json(folder / "metrics.json")
    quality, chance = describe_metrics(metrics)
    rounds = add_round(folder, metrics, corrections, "Random forest")
    return Summary(
        [folder / "metrics.json", rounds],
        {"f1_macro": metrics["f1_macro"], "n_test": metrics["n_test"]},
        [
            f"random forest ({record.culture} culture): {quality}",
            chance,
            f"look at {folder / 'confusion.png'}",
        ],
    )


STAGE = Stage(
    name="train-rf",
    help="Train and evaluate a random forest",
    sections=("train", "train.rf", "reference"),
    needs=needs("features", "gate"),
    makes=("train/rf/",),
    plan=plan,
    work=work,
    finish=finish,
    record=ForestRecord,
    skip=disabled("train.rf"),
    named=True,
    version=4,
)
