"""The field that all benchmarks measure: seeded, without overlap, nuclei of about 30 pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter


class Field(NamedTuple):
    """A field and its nuclei: image (C, H, W) uint16, labels (H, W) uint16 with gaps."""

    image: NDArray[np.uint16]
    labels: NDArray[np.uint16]


def make_field(size: int = 2048, cells: int = 700, channels: int = 4, seed: int = 0) -> Field:
    """Make a field of elliptic nuclei on a jittered grid.

    Parameters
    ----------
    size : int
        Height and width, pixels.
    cells : int
        Number of nuclei; at most what fits, one per grid square of 36 pixels.
    channels : int
        Every channel has its own texture; nuclei are brighter in the first.
    seed : int
        Same seed, same field.
    """
    rng = np.random.default_rng(seed)
    spacing = size / np.ceil(np.sqrt(cells))
    if spacing < 36:
        raise ValueError(f"{cells} nuclei of 30 pixels do not fit {size} x {size} pixels")
    per_side = int(np.ceil(np.sqrt(cells)))
    squares = rng.choice(per_side**2, cells, replace=False)
    room = (spacing - 36) / 2
    centres = (np.stack(np.divmod(squares, per_side), axis=1) + 0.5) * spacing
    centres += rng.uniform(-room, room, centres.shape)

    labels = np.zeros((size, size), dtype=np.uint16)
    # Every seventh number is left out: real masks have gaps.
    ids = np.arange(1, 2 * cells)
    ids = ids[ids % 7 != 0][:cells]
    for label, (y, x) in zip(ids, centres, strict=True):
        _paint(labels, label, y, x, rng)

    image = np.empty((channels, size, size), dtype=np.uint16)
    nuclei = gaussian_filter((labels > 0).astype(np.float32), 1.5)
    for c in range(channels):
        texture = gaussian_filter(rng.standard_normal((size, size), dtype=np.float32), 2) * 7
        signal = 400 + 150 * texture + nuclei * (4000 if c == 0 else 900) * (1 + 0.2 * texture)
        image[c] = rng.poisson(np.clip(signal, 50, 60000))
    return Field(image, labels)


def _paint(labels: NDArray, label: int, y: float, x: float, rng: np.random.Generator) -> None:
    """Paint one nucleus: an ellipse of 26 to 34 by 22 to 30 pixels with a wavy outline."""
    major, minor = rng.uniform(13, 17), rng.uniform(11, 15)
    turn, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
    top, left = int(y) - 18, int(x) - 18
    box = labels[max(top, 0) : top + 37, max(left, 0) : left + 37]
    dy = np.arange(box.shape[0])[:, None] + max(top, 0) - y
    dx = np.arange(box.shape[1])[None, :] + max(left, 0) - x
    angle = np.arctan2(dy, dx)
    u = (np.cos(turn) * dx + np.sin(turn) * dy) / major
    v = (np.cos(turn) * dy - np.sin(turn) * dx) / minor
    box[np.hypot(u, v) < 1 + 0.04 * np.sin(5 * angle + phase)] = label
