"""Which channels show where cells end, judged around their nuclei."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from nucprof.core.scale import diameters_of_labels, typical_diameter

#: Sigma of the Gaussian that keeps camera noise out, pixels.
SMOOTH_PX = 1.0
#: The ring around a nucleus that is part of its cell, and where the surroundings begin, in nuclear
#: diameters from the nucleus.
RING, FAR = (0.1, 0.3), 1.0
#: A channel is used if the ring of the median nucleus is brighter than this share of the
#: surroundings; in confluent cultures, where no channel is, if it is nearly as good as the best.
CLEAR, NEARLY = 0.8, 0.1
#: Below this share (0.5: by chance) no channel shows anything.
NOTHING = 0.6
#: A ring that is this much dimmer than the nucleus itself is lit by the nucleus.
NUCLEAR = 0.2
#: A field with fewer nuclei, or with less surroundings than this share, is not measured.
NUCLEI, SURROUNDINGS = 3, 0.02


@dataclass(frozen=True)
class Stain:
    """A channel of a field, as seen from the nuclei.

    Attributes
    ----------
    background : float
        Grey level without cells: 5th percentile of the surroundings.
    ring : float
        Grey level around the median nucleus.
    share : float
        Share of the surroundings that is darker: 1 for a stain that ends within a nuclear diameter,
        0.5 for none. 0 if the light comes from the nucleus.
    """

    background: float
    ring: float
    share: float


def measure_stains(nuclei: NDArray, planes: Sequence[NDArray]) -> list[Stain] | None:
    """Measure the channels of one field.

    Parameters
    ----------
    nuclei : (H, W) integer
    planes : sequence of (H, W)
        The channels, any real dtype.

    Returns
    -------
    list of Stain or None
        One per channel; None for a field with too few nuclei or no surroundings.
    """
    names, position = np.unique(nuclei, return_inverse=True)
    count = names.size - 1
    diameter = typical_diameter(diameters_of_labels(nuclei))
    if count < NUCLEI or names[0] != 0 or not np.isfinite(diameter):
        return None
    seeds = position.reshape(nuclei.shape)
    away, nearest = ndi.distance_transform_edt(seeds == 0, return_indices=True)
    owner = seeds[tuple(nearest)]
    far = away > FAR * diameter
    ring = (away > max(1.0, RING[0] * diameter)) & (away <= max(3.0, RING[1] * diameter))
    if far.mean() < SURROUNDINGS:
        return None
    found = []
    for plane in planes:
        smooth = ndi.gaussian_filter(plane.astype(np.float32), SMOOTH_PX)
        surroundings = np.sort(smooth[far])
        background = float(surroundings[int(0.05 * surroundings.size)])
        around = _median_of_means(smooth[ring], owner[ring], count)
        inside = _median_of_means(smooth[seeds > 0], seeds[seeds > 0], count)
        share = float(np.searchsorted(surroundings, around) / surroundings.size)
        if around - background < NUCLEAR * (inside - background):
            share = 0.0
        found.append(Stain(background, around, share))
    return found


def _median_of_means(values: NDArray, owner: NDArray, count: int) -> float:
    pixels = np.bincount(owner, minlength=count + 1)[1:]
    sums = np.bincount(owner, values, minlength=count + 1)[1:]
    return float(np.median(sums[pixels > 0] / pixels[pixels > 0])) if pixels.any() else 0.0


def typical_stains(fields: Sequence[Sequence[Stain]]) -> list[Stain]:
    """The stains of a plate: medians over its fields, channel by channel."""
    return [
        Stain(*np.median([astuple(stain) for stain in own], axis=0).tolist())
        for own in zip(*fields, strict=True)
    ]


def choose_stains(stains: Mapping[str, Stain]) -> list[str]:
    """The channels that bound cells, in their order; all if none shows anything.

    Parameters
    ----------
    stains : mapping
        Channel -> its stain on the plate.
    """
    best = max((stain.share for stain in stains.values()), default=0.0)
    if best < NOTHING:
        return list(stains)
    return [name for name, s in stains.items() if s.share >= min(CLEAR, best - NEARLY)]


def combine_stains(planes: Sequence[NDArray], stains: Sequence[Stain]) -> NDArray[np.float32]:
    """Average channels, each from 0 (background) to 1 (around a nucleus), median-filtered.

    Parameters
    ----------
    planes : sequence of (H, W)
    stains : sequence of Stain
        Of the plate, one per plane.
    """
    total = np.zeros(planes[0].shape, np.float32)
    for plane, stain in zip(planes, stains, strict=True):
        step = stain.ring - stain.background
        scaled = ndi.median_filter(plane, 3).astype(np.float32) - np.float32(stain.background)
        total += scaled / np.float32(step if step > 0 else 1)
    return total / np.float32(len(planes))
