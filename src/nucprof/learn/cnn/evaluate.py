"""Train the network on the split that the forest also uses, and judge it on unseen wells."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from nucprof.config.by_mode import CropKind
from nucprof.config.models import CnnSettings
from nucprof.errors import DataError
from nucprof.learn.calibrate import calibrated, calibration_error, fit_prior, fit_temperature
from nucprof.learn.cells import Training
from nucprof.learn.chance import chance_of_predictions
from nucprof.learn.cnn.augment import crop_limits
from nucprof.learn.cnn.crop_data import Crops
from nucprof.learn.cnn.device import precision_name, predict_logits
from nucprof.learn.cnn.inputs import InputPath
from nucprof.learn.cnn.model import CnnModel
from nucprof.learn.cnn.network import architecture_for, build_network, check_network
from nucprof.learn.cnn.references import ReferenceCrops, reference_limits
from nucprof.learn.cnn.train import Samples, Trained, train_network
from nucprof.learn.evaluate import (
    combine_runs,
    confusion_per_well,
    density_strata,
    predictions_frame,
    run_metrics,
)
from nucprof.learn.out_of_fold import first_of_each_cell, trained_wells
from nucprof.learn.split import Culture, attach, cv_folds, sample_cells, split_wells
from nucprof.plate.columns import KEY, PLATE, TARGET, require

# The settings that the model's metadata records; the others are fields of the model.
OPTIMISATION = {
    "epochs", "batch_size", "learning_rate", "weight_decay", "schedule", "patience", "compile",
}  # fmt: skip


@dataclass
class CnnResult:
    """What is written by `train cnn`."""

    metrics: dict[str, Any]
    predictions: pd.DataFrame
    split: pd.DataFrame
    history: pd.DataFrame
    model: CnnModel
    warnings: list[str]


def evaluate_cnn(
    cells: pd.DataFrame,
    crops: Crops,
    kind: CropKind,
    settings: CnnSettings,
    training: Training,
    *,
    culture: Culture,
    device: str,
    bfloat16: bool = False,
    per_class: int | None = None,
    tested: np.ndarray | None = None,
    reference: ReferenceCrops | None = None,
    checkpoints: Path | None = None,
    definition: str = "",
    report: Callable[[str], None] = lambda message: None,
    afterwards: int = 0,
) -> CnnResult:
    """Train on 60% of the wells; 10% choose the epoch, 30% judge the network.

    One network per seed, which decides the split, and repeat, which has other random weights on the
    same split. The first network is the one to ship.

    Parameters
    ----------
    cells
        Labelled cells in key order, with a RangeIndex; row i is crop i.
    crops
        `(N, C, H, W)`, the channels of `kind`.
    kind
        What the crops show.
    settings
        The network and how it is trained: `[train.cnn]`.
    training
        How the cells are sampled and split, and by which seeds: what `[train]` says.
    culture
        Of the cells to train on.
    device
        Torch's name of the device.
    bfloat16
        Whether the network multiplies in bfloat16; weights and losses are float32.
    per_class
        Learn from so few cells of every class, in as many steps as from all that `training.sample`
        gives; None learns from all these.
    tested
        `(N,)` bool: cells of the other culture, to be tested only; None splits all cells.
    reference
        Crops of reference wells, needed where intensities are normalised by plate.
    checkpoints
        Folder for the state after every epoch; removed files mean a new start.
    definition
        What decides the result, beside the seed; checkpoints of another are ignored.
    report
        Called with a line of text per epoch.
    afterwards
        Trainings that follow this evaluation: the time left counts them.

    Raises
    ------
    DataError, ModelError
        If there are too few wells, or the network does not fit the crops.
    """
    require(cells, [*KEY, TARGET])
    if not cells.index.equals(pd.RangeIndex(crops.shape[0])) or cells.duplicated(KEY).any():
        raise ValueError("cells and crops must correspond row by row")
    job = _Job(
        cells, crops, kind, settings, training, device, bfloat16, per_class, tested,
        sorted(cells[TARGET].unique()), reference, checkpoints, definition, report,
    )  # fmt: skip
    draws = [(seed, repeat) for seed in training.seeds for repeat in range(settings.repeats)]
    after = range(afterwards + len(draws) - 1, afterwards - 1, -1)
    runs = [job.run(*draw, left) for draw, left in zip(draws, after, strict=True)]
    predictions = pd.concat([run.predictions for run in runs], ignore_index=True)
    metrics = combine_runs([run.metrics for run in runs], predictions)
    first = runs[0]
    learnt = cells[attach(cells, first.split, "part") != "test"]
    model = CnnModel(
        first.trained.network, job.architecture, job.classes, kind, settings.image_size,
        settings.normalise, first.temperature, first.prior, first.cultures,
        {
            "culture": culture,
            "seed": training.seeds[0],
            "metrics": metrics,
            "unseen_wells": confusion_per_well(first_of_each_cell(predictions), job.classes),
            "trained_wells": trained_wells(
                learnt, lambda numbers: crops.rows(learnt.index.to_numpy()[numbers])
            ),
            "split": first.split.to_dict("records"),
            "training": settings.model_dump(include=OPTIMISATION),
            "versions": {name: version(name) for name in ("torch", "torchvision")},
        },
    )  # fmt: skip
    return CnnResult(
        metrics,
        predictions,
        pd.concat([run.split for run in runs], ignore_index=True).drop_duplicates(),
        pd.concat([run.history for run in runs], ignore_index=True),
        model,
        [warning for run in runs for warning in run.trained.warnings],
    )


def _repeated(cells: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """`n` rows that hold every cell equally often, or nearly."""
    order = np.random.default_rng(seed).permutation(len(cells))
    return cells.iloc[np.resize(order, n)]


def _mixed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


@dataclass
class _Outcome:
    metrics: dict[str, Any]
    predictions: pd.DataFrame
    split: pd.DataFrame
    history: pd.DataFrame
    trained: Trained
    temperature: float
    prior: np.ndarray
    cultures: list[str]


class _Job:
    """What all seeds have in common."""

    def __init__(
        self, cells: pd.DataFrame, crops: Crops, kind: CropKind, settings: CnnSettings,
        training: Training, device: str, bfloat16: bool, per_class: int | None,
        tested: np.ndarray | None, classes: list[str], reference: ReferenceCrops | None,
        checkpoints: Path | None, definition: str, report: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.cells, self.crops, self.kind, self.settings = cells, crops, kind, settings
        self.training, self.per_class = training, per_class
        self.device, self.bfloat16 = device, bfloat16
        self.tested, self.classes, self.reference = tested, classes, reference
        self.checkpoints, self.definition, self.report = checkpoints, definition, report
        self.architecture = architecture_for(settings.architecture, device)
        if settings.architecture == "auto":
            report(f"architecture auto: {self.architecture} on {device}")
        self.targets = np.searchsorted(classes, cells[TARGET].to_numpy(dtype=str))
        self._crop_limits = crop_limits(crops, device) if settings.normalise == "crop" else None
        self._check()

    def run(self, seed: int, repeat: int, afterwards: int) -> _Outcome:
        started = time.perf_counter()
        draw = seed if repeat == 0 else _mixed(seed, repeat)
        split = self._split(seed)
        part = attach(self.cells, split, "part")
        rows = {name: self.cells[part == name] for name in ("train", "validation", "test")}
        train = sample_cells(rows["train"], sample=self.training.sample, seed=seed)
        inputs, cultures = self._inputs(rows["test"])
        shown, n_train = train, len(train)
        if self.per_class is not None:
            few = sample_cells(rows["train"], sample=self.per_class, seed=draw)
            shown, n_train = _repeated(few, len(train), draw), len(few)
        trained = train_network(
            self._network(draw), inputs, self._samples(shown), self._samples(rows["validation"]),
            self.settings, seed=draw, n_classes=len(self.classes),
            checkpoint=self._checkpoint(seed, repeat), definition=self.definition,
            report=lambda line: self.report(f"{self._named(seed, repeat)}{line}"),
            afterwards=afterwards,
        )  # fmt: skip
        validation = self._logits(trained.network, inputs, rows["validation"])
        chosen = self._samples(rows["validation"]).targets
        temperature = fit_temperature(validation, chosen)
        prior = fit_prior(calibrated(validation, temperature), chosen)
        logits = self._logits(trained.network, inputs, rows["test"])
        likely = calibrated(logits, temperature)
        named = {"part": "test"} | ({"repeat": repeat} if self.settings.repeats > 1 else {})
        frame = predictions_frame(rows["test"], likely, self.classes, seed=seed, **named)
        fit_seconds = time.perf_counter() - started
        metrics = run_metrics(
            frame,
            self.classes,
            n_train=n_train,
            evaluation="split" if self.tested is None else "across",
            split_unit=self.training.split_unit,
            chance=chance_of_predictions(frame, self.classes),
            device=self.device,
            precision=precision_name(self.bfloat16),
            fit_seconds=fit_seconds,
            repeat=repeat,
            best_epoch=trained.best_epoch + 1,
            epochs=len(trained.history),
            batch_size=trained.batch_size,
            temperature=temperature,
            calibration_error=calibration_error(likely, self._samples(rows["test"]).targets),
        )
        if self.training.density_strata:
            metrics["density_strata"] = density_strata(
                rows["test"], frame, self.classes, self.training.density_strata
            )
        history = pd.DataFrame([vars(epoch) for epoch in trained.history])
        history = history.rename(columns={"number": "epoch"}).assign(seed=seed, repeat=repeat)
        return _Outcome(
            metrics, frame, split.assign(seed=seed), history, trained, temperature, prior, cultures
        )

    def _split(self, seed: int) -> pd.DataFrame:
        unit = self.training.split_unit
        if self.tested is None:
            return split_wells(self.cells, unit=unit, seed=seed)
        # The other culture is the test part; of this one some wells choose the epoch.
        folds = cv_folds(self.cells[~self.tested], unit=unit, seed=seed, folds=7)
        part = np.where(folds["fold"] == 0, "validation", "train")
        known = folds.drop(columns="fold").assign(part=part)
        others = self.cells.loc[self.tested, [PLATE, "Metadata_Well"]].drop_duplicates()
        others = others.set_axis(["plate", "well"], axis=1).assign(part="test")
        if len(known.merge(others, on=["plate", "well"])):
            raise DataError("wells to train on and wells to test on overlap")
        return pd.concat([known, others], ignore_index=True)

    def _network(self, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return build_network(
            self.architecture, self.crops.shape[1], len(self.classes),
            pretrained=self.settings.pretrained,
        )  # fmt: skip

    def _check(self) -> None:
        check_network(
            self._network(0), self.crops.shape[1], len(self.classes), self.settings.image_size,
            self.architecture,
        )  # fmt: skip

    def _inputs(self, test: pd.DataFrame) -> tuple[InputPath, list[str]]:
        """The inputs, and the cultures of the reference wells that scale them, if any do."""
        if self._crop_limits is not None:
            limits, cultures = self._crop_limits, list[str]()
        else:
            plates = self.cells[PLATE].to_numpy(dtype=str)
            limits, cultures = reference_limits(self.reference, plates, tested=test)
        inputs = InputPath(
            self.crops, limits, self.settings.image_size, self.device, bfloat16=self.bfloat16
        )
        return inputs, cultures

    def _samples(self, rows: pd.DataFrame) -> Samples:
        numbers = rows.index.to_numpy(copy=True)
        return Samples(numbers, self.targets[numbers])

    def _logits(self, network: nn.Module, inputs: InputPath, rows: pd.DataFrame) -> np.ndarray:
        return predict_logits(network, inputs, rows.index.to_numpy(copy=True))

    def _checkpoint(self, seed: int, repeat: int) -> Path | None:
        return self.checkpoints and self.checkpoints / f"seed-{seed}-{repeat}.safetensors"

    def _named(self, seed: int, repeat: int) -> str:
        if len(self.training.seeds) * self.settings.repeats == 1:
            return ""
        return f"seed {seed}, " + (f"repeat {repeat + 1}, " if self.settings.repeats > 1 else "")
