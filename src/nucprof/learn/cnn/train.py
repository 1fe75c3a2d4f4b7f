"""Train the network: logits, class weights, plateau or one-cycle, early stopping, best epoch kept.

Every epoch draws its order and its augmentation from (seed, epoch) alone, so that a run that was
killed goes on from its last epoch exactly as if nothing had happened, and the same seed gives the
same numbers on the same CPU.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nucprof.config.models import CnnSettings
from nucprof.duration import duration
from nucprof.errors import DataError, ModelError, NucprofError
from nucprof.learn.cnn.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from nucprof.learn.cnn.device import autocast, memory_format, predict_logits
from nucprof.learn.cnn.inputs import InputPath
from nucprof.learn.evaluate import score

PLATEAU_PATIENCE = 5
PLATEAU_FACTOR = 0.3


@dataclass
class Epoch:
    """What one epoch did; losses are means per crop, `validation_f1` is macro-F1."""

    number: int
    train_loss: float
    validation_loss: float
    validation_f1: float
    learning_rate: float
    seconds: float


@dataclass
class Trained:
    """A trained network with the weights of its best epoch, and how it got there."""

    network: nn.Module
    history: list[Epoch]
    best_epoch: int
    batch_size: int
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Samples:
    """Crops by number, with the index of their class."""

    numbers: np.ndarray
    targets: np.ndarray

    def first(self, n: int) -> Samples:
        """The first so many."""
        return Samples(self.numbers[:n], self.targets[:n])


def train_network(
    network: nn.Module,
    inputs: InputPath,
    train: Samples,
    validation: Samples,
    settings: CnnSettings,
    *,
    seed: int,
    n_classes: int,
    checkpoint: Path | None = None,
    definition: str = "",
    report: Callable[[str], None] = lambda message: None,
    afterwards: int = 0,
) -> Trained:
    """Train and return the network with the weights of the epoch of lowest validation loss.

    Parameters
    ----------
    network
        Gives logits; moved to the inputs' device.
    inputs
        Crops, their limits, size and device.
    train
        Crops to learn from, already sampled.
    validation
        Crops of other wells, which choose the epoch; never resampled, never augmented.
    settings
        `[train.cnn]`: epochs, batches, learning rate and its schedule, patience.
    seed
        Of order and augmentation (the network's initial weights are the caller's).
    n_classes
        Number of classes.
    checkpoint
        Where to keep the state after every epoch; read first, where it is of the same `definition`.
    definition
        What decides the run; a checkpoint of another definition is ignored.
    report
        Called with a line per epoch, with the time left at most.
    afterwards
        Trainings that follow this one: the time left counts them.

    Raises
    ------
    DataError
        If a part is empty or a class has no training crop.
    NucprofError
        If memory runs out even for batches of two crops, or the loss is not finite.
    """
    if not len(train.numbers) or not len(validation.numbers):
        raise DataError("training needs crops in the training and in the validation part")
    run = _Run(network, inputs, train, validation, settings, seed, n_classes, report, afterwards)
    if checkpoint:
        run.resume(checkpoint, definition)
    while not run.finished():
        run.epoch()
        if checkpoint:
            write_checkpoint(checkpoint, run.state(), definition)
    return run.result()


def class_weights(targets: np.ndarray, n_classes: int) -> Tensor:
    """`n / (k n_c)` for each class c of k: every class weighs the same in the loss."""
    counts = np.bincount(targets, minlength=n_classes)
    if (counts == 0).any():
        raise DataError("a class has no crop in the training part")
    return torch.tensor(counts.sum() / (n_classes * counts), dtype=torch.float32)


class _Run:
    """The state of a training run."""

    def __init__(
        self,
        network: nn.Module,
        inputs: InputPath,
        train: Samples,
        validation: Samples,
        settings: CnnSettings,
        seed: int,
        n_classes: int,
        report: Callable[[str], None],
        afterwards: int = 0,
    ) -> None:
        device = inputs.device
        self.inputs, self.train, self.validation = inputs, train, validation
        self.settings, self.seed, self.n_classes, self.report = settings, seed, n_classes, report
        self.afterwards = afterwards
        self.network = network.to(device).to(memory_format=memory_format(inputs))
        self.forward: Any = torch.compile(self.network) if settings.compile else self.network
        self.weights = class_weights(train.targets, n_classes).to(device)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.batch_size = settings.batch_size
        self.history: list[Epoch] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch = -1
        self.since_drop = 0
        self.warnings: list[str] = []

    # ---------------------------------------------------------------- schedule

    def learning_rate(self, epoch: int) -> float:
        """One-cycle: up over the first 30% of the epochs and down again (cosine), by the epoch."""
        if self.settings.schedule == "plateau":
            return float(self.optimizer.param_groups[0]["lr"])
        done = (epoch + 0.5) / self.settings.epochs
        peak = 0.3
        share = done / peak if done < peak else (1 - done) / (1 - peak)
        return self.settings.learning_rate * max(0.5 * (1 - math.cos(math.pi * share)), 1e-3)

    def _step_schedule(self, improved: bool) -> None:
        if self.settings.schedule != "plateau":
            return
        self.since_drop = 0 if improved else self.since_drop + 1
        if self.since_drop > PLATEAU_PATIENCE:
            self.since_drop = 0
            for group in self.optimizer.param_groups:
                group["lr"] *= PLATEAU_FACTOR

    def finished(self) -> bool:
        done = len(self.history)
        if done >= self.settings.epochs:
            return True
        if not done or self.settings.schedule == "one-cycle":
            return False
        return done - 1 - self.best_epoch >= self.settings.patience

    # ---------------------------------------------------------------- one epoch

    def epoch(self) -> None:
        number = len(self.history)
        started = time.perf_counter()
        rate = self.learning_rate(number)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        # Dropout draws from torch's own generator.
        torch.manual_seed(_mix(self.seed, number, 1))
        generator = torch.Generator().manual_seed(_mix(self.seed, number, 2))
        train_loss = self._learn(generator)
        validation_loss, f1 = self._validate()
        if not (math.isfinite(train_loss) and math.isfinite(validation_loss)):
            raise NucprofError(
                f"the loss is not finite in epoch {number + 1}; "
                "try a smaller train.cnn.learning_rate"
            )
        seconds = time.perf_counter() - started
        self.history.append(Epoch(number, train_loss, validation_loss, f1, rate, seconds))
        improved = (
            self.best_epoch < 0 or validation_loss < self.history[self.best_epoch].validation_loss
        )
        if improved:
            self.best_epoch = number
            # A copy: the state dict itself holds the live tensors, which go on changing.
            self.best = {
                name: value.detach().to("cpu", copy=True)
                for name, value in self.network.state_dict().items()
            }
        self._step_schedule(improved)
        self.report(self._line())

    def _line(self) -> str:
        last, total = self.history[-1], self.settings.epochs
        text = (
            f"epoch {last.number + 1} of {total}: training loss {last.train_loss:.3f}, "
            f"validation loss {last.validation_loss:.3f}, macro-F1 {last.validation_f1:.3f}, "
            f"{last.seconds:.1f} s"
        )
        left = total - last.number - 1 + self.afterwards * total
        usual = sum(epoch.seconds for epoch in self.history) / len(self.history)
        return text + (f"; at most {duration(usual * left)} left" if left else "")

    def _learn(self, generator: torch.Generator) -> float:
        self.forward.train()
        order = torch.randperm(len(self.train.numbers), generator=generator).numpy()
        # Batch normalisation cannot learn from one crop; the odd one is taken next time.
        if len(order) % self.batch_size == 1 and len(order) > 1:
            order = order[:-1]
        numbers, targets = self.train.numbers[order], torch.from_numpy(self.train.targets[order])
        size = self.batch_size
        # Summed on the device: asking for a number in every step would make the GPU wait.
        total = torch.zeros((), device=self.inputs.device)
        crops_in_turn = self.inputs.batches(numbers, size, generator)
        for (_, crops), wanted in zip(crops_in_turn, targets.split(size), strict=True):
            total += self._steps(crops, wanted.to(crops.device))
        return float(total) / len(numbers)

    def _steps(self, crops: Tensor, targets: Tensor) -> Tensor:
        """Learn from a batch; where memory runs out, in halves, from now on."""
        total = torch.zeros((), device=crops.device)
        start = 0
        while start < len(crops):
            stop = start + self.batch_size
            if len(crops) - stop == 1:
                stop += 1
            try:
                total += self._step(crops[start:stop], targets[start:stop])
            except torch.OutOfMemoryError as error:
                self._halve(error)
                continue
            start = stop
        return total

    def _step(self, crops: Tensor, targets: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.inputs):
            logits = self.forward(crops.contiguous(memory_format=memory_format(self.inputs)))
            # The network gives logits: cross_entropy is the one that applies the softmax.
            loss = F.cross_entropy(logits.float(), targets, weight=self.weights)
        loss.backward()
        self.optimizer.step()
        return loss.detach() * len(crops)

    def _halve(self, error: Exception) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        if self.inputs.device.startswith("cuda"):
            torch.cuda.empty_cache()
        if self.batch_size < 4:
            raise NucprofError(
                "the device has too little memory for this network; use a smaller "
                "train.cnn.architecture or train.cnn.image_size, or --device cpu"
            ) from error
        self.batch_size //= 2
        message = f"out of memory: going on with batches of {self.batch_size} crops"
        self.warnings.append(message)
        self.report(message)

    def _validate(self) -> tuple[float, float]:
        logits = predict_logits(
            self.forward, self.inputs, self.validation.numbers, batch_size=self.batch_size
        )
        targets = torch.from_numpy(self.validation.targets)
        loss = F.cross_entropy(torch.from_numpy(logits), targets, weight=self.weights.cpu())
        guess = logits.argmax(axis=1)
        judged = score(self.validation.targets, guess, range(self.n_classes))
        return float(loss), judged["f1_macro"]

    # ---------------------------------------------------------------- state

    def state(self) -> Checkpoint:
        return Checkpoint(
            network={k: v.detach().cpu() for k, v in self.network.state_dict().items()},
            best=self.best,
            optimizer=self.optimizer.state_dict(),
            scalars={
                "best_epoch": self.best_epoch,
                "since_drop": self.since_drop,
                "batch_size": self.batch_size,
                "warnings": self.warnings,
                "history": [vars(epoch) for epoch in self.history],
            },
        )

    def resume(self, path: Path, definition: str) -> None:
        try:
            state = read_checkpoint(path, definition)
        except ModelError as error:
            self.report(f"{error}; training starts again")
            return
        if state is not None:
            self.restore(state)
            self.report(f"going on after epoch {len(self.history)}, where the last run stopped")

    def restore(self, state: Checkpoint) -> None:
        self.network.load_state_dict(state.network)
        self.optimizer.load_state_dict(state.optimizer)
        self.best = state.best
        self.best_epoch = state.scalars["best_epoch"]
        self.since_drop = state.scalars["since_drop"]
        self.batch_size = state.scalars["batch_size"]
        self.warnings = state.scalars["warnings"]
        self.history = [Epoch(**epoch) for epoch in state.scalars["history"]]

    def result(self) -> Trained:
        network = copy.deepcopy(self.network)
        network.load_state_dict(self.best)
        return Trained(
            network.eval(), self.history, self.best_epoch, self.batch_size, self.warnings
        )


def _mix(*values: int) -> int:
    """One seed of several numbers, well spread."""
    return int(np.random.SeedSequence(values).generate_state(1, np.uint64)[0] >> np.uint64(1))
