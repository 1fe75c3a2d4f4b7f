"""StarDist models on disk, and the one interface behind which their networks run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nucprof.errors import ModelError

FloatImage = npt.NDArray[np.float32]
Precision = Literal["float32", "bfloat16"]
#: From a window (H, W) to probability (h, w) and ray lengths (h, w, rays) on the network's grid.
Predict = Callable[[FloatImage], tuple[FloatImage, FloatImage]]


class OutOfMemoryError(Exception):
    """The device does not hold a window of this size."""


@dataclass
class Network:
    """A loaded model: what it predicts, the grid of its output and its own thresholds.

    Attributes
    ----------
    predict
        Raises :class:`OutOfMemoryError` where the window is too large for the device.
    grid
        Pixels between values of the output, in y and x.
    divisor
        Sides of windows are multiples of it.
    margin
        How far an output depends on its input, pixels.
    prob_thresh, nms_thresh
        Thresholds that the model brings along.
    """

    predict: Predict
    grid: int
    divisor: int
    margin: int
    prob_thresh: float
    nms_thresh: float


@dataclass(frozen=True)
class UnetConfig:
    """What ``config.json`` says of the shape of a U-net.

    Attributes
    ----------
    grid
        Pixels between values of the output.
    depth
        Number of times that the U-net halves its resolution.
    convs
        Convolutions per level.
    kernel
        Side of their kernels.
    features
        Whether one more convolution follows the U-net.
    """

    grid: int
    depth: int
    convs: int
    kernel: int
    features: bool

    @property
    def divisor(self) -> int:
        """Sides of windows are multiples of it, pixels."""
        return int(self.grid * 2**self.depth)

    @property
    def reach(self) -> int:
        """How far an output of the network depends on its input, pixels."""
        before = sum(self.convs * 2**k for k in range(self.grid.bit_length() - 1))
        levels = sum(2 * self.convs * 2**k for k in range(self.depth))
        deepest = self.convs * 2**self.depth
        reach = before + self.grid * (levels + deepest + int(self.features))
        return int(self.kernel // 2 * reach)


def read_config(folder: Path) -> UnetConfig:
    """Read the shape of a model's network.

    Raises
    ------
    ModelError
        If the folder holds no StarDist 2D model, or one that nucprof does not run: for several
        channels, with an uneven grid, or with batch normalisation.
    """
    # StarDist takes a folder without weights for an untrained network, and says nothing.
    if not (folder / "weights_best.h5").is_file():
        raise ModelError(f"{folder} is not a StarDist model: it lacks weights_best.h5")
    try:
        held: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config = UnetConfig(
            grid=int(held["grid"][0]),
            depth=int(held["unet_n_depth"]),
            convs=int(held["unet_n_conv_per_depth"]),
            kernel=int(held["unet_kernel_size"][0]),
            features=held["net_conv_after_unet"] > 0,
        )
        channels, grid = int(held["n_channel_in"]), held["grid"]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ModelError(f"{folder} is not a StarDist 2D model: {error}") from error
    if channels != 1 or len(set(grid)) != 1:
        raise ModelError(
            f"{folder} is a network for {channels} channels with grid {grid}; nucprof runs "
            "networks for one channel with a square grid"
        )
    odd = [
        key
        for key, usual in (
            ("unet_batch_norm", False), ("unet_pool", [2, 2]), ("unet_activation", "relu"),
            ("unet_last_activation", "relu"),
        )
        if held.get(key, usual) != usual
    ]  # fmt: skip
    if odd:
        raise ModelError(f"{folder} is a network of a kind that nucprof does not run: {odd}")
    return config


def read_thresholds(folder: Path) -> tuple[float, float]:
    """Object probability and allowed overlap that a model brings along; StarDist's own defaults."""
    path = folder / "thresholds.json"
    held = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return float(held.get("prob", 0.5)), float(held.get("nms", 0.4))
