"""Where the network looked: Grad-CAM (Selvaraju et al., ICCV 2017) by captum, and how much of it
falls on the nucleus.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_dilation
from torch import Tensor, nn

from nucprof.core.crops import resize_mask
from nucprof.errors import ModelError
from nucprof.learn.cnn.inputs import InputPath

Choice = Literal["certain", "uncertain", "wrong", "random"]

SMALLEST_MAP = 7
RING_SHARE = 0.08
"""Width of the ring around the nucleus, as a share of the crop's side."""


def layer_to_explain(network: nn.Module, channels: int, size: int) -> nn.Module:
    """The deepest layer whose map is at least 7 x 7.

    The last convolution of a small input has a map of 2 x 2 or so, which points nowhere.

    Raises
    ------
    ModelError
        If the network has no such layer.
    """
    found: list[nn.Module] = []
    hooks = []

    def note(module: nn.Module, _: tuple[Tensor, ...], out: object) -> None:
        if isinstance(out, Tensor) and out.ndim == 4 and min(out.shape[2:]) >= SMALLEST_MAP:
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
        raise ModelError("the network has no convolutional map of 7 x 7 to explain")
    return found[-1]


def attention_maps(
    network: nn.Module, inputs: InputPath, numbers: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """Grad-CAM of crops for a class each.

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
        `(n, S, S)` float32, at least 0, each map summing to 1; a map on which nothing speaks for
        the class is even, 1 / S^2 everywhere.
    """
    from captum.attr import LayerGradCam

    network.to(inputs.device).eval()
    layer = layer_to_explain(network, inputs.crops.shape[1], inputs.size)
    explain = LayerGradCam(network, layer)
    maps = []
    target_of = dict(zip(numbers.tolist(), classes.tolist(), strict=True))
    for part, crops in inputs.batches(numbers, 64):
        targets = torch.tensor([target_of[n] for n in part.tolist()], device=crops.device)
        heat = explain.attribute(crops, target=targets, relu_attributions=True)
        large = F.interpolate(
            heat.detach(), size=(inputs.size, inputs.size), mode="bilinear", align_corners=False
        )
        maps.append(large[:, 0].float().cpu().numpy())
    heat = np.concatenate(maps)
    total = heat.sum(axis=(1, 2), keepdims=True)
    even = np.full_like(heat, 1 / heat[0].size)
    return np.where(total > 0, heat / np.where(total > 0, total, 1), even)


@dataclass(frozen=True)
class Attention:
    """How much of a map falls on the nucleus, beside what an even map gives."""

    nucleus: np.ndarray
    """`(n,)` share of the map inside the nucleus."""
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
        `(n, S, S)`, each summing to 1.
    nuclei
        `(n, H, W)` bool: the cell's own nucleus in its crop.
    """
    size = maps.shape[-1]
    masks = np.stack([resize_mask(mask, size) for mask in nuclei])
    reach = max(1, round(RING_SHARE * size))
    rings = np.stack([binary_dilation(mask, iterations=reach) for mask in masks])

    def inside(region: np.ndarray) -> np.ndarray:
        return np.asarray((maps * region).sum(axis=(1, 2)))

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
