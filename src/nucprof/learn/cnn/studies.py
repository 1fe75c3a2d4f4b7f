"""What a network's result hangs on: how many cells it learns from, and which channels it sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from nucprof.config.by_mode import CropKind
from nucprof.config.models import CnnSettings
from nucprof.errors import DataError
from nucprof.learn.cells import Training
from nucprof.learn.cnn.crop_data import Crops, RealPixels
from nucprof.learn.cnn.evaluate import evaluate_cnn
from nucprof.learn.cnn.references import ReferenceCrops

DRAWS = 3
"""Runs per point of the learning curve and seed."""


@dataclass
class SomeChannels:
    """Crops of which only some channels are seen."""

    crops: Crops
    channels: list[int]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(N, C, H, W)`."""
        n, _, h, w = self.crops.shape
        return n, len(self.channels), h, w

    @property
    def real(self) -> RealPixels:
        """See :class:`~nucprof.learn.cnn.crop_data.Crops`."""
        return self.crops.real

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """See :class:`~nucprof.learn.cnn.crop_data.Crops`."""
        return self.crops.rows(numbers)[:, self.channels]


def learning_curve(
    cells: pd.DataFrame,
    crops: Crops,
    kind: CropKind,
    settings: CnnSettings,
    training: Training,
    **more: Any,
) -> pd.DataFrame:
    """Train with so many cells per class, on the same wells, and test on the same unseen cells.

    Every run takes as many steps as the full run: few cells are shown so much more often, each time
    augmented anew. Runs of a fixed number of epochs would measure steps, not cells. Every point is
    drawn three times (or `settings.repeats` times, if that is more) for every seed: other cells,
    other initial weights.

    Parameters
    ----------
    cells, crops, kind, settings, training, more
        As for :func:`~nucprof.learn.cnn.evaluate.evaluate_cnn`; `settings.sizes` are the numbers of
        training cells per class.

    Returns
    -------
    DataFrame
        `per_class, n_train, seed, repeat, f1_macro, accuracy`, a row per run; `n_train` is what
        there really was. `f1_macro_mean` and `f1_macro_std` (ddof 1) are those of the point.
    """
    tables = []
    drawn = settings.model_copy(update={"repeats": max(settings.repeats, DRAWS)})
    sizes = sorted(set(settings.sizes))
    for number, size in enumerate(sizes, start=1):
        _tell(more, f"learning curve: {size} cells per class")
        fewer = {**more, "per_class": size, **_later(more, drawn, training, len(sizes) - number)}
        tables.append(_runs(cells, crops, kind, drawn, training, fewer).assign(per_class=size))
    table = _in_order(tables, "per_class")
    of_point = table.groupby("per_class")["f1_macro"]
    return table.assign(
        f1_macro_mean=of_point.transform("mean"), f1_macro_std=of_point.transform("std")
    )


def channel_ablation(
    cells: pd.DataFrame,
    crops: Crops,
    kind: CropKind,
    settings: CnnSettings,
    training: Training,
    **more: Any,
) -> pd.DataFrame:
    """Train with all channels, then without each in turn; the loss of F1 is what it was worth.

    Returns
    -------
    DataFrame
        `without, n_train, seed, repeat, f1_macro, accuracy`; `without` is empty for all channels.

    Raises
    ------
    DataError
        If there is a single channel.
    """
    if len(kind.channels) < 2:
        raise DataError("train.cnn.ablate = channels needs two channels or more")
    _tell(more, "ablation: all channels")
    later = _later(more, settings, training, len(kind.channels))
    tables = [_runs(cells, crops, kind, settings, training, {**more, **later}).assign(without="")]
    for number, left_out in enumerate(kind.channels, start=1):
        kept = [i for i, name in enumerate(kind.channels) if name != left_out]
        fewer = replace(kind, channels=tuple(kind.channels[i] for i in kept))
        _tell(more, f"ablation: without {left_out}")
        seen = SomeChannels(crops, kept)
        later = _later(more, settings, training, len(kind.channels) - number)
        found = _runs(cells, seen, fewer, settings, training, {**_without(more, kept), **later})
        tables.append(found.assign(without=left_out))
    return _in_order(tables, "without")


def trainings(settings: CnnSettings, training: Training, channels: int) -> dict[str, int]:
    """How many trainings the learning curve and the ablation take."""
    curve = settings.model_copy(update={"repeats": max(settings.repeats, DRAWS)})
    points = channels + 1 if settings.ablate == "channels" else 0
    return {
        "learning_curve": len(set(settings.sizes)) * len(training.seeds) * curve.repeats,
        "ablation": points * len(training.seeds) * settings.repeats,
    }


def _later(
    more: dict[str, Any], settings: CnnSettings, training: Training, points: int
) -> dict[str, int]:
    """Trainings that follow a point of a study: those of its other points, and of later studies."""
    own = points * len(training.seeds) * settings.repeats
    return {"afterwards": more.get("afterwards", 0) + own}


def _without(more: dict[str, Any], kept: list[int]) -> dict[str, Any]:
    """The same, the reference wells' crops with some channels alone."""
    reference: ReferenceCrops | None = more.get("reference")
    if reference is None:
        return more
    fewer = replace(reference, crops=SomeChannels(reference.crops, kept))
    return {**more, "reference": fewer}


def _runs(
    cells: pd.DataFrame,
    crops: Crops,
    kind: CropKind,
    settings: CnnSettings,
    training: Training,
    more: dict[str, Any],
) -> pd.DataFrame:
    metrics = evaluate_cnn(cells, crops, kind, settings, training, **more).metrics
    wanted = ("n_train", "seed", "repeat", "f1_macro", "accuracy")
    return pd.DataFrame([{key: run[key] for key in wanted} for run in metrics["seeds"]])


def _in_order(tables: list[pd.DataFrame], first: str) -> pd.DataFrame:
    table = pd.concat(tables, ignore_index=True)
    return table[[first, *(name for name in table.columns if name != first)]]


def _tell(more: dict[str, Any], message: str) -> None:
    report: Callable[[str], None] | None = more.get("report")
    if report is not None:
        report(message)
