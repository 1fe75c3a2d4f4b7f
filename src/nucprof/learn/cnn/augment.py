"""Crops to network inputs, whole batches at a time, on the device that trains.

Every function takes and returns tensors and equals, crop by crop, the slow reference in the tests.
Random parameters are drawn on the CPU, so that they are the same on every device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nucprof.learn.cnn.crop_data import Crops, batches

Normalise = Literal["crop", "plate"]

LOW, HIGH = 0.1, 99.9
"""Percentiles that become 0 and 1."""
JITTER = 0.2
"""Brightness and contrast are multiplied by 1 - JITTER to 1 + JITTER."""
_LIMIT_BATCH = 512
PLATE_SAMPLE = 2000
"""Crops per plate, at most, from which its intensity limits are taken."""


def to_float(raw: Tensor) -> Tensor:
    """Pixels as float32; uint16 comes as its int16 bits, which every device can hold."""
    if raw.dtype == torch.int16:
        return (raw.to(torch.int32) & 0xFFFF).to(torch.float32)
    return raw.to(torch.float32)


def from_numpy(crops: np.ndarray) -> Tensor:
    """A tensor that shares the array's memory; uint16 as its int16 bits (see :func:`to_float`)."""
    contiguous = np.ascontiguousarray(crops)
    if contiguous.dtype == np.uint16:
        return torch.from_numpy(contiguous.view(np.int16))
    return torch.from_numpy(contiguous)


def percentiles(
    crops: Tensor, real: Tensor | None = None, *, low: float = LOW, high: float = HIGH
) -> Tensor:
    """Percentiles of every crop and channel, interpolated linearly as numpy does.

    Parameters
    ----------
    crops
        `(B, C, H, W)` float32.
    real
        `(B, H, W)` bool, the pixels that count, at least one in every crop; None: all.
    low, high
        In percent.

    Returns
    -------
    Tensor
        `(B, C, 2)` float32.
    """
    if real is None:
        real = torch.ones_like(crops[:, 0], dtype=torch.bool)
    outside, n = ~real.flatten(1)[:, None], real.flatten(1).sum(dim=1)
    flat = crops.flatten(2)
    found = []
    for percent in (low, high):
        # Float32, the best that some devices have, cannot place a quantile among many pixels.
        position = percent / 100 * (n.cpu().double() - 1)
        below = position.floor()
        weight = (position - below).to(flat.device, torch.float32)[:, None]
        rank = below.long().to(flat.device)
        # Extreme percentiles need only the few smallest or largest values, not a sort.
        if percent > 50:
            rank, step, fill = n - 1 - rank, -1, -torch.inf
        else:
            step, fill = 1, torch.inf
        k = min(int(rank.max()) + 2, flat.shape[2])
        values = flat.masked_fill(outside, fill).topk(k, dim=2, largest=percent > 50).values
        next_rank = (rank + step).clamp(min=0).minimum(n - 1)
        lower, upper = (_at(values, place) for place in (rank, next_rank))
        found.append(lower + weight * (upper - lower))
    return torch.stack(found, -1)


def _at(values: Tensor, rank: Tensor) -> Tensor:
    """Of `(B, C, k)` the values at `(B,)`, as `(B, C)`."""
    places = rank[:, None, None].expand(-1, values.shape[1], 1)
    return values.gather(2, places)[..., 0]


def crop_limits(crops: Crops, device: str = "cpu") -> np.ndarray:
    """0.1 and 99.9 percentile of the real pixels of every crop and channel: `(N, C, 2)` float32."""
    found = []
    for part in batches(np.arange(crops.shape[0]), _LIMIT_BATCH):
        rows = crops.rows(part)
        real = torch.from_numpy(crops.real.of(rows, part)).to(device)
        found.append(percentiles(to_float(from_numpy(rows).to(device)), real).cpu().numpy())
    return np.concatenate(found)


def plate_limits(
    crops: Crops, numbers: np.ndarray, plates: np.ndarray, cultures: np.ndarray, *, seed: int = 0
) -> dict[str, np.ndarray]:
    """0.1 and 99.9 percentile of every plate's channel, which keeps intensity between cells.

    Taken from reference wells alone, every culture with as many crops (the fewer of one are
    repeated, at most 2000 in all): what else grows on a plate does not change how a cell looks.

    Parameters
    ----------
    crops
        Crops of reference wells, and perhaps others.
    numbers
        `(n,)` which of them to use.
    plates, cultures
        `(n,)` their plates and the cultures of their wells.
    seed
        Of the choice of crops.

    Returns
    -------
    dict
        Plate -> `(C, 2)` float32.
    """
    limits = {}
    for plate in np.unique(plates):
        rng = np.random.default_rng(seed)
        groups = [
            numbers[(plates == plate) & (cultures == name)]
            for name in np.unique(cultures[plates == plate])
        ]
        size = min(PLATE_SAMPLE // len(groups), max(map(len, groups)))
        chosen = np.concatenate([np.resize(rng.permutation(group), size) for group in groups])
        rows = crops.rows(chosen)
        pixels = rows.swapaxes(0, 1)[:, crops.real.of(rows, chosen)].astype(np.float32)
        limits[str(plate)] = np.percentile(pixels, [LOW, HIGH], axis=1).T.astype(np.float32)
    return limits


def normalise(crops: Tensor, limits: Tensor) -> Tensor:
    """Limits to 0 and 1, clipped; a channel without contrast becomes 0.

    Parameters
    ----------
    crops
        `(B, C, H, W)` float32.
    limits
        `(B, C, 2)` float32.
    """
    low, high = limits[..., 0, None, None], limits[..., 1, None, None]
    spread = high - low
    scaled = (crops - low) / torch.where(spread > 0, spread, torch.ones_like(spread))
    return torch.where(spread > 0, scaled.clamp(0, 1), torch.zeros_like(scaled))


def pad_square(crops: Tensor) -> Tensor:
    """Zeros around the shorter side; an odd pixel goes after."""
    height, width = crops.shape[-2:]
    missing_y, missing_x = max(width - height, 0), max(height - width, 0)
    around = (
        missing_x // 2,
        missing_x - missing_x // 2,
        missing_y // 2,
        missing_y - missing_y // 2,
    )
    return F.pad(crops, around)


def resize(crops: Tensor, size: int) -> Tensor:
    """Bilinear to `size` x `size`, smoothed where it shrinks."""
    if crops.shape[-1] == size:
        return crops
    shrinks = crops.shape[-1] > size
    return F.interpolate(
        crops, size=(size, size), mode="bilinear", align_corners=False, antialias=shrinks
    )


@dataclass(frozen=True)
class Augmentation:
    """Random parameters of a batch, on the CPU."""

    angle: Tensor
    """`(B,)` radians, counter-clockwise as seen with y down."""
    flip: Tensor
    """`(B,)` bool: mirrored left to right (with the free rotation, this gives every flip)."""
    brightness: Tensor
    """`(B, C)` factor."""
    contrast: Tensor
    """`(B, C)` factor about the channel's mean."""

    @classmethod
    def draw(cls, n: int, channels: int, generator: torch.Generator) -> Augmentation:
        """Uniform angles, fair flips, factors uniform in 1 +- 0.2."""

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator)

        return cls(
            angle=uniform(n) * (2 * torch.pi),
            flip=uniform(n) < 0.5,
            brightness=1 + JITTER * (2 * uniform(n, channels) - 1),
            contrast=1 + JITTER * (2 * uniform(n, channels) - 1),
        )


def augment(crops: Tensor, parameters: Augmentation) -> Tensor:
    """Rotate, flip, then change brightness and contrast; all crops at once.

    The corners that a rotation uncovers are filled by reflection, so that no angle shows.

    Parameters
    ----------
    crops
        `(B, C, S, S)` float32 in 0 to 1.
    parameters
        For the B crops.
    """
    device = crops.device
    cos, sin = torch.cos(parameters.angle), torch.sin(parameters.angle)
    mirror = torch.where(parameters.flip, -1.0, 1.0)
    zero = torch.zeros_like(cos)
    # Output to input: the grid's x goes through the mirror first, then the rotation.
    theta = torch.stack(
        [
            torch.stack([cos * mirror, -sin, zero], -1),
            torch.stack([sin * mirror, cos, zero], -1),
        ],
        1,
    ).to(device)
    grid = F.affine_grid(theta, list(crops.shape), align_corners=False)
    turned = F.grid_sample(
        crops, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    bright = turned * parameters.brightness.to(device)[..., None, None]
    mean = bright.mean(dim=(2, 3), keepdim=True)
    contrast = parameters.contrast.to(device)[..., None, None]
    return ((bright - mean) * contrast + mean).clamp(0, 1)


def network_input(
    raw: Tensor, limits: Tensor, size: int, augmentation: Augmentation | None = None
) -> Tensor:
    """From stored crops to what the network sees.

    Parameters
    ----------
    raw
        `(B, C, H, W)` as from :func:`from_numpy`, on the device.
    limits
        `(B, C, 2)` float32, on the device.
    size
        Side of the network's input in pixels.
    augmentation
        None for validation, test and prediction.

    Returns
    -------
    Tensor
        `(B, C, size, size)` float32 in 0 to 1.
    """
    ready = resize(pad_square(normalise(to_float(raw), limits)), size)
    return ready if augmentation is None else augment(ready, augmentation)
