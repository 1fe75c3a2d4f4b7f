"""A StarDist network run by torch: on GPUs that TensorFlow cannot use, or without TensorFlow.

The U-net is built from ``config.json`` and the weights are read from ``weights_best.h5``, a file of
Keras; nothing here needs TensorFlow. The outputs equal TensorFlow's to the last digits of float32.
"""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nucprof.errors import ModelError
from nucprof.io.damage import reading
from nucprof.segmentation.stardist_model import FloatImage, OutOfMemoryError, Predict, UnetConfig

#: Kernel (out, in, k, k) and bias (out,) of a convolution.
Layer = tuple[Tensor, Tensor]


def load_predict(folder: Path, config: UnetConfig, device: str, threads: int) -> Predict:
    """Read a model from its folder and put it on a torch device."""
    torch.set_num_threads(threads)
    layers = {name: (k.to(device), b.to(device)) for name, (k, b) in read_layers(folder).items()}
    unet = Unet(config, layers)

    def predict(window: FloatImage) -> tuple[FloatImage, FloatImage]:
        try:
            with torch.inference_mode():
                image = torch.from_numpy(np.ascontiguousarray(window))[None, None]
                prob, dist = unet(image.to(device))
                return prob[0, 0].cpu().numpy(), dist[0].permute(1, 2, 0).cpu().numpy()
        except torch.OutOfMemoryError as error:
            raise OutOfMemoryError from error

    return predict


def read_layers(folder: Path) -> dict[str, Layer]:
    """Read the convolutions of a model by the names that Keras gave them.

    Raises
    ------
    ModelError
        If ``weights_best.h5`` is no file of Keras' weights.
    """
    found: dict[str, dict[str, np.ndarray]] = {}

    def visit(name: str, item: object) -> None:
        # .../<layer>/kernel, or kernel:0 in files of Keras 2.
        if isinstance(item, h5py.Dataset):
            layer, weight = name.split("/")[-2:]
            found.setdefault(layer, {})[weight.split(":")[0]] = np.asarray(item, dtype=np.float32)

    path = folder / "weights_best.h5"
    with reading(path, ModelError, "Is it a StarDist 2D model?"):
        with h5py.File(path) as file:
            file.visititems(visit)
        return {
            # Keras keeps kernels as (k, k, in, out).
            name: (
                torch.from_numpy(np.ascontiguousarray(held["kernel"].transpose(3, 2, 0, 1))),
                torch.from_numpy(held["bias"]),
            )
            for name, held in found.items()
        }


class Unet:
    """The network of StarDist, as csbdeep's ``unet_block`` lays it out.

    Parameters
    ----------
    config
        Its shape.
    layers
        Its convolutions by name.
    """

    def __init__(self, config: UnetConfig, layers: dict[str, Layer]) -> None:
        self.config, self.layers = config, layers
        # The convolutions before the U-net are numbered, not named, in the order of their creation.
        before = (re.fullmatch(r"conv2d(?:_(\d+))?", name) for name in layers)
        self.before = [m[0] for m in sorted((m for m in before if m), key=lambda m: int(m[1] or 0))]

    def __call__(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """From ``(N, 1, H, W)`` to probability ``(N, 1, h, w)`` and rays ``(N, rays, h, w)``."""
        config, out = self.config, image
        for k, name in enumerate(self.before):
            out = self._convolve(name, out)
            if (k + 1) % config.convs == 0:
                out = functional.max_pool2d(out, 2)
        skips = []
        for level in range(config.depth):
            for k in range(config.convs):
                out = self._convolve(f"down_level_{level}_no_{k}", out)
            skips.append(out)
            out = functional.max_pool2d(out, 2)
        for k in (*range(config.convs - 1), config.convs):
            out = self._convolve(f"middle_{k}", out)
        for level in reversed(range(config.depth)):
            out = torch.cat([functional.interpolate(out, scale_factor=2), skips[level]], dim=1)
            for k in (*range(config.convs - 1), config.convs):
                out = self._convolve(f"up_level_{level}_no_{k}", out)
        if config.features:
            out = self._convolve("features", out)
        prob = self._convolve("prob", out, activate=False)
        return torch.sigmoid(prob), self._convolve("dist", out, activate=False)

    def _convolve(self, name: str, image: Tensor, *, activate: bool = True) -> Tensor:
        try:
            kernel, bias = self.layers[name]
        except KeyError:
            raise ModelError(f"the model's weights lack the layer {name}") from None
        out = functional.conv2d(image, kernel, bias, padding="same")
        return functional.relu(out) if activate else out
