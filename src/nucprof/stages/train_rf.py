"""Train and evaluate a random forest on the handcrafted features."""

from __future__ import annotations

import os
from collections.abc import Sequence

from nucprof.config.models import ForestSettings as RfSection
from nucprof.config.models import TrainSettings
from nucprof.io.files import atomic
from nucprof.io.tables import write_table
from nucprof.learn.forest import evaluate_forest
from nucprof.learn.forest_fit import ForestSettings
from nucprof.learn.selection import choose_features
from nucprof.report import figures
from nucprof.stages import training
from nucprof.stages.base import WHOLE, Context, Entry, Job, Outcome, Plan, Summary

OWN_FILES = ("model.skops", "importance.csv", "importance.png")


def plan(context: Context) -> Plan:
    """One job: the table and the true classes in, a judged model out."""
    project = context.project
    folder = context.results.folder("train", "rf", context.name)
    rf = project.train.rf
    job = Job(
        *WHOLE,
        inputs=training.label_inputs(context),
        outputs=tuple(folder / name for name in (*training.EVALUATION_FILES, *OWN_FILES)),
        params={
            **training.label_params(project),
            "rf": rf.model_dump(exclude={"enabled"}),
        },
        runtime={
            "folder": folder,
            "settings": project.train,
            "threads": _threads(project.execution.workers),
        },
    )
    return Plan([job])


def work(job: Job) -> Outcome:
    """Evaluate, fit the model to ship, and write both."""
    settings: TrainSettings = job.runtime["settings"]
    rf: RfSection = settings.rf
    folder = job.runtime["folder"]
    table = training.read_cells(job.inputs)
    training.require_gated(table)
    features = choose_features(list(table.columns), regions=rf.regions, channels=rf.channels)
    cells, culture, tested = training.labelled_cells(table, settings, job.params["mixed_culture"])
    result = evaluate_forest(
        cells,
        features,
        ForestSettings(
            evaluation=rf.evaluation,
            split_unit=settings.split_unit,
            sample=settings.sample,
            seeds=tuple(settings.seeds),
            scaling=rf.scaling,
            drop_redundant=rf.drop_redundant,
            n_jobs=job.runtime["threads"],
        ),
        culture=culture,
        test_cells=tested,
    )
    training.write_evaluation(
        folder, result.metrics, result.predictions, result.split, title="random forest"
    )
    table = result.importances
    write_table(folder / "importance.csv", table)
    with atomic(folder / "importance.png") as target:
        figures.importance(
            target, list(table["feature"]), table["impurity"], table["permutation"],
            title="random forest",
        )  # fmt: skip
    with atomic(folder / "model.skops") as target:
        result.model.save(target)
    split = result.metrics.get("split") or {}
    warnings = [f"no split figures: {split['not_done']}"] if "not_done" in split else []
    lines = training.evaluation_lines(result.metrics, culture)
    return Outcome({"lines": lines, "f1_macro": result.metrics["f1_macro"]}, warnings=warnings)


def finish(context: Context, plan: Plan, entries: Sequence[Entry]) -> Summary:
    """Say how good the forest is and what to look at."""
    record = entries[0].record
    summary = Summary(list(plan.jobs[0].outputs), {"f1_macro": record["f1_macro"]})
    summary.lines += [*record["lines"], f"look at {plan.jobs[0].runtime['folder']}"]
    return summary


def _threads(workers: int | str) -> int:
    return (os.cpu_count() or 1) if workers == "auto" else int(workers)
