"""Where the network looked: LayerCAM (Jiang et al., IEEE TIP 2021), what it is worth by the
deletion test, and how much of it falls on the nucleus.

LayerCAM weighs every place of a layer's output by its own gradient, where Grad-CAM (Selvaraju et
al., ICCV 2017) weighs whole channels by their mean gradient. That lets it use an early layer, whose
map is fine enough for small crops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_dilation
from torch import Tensor, nn

from nucprof.core.crops import resize_mask
from nucprof.errors import ModelError
from nucprof.learn.cnn.device import autocast, memory_format
from nucprof.learn.cnn.inputs import InputPath

Choice = Literal["certain", "uncertain", "wrong", "random"]

STRIDE = 4
"""The explained map has at least a quarter of the input's side."""
RING_SHARE = 0.08
"""Width of the ring around the nucleus, as a share of the crop's side."""
DELETED_SHARE = 0.2
"""Of the pixels, in the deletion test."""
_BATCH = 64


def layer_to_explain(network: nn.Module, channels: int, size: int) -> nn.Module:
    """The deepest layer whose map has a stride of 4 input pixels or less.

    It is the same layer for every size of the input (for a ResNet the first of its four stages),
    and its map is at least 12 x 12 for inputs of 48 px.

    Raises
    ------
    ModelError
        If the network has no such layer.
    """
    found: list[nn.Module] = []
    hooks = []

    def note(module: nn.Module, _: tuple[Tensor, ...], out: object) -> None:
        if isinstance(out, Tensor) and out.ndim == 4 and min(out.shape[2:]) * STRIDE >= size:
            found.append(module)

    device = next(network.parameters()).device
    network.eval()
    try:
        hooks = [module.register_forward_hook(note) for module in network.modules()]
        with torch.no_grad():
            network(torch.zeros(1, channels, size, size, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise ModelError(
            f"the network has no convolutional map of stride {STRIDE} or less to explain; "
            "set gradcam.enabled = false, or train another train.cnn.architecture"
        )
    return found[-1]


def attention_maps(
    network: nn.Module, inputs: InputPath, numbers: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """LayerCAM of crops: what raises the margin of a class over its closest rival.

    Parameters
    ----------
    network
        Gives logits.
    inputs
        Network inputs.
    numbers
        `(n,)` crops.
    classes
        `(n,)` index of the class to explain.

    Returns
    -------
    ndarray
        `(n, S, S)` float32, at least 0, each map summing to 1; a map is 0 everywhere where nothing
        speaks for the class.
    """
    network.to(inputs.device).to(memory_format=memory_format(inputs)).eval()
    layer = layer_to_explain(network, inputs.crops.shape[1], inputs.size)
    maps = []
    with _Watched(layer) as watched:
        for crops, targets in _with_classes(inputs, numbers, classes):
            with autocast(inputs):
                margin = _margin(network(crops).float(), targets).sum()
            (gradient,) = torch.autograd.grad(margin, watched.output)
            activation = watched.output.detach().float()
            heat = (activation * gradient.float().relu()).sum(dim=1, keepdim=True).relu()
            large = F.interpolate(
                heat, size=(inputs.size, inputs.size), mode="bilinear", align_corners=False
            )
            maps.append(large[:, 0].float().cpu().numpy())
    found = np.concatenate(maps)
    total = found.sum(axis=(1, 2), keepdims=True)
    return np.asarray(found / np.where(total > 0, total, 1))


class _Watched:
    """A layer's output during a forward pass, as part of the graph."""

    output: Tensor

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer

    def __enter__(self) -> _Watched:
        def keep(_: nn.Module, __: tuple[Tensor, ...], out: Tensor) -> Tensor:
            self.output = out if out.requires_grad else out.requires_grad_()
            # The network goes on with a copy: later layers may change theirs in place.
            return out.clone()

        self.hook = self.layer.register_forward_hook(keep)
        return self

    def __exit__(self, *_: object) -> None:
        self.hook.remove()


def _with_classes(
    inputs: InputPath, numbers: np.ndarray, classes: np.ndarray
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of network inputs with the class of each."""
    start = 0
    for part, crops in inputs.batches(numbers, _BATCH):
        own = torch.from_numpy(classes[start : start + len(part)]).to(crops.device)
        start += len(part)
        yield crops, own


def _margin(logits: Tensor, classes: Tensor) -> Tensor:
    """Logit of the class less that of its closest rival, `(B,)`."""
    own = logits.gather(1, classes[:, None])
    rival = logits.scatter(1, classes[:, None], -torch.inf).amax(dim=1)
    return own[:, 0] - rival


def deletion(
    network: nn.Module,
    inputs: InputPath,
    numbers: np.ndarray,
    classes: np.ndarray,
    maps: np.ndarray,
) -> np.ndarray:
    """By how much the margin of the class falls when the pixels of most attention are removed.

    The deletion test (Petsiuk et al., BMVC 2018) at one level: the 20% of the pixels in which a map
    is largest become the crop's mean in each channel. A map that shows what the network uses makes
    the margin fall by more than a random map (:func:`random_maps`) does.

    Parameters
    ----------
    network, inputs, numbers, classes
        As for :func:`attention_maps`.
    maps
        `(n, S, S)`.

    Returns
    -------
    ndarray
        `(n,)` logits; NaN for maps that are 0 everywhere.
    """
    network.to(inputs.device).to(memory_format=memory_format(inputs)).eval()
    falls = []
    start = 0
    with torch.no_grad(), autocast(inputs):
        for crops, own in _with_classes(inputs, numbers, classes):
            heat = torch.from_numpy(maps[start : start + len(crops)]).to(crops.device).flatten(1)
            start += len(crops)
            most = heat.topk(round(DELETED_SHARE * heat.shape[1]), dim=1).indices
            removed = torch.zeros_like(heat).scatter_(1, most, 1).reshape(-1, 1, *crops.shape[2:])
            without = torch.lerp(crops, crops.mean(dim=(2, 3), keepdim=True), removed)
            fall = _margin(network(crops).float(), own) - _margin(network(without).float(), own)
            falls.append(fall.float().cpu().numpy())
    return np.where(maps.any(axis=(1, 2)), np.concatenate(falls), np.nan)


def random_maps(n: int, size: int, *, seed: int) -> np.ndarray:
    """Random maps `(n, size, size)` float32, as coarse as those of the explained layer."""
    generator = torch.Generator().manual_seed(seed)
    side = -(-size // STRIDE)
    coarse = torch.rand(n, 1, side, side, generator=generator)
    fine = F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    return np.asarray(fine[:, 0].numpy())


@dataclass(frozen=True)
class Attention:
    """How much of a map falls on the nucleus, beside what an even map gives."""

    nucleus: np.ndarray
    """`(n,)` share of the map inside the nucleus; NaN for maps that are 0 everywhere."""
    nucleus_area: np.ndarray
    """`(n,)` share of the crop inside the nucleus: what a random map gives on average."""
    with_ring: np.ndarray
    """`(n,)` share inside the nucleus and the ring around it."""
    with_ring_area: np.ndarray


def attention_inside(maps: np.ndarray, nuclei: np.ndarray) -> Attention:
    """Shares of the maps inside the nuclei.

    Parameters
    ----------
    maps
        `(n, S, S)`, each summing to 1, or 0 everywhere.
    nuclei
        `(n, H, W)` bool: the cell's own nucleus in its crop.
    """
    size = maps.shape[-1]
    masks = np.stack([resize_mask(mask, size) for mask in nuclei])
    reach = max(1, round(RING_SHARE * size))
    rings = np.stack([binary_dilation(mask, iterations=reach) for mask in masks])

    evident = maps.any(axis=(1, 2))

    def inside(region: np.ndarray) -> np.ndarray:
        return np.where(evident, (maps * region).sum(axis=(1, 2)), np.nan)

    return Attention(inside(masks), masks.mean(axis=(1, 2)), inside(rings), rings.mean(axis=(1, 2)))


def choose_crops(
    predicted: np.ndarray,
    confidence: np.ndarray,
    truth: np.ndarray | None,
    *,
    n_classes: int,
    per_class: int,
    choose: Choice,
    seed: int,
) -> np.ndarray:
    """Numbers of the crops to show: so many of every class, the most telling first.

    Parameters
    ----------
    predicted
        `(n,)` index of the predicted class.
    confidence
        `(n,)`.
    truth
        `(n,)` index of the true class, -1 where it is not known; None where none is known.
    n_classes, per_class
        How many.
    choose
        The most or least certain, the wrong ones (the surest first), or random ones. Crops are
        grouped by their true class where it is known, else by the predicted one.
    seed
        Of the random choice.
    """
    known = predicted if truth is None else np.where(truth >= 0, truth, predicted)
    wrong = np.zeros(len(predicted), bool) if truth is None else (truth >= 0) & (truth != predicted)
    order = {
        "certain": np.argsort(-confidence, kind="stable"),
        "uncertain": np.argsort(confidence, kind="stable"),
        "wrong": np.argsort(-confidence, kind="stable"),
        "random": np.random.default_rng(seed).permutation(len(predicted)),
    }[choose]
    if choose == "wrong":
        order = order[wrong[order]]
    chosen = [order[known[order] == k][:per_class] for k in range(n_classes)]
    return np.concatenate(chosen)
