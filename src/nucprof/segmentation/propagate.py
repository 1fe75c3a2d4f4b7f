"""Whole cells without a network: each grown from its nucleus over the stained area.

These are CellProfiler's "secondary objects". The stained area is bounded by a threshold and divided
among the nuclei by one of three methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage.segmentation import watershed

from nucprof.core.propagation import propagate
from nucprof.core.scale import diameters_of_labels, typical_diameter
from nucprof.errors import DataError, FieldError

Method = Literal["propagation", "distance", "watershed"]
#: Sigma of the Gaussian that keeps camera noise out of thresholds and costs, pixels.
SMOOTH_PX = 1.0
#: Share of the standard deviation of white noise that the Gaussian leaves.
SMOOTHED = 1 / (2 * np.sqrt(np.pi) * SMOOTH_PX)
#: A cell includes pixels brighter than the background by this share of its rim's brightness.
LEVEL = 0.25
#: ... and by this many standard deviations of the camera's noise.
SURE = 4.0
#: A nucleus's rim: within this many nuclear diameters. Background is farther away.
RIM, FAR = 0.2, 1.0
#: How far cells reach where no stain bounds them, nuclear diameters.
UNBOUNDED_REACH = 0.5
#: Levels of the watershed's heights, and what a pixel of distance costs in them.
COST_LEVELS, LEVELS_PER_PX = 64, 3.0


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells grown from nuclei.

    Attributes
    ----------
    labels : (H, W)
        Each cell under its nucleus's label.
    threshold : float
        Grey level of the smoothed plane above which pixels are stained, of the median cell; NaN
        if no threshold separates cells from background, and cells are rims around nuclei.
    """

    labels: NDArray
    threshold: float

    @property
    def bounded(self) -> bool:
        """Whether a stain bounds the cells."""
        return bool(np.isfinite(self.threshold))


def propagate_cells(
    nuclei: NDArray,
    plane: NDArray,
    *,
    method: Method = "propagation",
    regularisation: float = 0.05,
    reach: float | None = None,
    threshold: float | None = None,
    background: float | None = None,
) -> Cells:
    """Grow cells from nuclei over the stained area.

    Parameters
    ----------
    nuclei : (H, W) integer
        Labels, gaps allowed.
    plane : (H, W)
        A stain of the whole cell, any real dtype.
    method : str
        How the stained area is divided: ``propagation``, by the path of lowest cost
        (:func:`nucprof.core.propagation.propagate`); ``distance``, to the nearest nucleus;
        ``watershed``, on the image's gradient.
    regularisation : float
        For propagation: the cost of one pixel of distance, relative to the image's change, whose
        99.5th percentile is 1. CellProfiler's is 0.05.
    reach : float, optional
        Cells end at this distance from the nearest nucleus, in median nuclear diameters. By
        default they end where the stain ends, or at :data:`UNBOUNDED_REACH` where there is none.
    threshold : float, optional
        Pixels of the smoothed plane at or below it are background, in the plane's grey levels;
        without it, each cell has that of :func:`cell_thresholds`.
    background : float, optional
        Grey level without cells, for a field that shows none.

    Returns
    -------
    Cells
        One per nucleus, without holes; a nucleus is always part of its cell, also where the plane
        is dark.

    Raises
    ------
    FieldError
        The shapes differ.
    DataError
        `reach` is negative.
    """
    if nuclei.shape != plane.shape:
        raise FieldError(f"the nuclei are {nuclei.shape}, but the cell stain is {plane.shape}")
    if reach is not None and reach < 0:
        raise DataError(f"segment.reach must not be negative, got {reach}")
    names, position = np.unique(nuclei, return_inverse=True)
    seeds = position.reshape(nuclei.shape).astype(np.int32)
    if names.size < 2 or names[0] > 0:  # no nuclei, or nuclei without any background
        return Cells(nuclei.copy(), float("nan"))
    smooth = ndi.gaussian_filter(plane.astype(np.float32), SMOOTH_PX)
    away, nearest = ndi.distance_transform_edt(seeds == 0, return_indices=True)
    diameter = _nuclear_diameter(seeds)
    owner = seeds[tuple(nearest)]
    if threshold is None:
        noise = SMOOTHED * camera_noise(plane)
        levels = cell_thresholds(smooth, owner, away, diameter, noise, background)
    else:
        levels = np.full(names.size, threshold)
    bounded = bool(np.isfinite(levels[1:]).any())
    if not bounded and reach is None:
        reach = UNBOUNDED_REACH
    area = smooth > levels[owner] if bounded else np.ones(seeds.shape, dtype=bool)
    if reach is not None:
        area &= away <= reach * diameter
    area |= seeds > 0
    if method == "distance":
        grown = _connected(np.where(area, owner, 0), seeds)
    elif method == "watershed":
        # Without distance in the cost, a cell whose nucleus is surrounded by an edge is flooded by
        # its neighbour before it has left the nucleus.
        grown = watershed(_slope(smooth), seeds, mask=area, compactness=LEVELS_PER_PX)
    else:
        grown = propagate(seeds, _unit(smooth), area, regularisation)
    middle = float(np.median(levels[1:][np.isfinite(levels[1:])])) if bounded else float("nan")
    return Cells(np.asarray(names[fill_holes(grown)]), middle)


def cell_thresholds(
    smooth: NDArray[np.floating],
    owner: NDArray[np.int32],
    away: NDArray[np.floating],
    diameter: float,
    noise: float,
    background: float | None = None,
) -> NDArray[np.float64]:
    """Grey level at which each cell ends, from the positions of the nuclei.

    The rim of a nucleus belongs to its cell at any confluence; dark pixels far from all nuclei are
    background. A cell's threshold lies :data:`LEVEL` of the way from the background to its own rim,
    so that the thin parts of dim and bright cells are both included, and :data:`SURE` standard
    deviations of the noise above the background. Debris affects neither.

    Parameters
    ----------
    smooth : (H, W)
        The stain.
    owner : (H, W) int32
        The nearest nucleus of every pixel, 1 to N.
    away : (H, W)
        Distance from it, pixels, 0 inside.
    diameter : float
        Typical nuclear diameter, pixels.
    noise : float
        Standard deviation of the smoothed image's noise, grey levels.
    background : float, optional
        Grey level without cells on the plate, used where cells leave little background.

    Returns
    -------
    (N + 1,) float64
        By nucleus, entry 0 unused; infinite for a nucleus without a stained rim, NaN for all where
        no rim is stained.
    """
    rim = (away > 0) & (away <= max(2.0, RIM * diameter))
    count = int(owner.max()) + 1
    pixels = np.maximum(np.bincount(owner[rim], minlength=count), 1)
    rims = np.bincount(owner[rim], smooth[rim], minlength=count) / pixels
    far = smooth[away > FAR * diameter]
    scarce = far.size <= 0.02 * smooth.size
    if background is None or not scarce:
        # The darkest few per cent, in case cells leave little background.
        ground = smooth[away > 0] if scarce else far
        background = float(np.percentile(ground, 5)) if ground.size else 0.0
    step = rims - background
    sure = max(SURE * noise, 1e-3 * abs(background))
    levels = background + np.maximum(LEVEL * step, sure)
    levels[step <= 2 * sure] = np.inf
    return levels if np.isfinite(levels[1:]).any() else np.full(count, np.nan)


def camera_noise(plane: NDArray) -> float:
    """Standard deviation of the noise of single pixels, grey levels.

    From the median size of a second difference that even slopes leave at 0; Immerkaer, "Fast noise
    variance estimation" (1996).
    """
    if min(plane.shape) < 3:
        return 0.0
    p = plane.astype(np.float32)
    inner = p[1:-1, 1:-1]
    sides = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:]
    corners = p[:-2, :-2] + p[2:, 2:] + p[:-2, 2:] + p[2:, :-2]
    return float(np.median(np.abs(corners - 2 * sides + 4 * inner))) / (0.6745 * 6)


def fill_holes(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Fill holes: background enclosed by one object becomes part of it.

    Parameters
    ----------
    labels : (H, W) int32
    """
    parts, count = ndi.label(labels == 0)
    if count == 0:
        return labels
    low = np.full(count + 1, np.iinfo(np.int32).max)
    high = np.zeros(count + 1, dtype=np.int64)
    edge = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    for one, two in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        for hole, ring in ((one, two), (two, one)):
            part, beside = parts[hole].ravel(), labels[ring].ravel()
            met = (part > 0) & (beside > 0)
            np.minimum.at(low, part[met], beside[met])
            np.maximum.at(high, part[met], beside[met])
    owner = np.where(low == high, high, 0)
    owner[edge] = 0
    owner[0] = 0
    return np.where(labels == 0, owner[parts], labels).astype(np.int32)


def _nuclear_diameter(seeds: NDArray[np.int32]) -> float:
    """Median diameter of the nuclei; of those at the border where there are no others."""
    diameter = typical_diameter(diameters_of_labels(seeds))
    if np.isfinite(diameter):
        return diameter
    areas = np.bincount(seeds.ravel())[1:]
    return float(np.sqrt(4 / np.pi * np.median(areas)))


def _connected(grown: NDArray[np.int32], seeds: NDArray[np.int32]) -> NDArray[np.int32]:
    """Remove the parts of cells that are not connected to their nuclei."""
    # Pieces of equal label: watershed on an even image floods exactly what is connected.
    kept = np.zeros_like(grown)
    for label, box in enumerate(ndi.find_objects(grown), start=1):
        if box is None:
            continue
        pieces, _ = ndi.label(grown[box] == label)
        own = np.unique(pieces[(seeds[box] == label) & (pieces > 0)])
        kept[box][np.isin(pieces, own) & (pieces > 0)] = label
    return kept


def _unit(smooth: NDArray[np.floating]) -> NDArray[np.float32]:
    """The image from 0 to 1, at its 0.5th and 99.5th percentiles, clipped."""
    low, high = np.percentile(smooth[::2, ::2], (0.5, 99.5))
    if not high > low:
        return np.zeros(smooth.shape, np.float32)
    unit: NDArray[np.float32] = np.clip((smooth - low) / (high - low), 0, 1).astype(np.float32)
    return unit


def _slope(smooth: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Flooding height: steep where the intensity changes, in few levels, so distance counts too."""
    slope = ndi.gaussian_gradient_magnitude(smooth, SMOOTH_PX)
    top = float(np.percentile(slope[::2, ::2], 99.5))
    if top <= 0:
        return np.zeros(smooth.shape, np.uint8)
    level: NDArray[np.uint8] = (np.minimum(slope / top, 1) * COST_LEVELS).astype(np.uint8)
    return level
