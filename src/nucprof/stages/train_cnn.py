"""Train a network on the crops, judge it on unseen wells, and save it."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucprof.config.models import CnnSettings as CnnSection
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
from nucprof.learn.cnn.crop_table import crop_files, crop_folder, crop_kind, open_cells_crops
from nucprof.plate.keys import CP_ROUND
from nucprof.stages.base import WHOLE, Context, Entry, Job, Outcome, Plan, Summary, require

if TYPE_CHECKING:
    from nucprof.learn.cnn.evaluate import CnnResult, CnnSettings

progress = logging.getLogger("nucprof.progress")

MODEL = "model.safetensors"


def plan(context: Context) -> Plan:
    """One job: the whole project's cells."""
    project, results = context.project, context.results
    gated = project.has_ground_truth
    require(context, "crop", "features", *(["gate"] if gated else []))
    folder = results.folder("train", "cnn", context.name)
    settings = project.train.cnn
    names = ["model.json", "history.csv", "history.png"]
    names += ["learning_curve.csv", "learning_curve.png"] if settings.sizes else []
    names += ["ablation.csv", "ablation.png"] if settings.ablate == "channels" else []
    job = Job(
        *WHOLE,
        (
            results.features(CP_ROUND),
            *([gate_table(results)] if gated else []),
            *crop_files(project, results),
            *([settings.pretrained] if settings.pretrained else []),
        ),
        (*classifier_outputs(folder, MODEL).values(), *(folder / name for name in names)),
        {
            **training_params(project),
            "settings": settings,
            "gated": gated,
            "crops": vars(crop_kind(project)),
            "density_strata": project.train.density_strata,
        },
        {
            "folder": folder,
            "index": crop_folder(project, results) / "index.parquet",
            "kind": crop_kind(project),
            "device": project.execution.device,
        },
    )
    return Plan([job])


def work(job: Job) -> Outcome:
    """Train, evaluate, write."""
    import pandas as pd

    from nucprof.learn.cnn import studies
    from nucprof.learn.cnn.evaluate import evaluate_cnn
    from nucprof.learn.device import resolve_device
    from nucprof.plate.columns import in_key_order

    params, section, folder = job.params, job.params["settings"], job.runtime["folder"]
    table = add_true_class(read_table(job.inputs[0]), job.inputs[1] if params["gated"] else None)
    train, test, culture = choose_cells(
        table,
        culture=params["culture"],
        test_culture=params["test_culture"],
        targets=params["targets"],
        mixed_name=params["mixed_name"],
    )
    cells = in_key_order(
        train if test is None else pd.concat([train.assign(test=False), test.assign(test=True)])
    )
    kind, channels = _chosen_channels(job)
    crops = open_cells_crops(
        cells, job.runtime["index"], channels, masked=job.runtime["kind"].masked
    )
    device = resolve_device(job.runtime["device"])
    settings = _settings(job, section)
    common: dict[str, Any] = {
        "culture": culture,
        "device": device,
        "tested": None if test is None else cells["test"].to_numpy(dtype=bool),
        "report": progress.info,
    }
    result = evaluate_cnn(
        cells,
        crops,
        kind,
        settings,
        checkpoints=folder / ".checkpoints",
        definition=_definition(job),
        **common,
    )
    _write(folder, result)
    if section.sizes:
        curve = studies.learning_curve(cells, crops, kind, settings, section.sizes, **common)
        _write_study(folder / "learning_curve", curve)
    if section.ablate == "channels":
        ablation = studies.channel_ablation(cells, crops, kind, settings, **common)
        _write_study(folder / "ablation", ablation)
    shutil.rmtree(folder / ".checkpoints", ignore_errors=True)
    return Outcome(
        {"culture": culture, "architecture": result.model.architecture, "device": device},
        warnings=[*result.warnings, *few_wells(result.metrics)],
    )


def _chosen_channels(job: Job) -> tuple[Any, list[int]]:
    from dataclasses import replace

    kind = job.runtime["kind"]
    names = tuple(job.params["settings"].channels) or kind.channels
    return replace(kind, channels=names), [kind.channels.index(name) for name in names]


def _settings(job: Job, section: CnnSection) -> CnnSettings:
    from nucprof.learn.cnn.evaluate import CnnSettings
    from nucprof.learn.cnn.train import TrainingSettings

    params = job.params
    return CnnSettings(
        training=TrainingSettings(
            epochs=section.epochs,
            batch_size=section.batch_size,
            learning_rate=section.learning_rate,
            weight_decay=section.weight_decay,
            schedule=section.schedule,
            patience=section.patience,
            compile=section.compile,
        ),
        architecture=section.architecture,
        image_size=section.image_size,
        normalise=section.normalise,
        pretrained=section.pretrained,
        sample=params["sample"],
        seeds=tuple(params["seeds"]),
        split_unit=params["split_unit"],
        repeats=section.repeats,
        density_strata=params["density_strata"],
    )


def _definition(job: Job) -> str:
    """What decides a training run; a checkpoint of another is not gone on from."""
    files = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in job.inputs]
    text = json.dumps([files, job.params], default=lambda model: model.model_dump(mode="json"))
    return hashlib.sha256(text.encode()).hexdigest()


def _write(folder: Path, result: CnnResult) -> None:
    from nucprof.figures import classifiers

    outputs = classifier_outputs(folder, MODEL)
    title = f"Network ({result.model.architecture})"
    write_evaluation(outputs, result.metrics, result.predictions, result.split, title)
    write_table(folder / "history.csv", result.history)
    with atomic(folder / "history.png") as path:
        classifiers.training_history(path, result.history.to_dict("list"), title=title)
    result.model.save(folder)


def _write_study(stem: Path, table: Any) -> None:
    from nucprof.figures import classifiers

    write_table(stem.with_suffix(".csv"), table)
    draw = classifiers.learning_curve if stem.name == "learning_curve" else classifiers.ablation
    with atomic(stem.with_suffix(".png")) as path:
        draw(path, table.to_dict("list"))


def finish(context: Context, plan: Plan, entries: Sequence[Entry]) -> Summary:
    """Tell how good it is and where to look."""
    folder, record = plan.jobs[0].runtime["folder"], entries[0].record
    metrics = read_json(folder / "metrics.json")
    quality, chance = describe_metrics(metrics)
    return Summary(
        [folder / "metrics.json"],
        {"f1_macro": metrics["f1_macro"], "n_test": metrics["n_test"]},
        [
            f"{record['architecture']} on {record['device']} ({record['culture']} culture): "
            + quality,
            chance,
            f"look at {folder / 'confusion.png'} and {folder / 'history.png'}",
        ],
    )
