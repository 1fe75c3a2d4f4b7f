"""Train a random forest, judge it on unseen wells, and save the one to ship."""

from __future__ import annotations

from collections.abc import Sequence

from nucprof.io.files import atomic, read_json
from nucprof.io.tables import read_table, write_table
from nucprof.learn.cells import (
    add_true_class,
    choose_cells,
    classifier_outputs,
    describe_metrics,
    few_wells,
    gate_table,
    training_params,
    write_evaluation,
)
from nucprof.plate.keys import CP_ROUND
from nucprof.stages.base import WHOLE, Context, Entry, Job, Outcome, Plan, Summary, require

MODEL = "model.skops"


def plan(context: Context) -> Plan:
    """One job: the whole project's cells."""
    project, results = context.project, context.results
    require(context, "features", *(["gate"] if project.has_ground_truth else []))
    folder = results.folder("train", "rf", context.name)
    inputs = [results.features(CP_ROUND)]
    if project.has_ground_truth:
        inputs.append(gate_table(results))
    outputs = classifier_outputs(folder, MODEL)
    extra = (folder / "importance.csv", folder / "importance.png")
    job = Job(
        *WHOLE,
        tuple(inputs),
        (*outputs.values(), *extra),
        {
            **training_params(project),
            "settings": project.train.rf,
            "gated": project.has_ground_truth,
            "density_strata": project.train.density_strata,
        },
        {"folder": folder},
    )
    return Plan([job])


def work(job: Job) -> Outcome:
    """Train, evaluate, write."""
    from nucprof.figures import classifiers
    from nucprof.learn.forest.evaluate import evaluate_forest
    from nucprof.learn.forest.fit import ForestSettings
    from nucprof.learn.selection import choose_features
    from nucprof.machine import cores

    params, settings = job.params, job.params["settings"]
    cells = add_true_class(read_table(job.inputs[0]), job.inputs[1] if params["gated"] else None)
    train, test, culture = choose_cells(
        cells,
        culture=params["culture"],
        test_culture=params["test_culture"],
        targets=params["targets"],
        mixed_name=params["mixed_name"],
    )
    features = choose_features(
        list(cells.columns), regions=settings.regions, channels=settings.channels
    )
    result = evaluate_forest(
        train,
        features,
        ForestSettings(
            evaluation=settings.evaluation,
            split_unit=params["split_unit"],
            sample=params["sample"],
            seeds=tuple(params["seeds"]),
            scaling=settings.scaling,
            drop_redundant=settings.drop_redundant,
            density_strata=params["density_strata"],
            n_jobs=cores(),
        ),
        culture=culture,
        test_cells=test,
    )
    folder = job.runtime["folder"]
    write_evaluation(
        classifier_outputs(folder, MODEL),
        result.metrics,
        result.predictions,
        result.split,
        "Random forest",
    )
    write_table(folder / "importance.csv", result.importances)
    with atomic(folder / "importance.png") as path:
        classifiers.importance(
            path,
            result.importances["feature"].tolist(),
            result.importances["impurity"].tolist(),
            result.importances["permutation"].tolist(),
            title="Random forest: what it goes by",
        )
    with atomic(folder / MODEL) as path:
        result.model.save(path)
    return Outcome(
        {"culture": culture, "features": len(features)}, warnings=few_wells(result.metrics)
    )


def finish(context: Context, plan: Plan, entries: Sequence[Entry]) -> Summary:
    """Tell how good it is and where to look."""
    folder = plan.jobs[0].runtime["folder"]
    metrics = read_json(folder / "metrics.json")
    quality, chance = describe_metrics(metrics)
    return Summary(
        [folder / "metrics.json"],
        {"f1_macro": metrics["f1_macro"], "n_test": metrics["n_test"]},
        [
            f"random forest ({entries[0].record['culture']} culture): {quality}",
            chance,
            f"look at {folder / 'confusion.png'}",
        ],
    )
