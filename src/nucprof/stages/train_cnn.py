"""Train a network on the crops, evaluate it on unseen wells, and save it."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucprof.config.by_mode import CropKind, crop_kind
from nucprof.config.models import CnnSettings, FeatureSettings, Precision
from nucprof.io.digest import WHERE_IT_RUNS, digest
from nucprof.learn.cells import Training, choose_cells, labelled_cells, training_of
from nucprof.learn.cnn.crop_table import crop_files, open_cells_crops, open_reference_crops
from nucprof.learn.references import References, references_of
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

if TYPE_CHECKING:
    from nucprof.learn.cnn.evaluate import CnnResult

progress = logging.getLogger("nucprof.progress")

MODEL = "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class NetworkJob(Job):
    """The whole project's cells: their features, crops and, where there is one, the gate's classes.

    ``index`` is the crops' index table; ``references`` is None where no crop is scaled by
    reference wells.
    """

    settings: CnnSettings
    training: Training
    crops: CropKind
    features: Path
    gate: Path | None
    index: Path
    corrections: tuple[Path, ...] = ()
    references: References | None = None
    measured: FeatureSettings = dataclasses.field(metadata=WHERE_IT_RUNS)  # so are the features
    folder: Path = dataclasses.field(metadata=WHERE_IT_RUNS)
    colours: Path = dataclasses.field(metadata=WHERE_IT_RUNS)
    device: str = dataclasses.field(metadata=WHERE_IT_RUNS)
    precision: Precision = dataclasses.field(metadata=WHERE_IT_RUNS)


@dataclass(frozen=True)
class NetworkRecord:
    """The training culture, the network, the device, and the precision of multiplications."""

    culture: str
    architecture: str
    device: str
    precision: str = "float32"


def plan(context: Context) -> Plan[NetworkJob]:
    """One job: the whole project's cells."""
    project, results = context.project, context.results
    folder = results.folder("train", "cnn", context.name)
    settings = project.train.cnn
    features = results.features(CP_ROUND)
    gate = results.classes if project.has_ground_truth else None
    crops = crop_files(project, results)
    references = references_of(project) if settings.normalise == "plate" else None
    names = ["model.json", "history.csv", "history.png"]
    names += ["learning_curve.csv", "learning_curve.png"] if settings.sizes else []
    names += ["ablation.csv", "ablation.png"] if settings.ablate == "channels" else []
    training = training_of(project)
    job = NetworkJob(
        inputs=(
            features,
            *([gate] if gate else []),
            *project.gate.corrections,
            *crops,
            *([settings.pretrained] if settings.pretrained else []),
            *(references.files if references else ()),
        ),
        outputs=(
            *classifier_outputs(folder, MODEL, strata=training.density_strata).values(),
            *(folder / name for name in names),
        ),
        settings=settings,
        training=training,
        crops=crop_kind(project),
        features=features,
        gate=gate,
        corrections=tuple(project.gate.corrections),
        index=crops[0],
        measured=project.features,
        references=references,
        folder=folder,
        colours=results.colours,
        device=project.execution.device,
        precision=project.execution.precision,
    )
    return Plan([job])


def work(job: NetworkJob) -> Outcome[NetworkRecord]:
    """Train, evaluate, write."""
    import pandas as pd

    from nucprof.io.tables import read_table
    from nucprof.learn.cnn import studies
    from nucprof.learn.cnn.device import precision_name, uses_bfloat16
    from nucprof.learn.cnn.evaluate import evaluate_cnn
    from nucprof.learn.expectations import differing_plates, expectations_of
    from nucprof.machine import resolve_device
    from nucprof.plate.columns import in_key_order

    settings, training, folder = job.settings, job.training, job.folder
    labelled = labelled_cells(
        read_table(job.features), job.gate, job.corrections, training.mixed_name
    )
    train, test, culture = choose_cells(labelled, training)
    cells = in_key_order(
        train if test is None else pd.concat([train.assign(test=False), test.assign(test=True)])
    )
    kind, channels = _chosen_channels(job)
    crops = open_cells_crops(cells, job.index, channels, masked=kind.masked)
    device = resolve_device(job.device)
    bfloat16 = uses_bfloat16(device, job.precision)
    common: dict[str, Any] = {
        "culture": culture,
        "device": device,
        "bfloat16": bfloat16,
        "tested": None if test is None else cells["test"].to_numpy(dtype=bool),
        "reference": open_reference_crops(job.references, job.index, channels, masked=kind.masked),
        "report": progress.info,
    }
    later = studies.trainings(settings, training, len(channels))
    result = evaluate_cnn(
        cells,
        crops,
        kind,
        settings,
        training,
        checkpoints=folder / ".checkpoints",
        definition=_definition(job),
        afterwards=sum(later.values()),
        **common,
    )
    result.model.expects = expectations_of(train, job.measured)
    _write(job, result)
    if settings.sizes:
        curve = studies.learning_curve(
            cells, crops, kind, settings, training, afterwards=later["ablation"], **common
        )
        _write_study(folder / "learning_curve", curve)
    if settings.ablate == "channels":
        ablation = studies.channel_ablation(cells, crops, kind, settings, training, **common)
        _write_study(folder / "ablation", ablation)
    shutil.rmtree(folder / ".checkpoints", ignore_errors=True)
    architecture, precision = result.model.architecture, precision_name(bfloat16)
    record = NetworkRecord(culture, architecture, device, precision)
    return Outcome(
        record, warnings=[*differing_plates(train), *result.warnings, *few_wells(result.metrics)]
    )


def _chosen_channels(job: NetworkJob) -> tuple[CropKind, list[int]]:
    names = tuple(job.settings.channels) or job.crops.channels
    return replace(job.crops, channels=names), [job.crops.channels.index(name) for name in names]


def _definition(job: NetworkJob) -> str:
    """What decides a training run; a checkpoint of another run is not continued."""
    files = [[path.stat().st_size, path.stat().st_mtime_ns] for path in job.inputs]
    return digest([files, job])


def _write(job: NetworkJob, result: CnnResult) -> None:
    from nucprof.figures import classifiers
    from nucprof.io.files import atomic
    from nucprof.io.tables import write_table

    folder = job.folder
    outputs = classifier_outputs(folder, MODEL, strata=job.training.density_strata)
    title = f"Network ({result.model.architecture})"
    write_evaluation(outputs, result.metrics, result.predictions, result.split, title, job.colours)
    write_table(folder / "history.csv", result.history)
    with atomic(folder / "history.png") as path:
        classifiers.training_history(path, result.history.to_dict("list"), title=title)
    result.model.save(folder)


def _write_study(stem: Path, table: Any) -> None:
    from nucprof.figures import classifiers
    from nucprof.io.files import atomic
    from nucprof.io.tables import write_table

    write_table(stem.with_suffix(".csv"), table)
    draw = classifiers.learning_curve if stem.name == "learning_curve" else classifiers.ablation
    with atomic(stem.with_suffix(".png")) as path:
        draw(path, table.to_dict("list"))


def finish(
    context: Context, plan: Plan[NetworkJob], entries: Sequence[Entry[NetworkRecord]]
) -> Summary:
    """Report how good the network is, and where to look."""
    from nucprof.io.files import read_json
    from nucprof.learn.rounds import add_round

    folder, corrections = plan.jobs[0].folder, plan.jobs[0].corrections
    (record,) = (entry.record for entry in entries)
    assert record is not None
    metrics = read_json(folder / "metrics.json")
    quality, chance = describe_metrics(metrics)
    rounds = add_round(folder, metrics, corrections, f"Network ({record.architecture})")
    return Summary(
        [folder / "metrics.json", rounds],
        {"f1_macro": metrics["f1_macro"], "n_test": metrics["n_test"]},
        [
            f"{record.architecture} on {record.device} in {record.precision} "
            f"({record.culture} culture): {quality}",
            chance,
            f"look at {folder / 'confusion.png'} and {folder / 'history.png'}",
        ],
    )


STAGE = Stage(
    name="train-cnn",
    help="Train and evaluate a network",
    sections=("train", "train.cnn", "reference"),
    needs=needs("crop", "features", "gate"),
    makes=("train/cnn/",),
    plan=plan,
    work=work,
    finish=finish,
    record=NetworkRecord,
    skip=disabled("train.cnn"),
    named=True,
    version=3,
)
