"""How large the nuclei of an image are, and by which factor to resize it for a network.

A network works best at the sizes on which it was trained. The diameter of a nucleus is
that of the disk of equal area, in pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi
from skimage.filters import threshold_otsu

from nucprof.core.weighted import weighted_median
from nucprof.errors import DataError

#: Objects smaller than this (pixels) are specks.
MIN_DIAMETER_PX = 4.0
#: Factors within this band around 1 are not worth resampling: a network accepts sizes of 0.75 to
#: 1.3 times its canonical size without loss.
NEAR_ONE = (0.8, 1.25)
#: Largest reduction and enlargement that ``choose_scale`` returns.
LIMITS = (0.1, 6.0)
#: Fields agree on a diameter where this share of their weight lies within a factor of it.
ENOUGH, NEAR = 2 / 3, 1.6
#: Side of the middle part of an image on which the estimate works.
ENOUGH_PX = 1024


def estimate_nuclear_diameter(
    image: npt.NDArray[np.generic], *, background_px: float | None = None
) -> float:
    """Typical diameter of the bright nuclei of one plane, without a network.

    The image is smoothed and thresholded (Otsu); each maximum of the distance transform gives the
    largest disk inside one nucleus, also where nuclei touch. The diameters are weighted by area,
    so that specks have little influence.

    Parameters
    ----------
    image
        ``(H, W)`` of any real dtype, bright nuclei on dark background.
    background_px
        Remove structures larger than about this first (a Gaussian's sigma), for images with a
        glow that outshines the nuclei; nuclei larger than it are then underestimated.

    Returns
    -------
    Diameter in pixels; NaN where nothing stands out from the background.

    Raises
    ------
    DataError
        If the image is not two-dimensional.
    """
    if image.ndim != 2:
        raise DataError(f"one plane (H, W) is needed, got an array of shape {image.shape}")
    plane = _middle(image)
    if plane.size == 0 or not plane.max() > plane.min():
        return float("nan")
    if background_px is not None:
        plane = np.maximum(plane - ndi.gaussian_filter(plane, background_px), 0)
    diameter = _disk_diameter(plane, sigma=1.0)
    if diameter > 16:
        # Chromatin texture splits large nuclei: smooth in proportion and measure again.
        diameter = _disk_diameter(plane, sigma=min(6.0, diameter / 12))
    return diameter


def diameters_of_labels(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Diameters of all objects of a label image, those that touch its border left out.

    Parameters
    ----------
    labels
        ``(H, W)`` integer, 0 = background; labels may have gaps.

    Returns
    -------
    ``(N,)`` float64, pixels, by rising label.
    """
    if labels.size == 0:
        return np.zeros(0)
    areas = np.bincount(labels.ravel()).astype(np.float64)
    areas[0] = 0
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        areas[np.unique(edge)] = 0
    return np.asarray(np.sqrt(areas[areas > 0] * 4 / np.pi))


def typical_diameter(diameters: npt.ArrayLike) -> float:
    """Typical diameter, pixels: the one at which half of the sum of all diameters is reached.

    With this weighting, debris counts little. Specks are ignored; NaN where
    nothing is left.
    """
    values = np.asarray(diameters, dtype=np.float64).ravel()
    values = values[np.isfinite(values) & (values >= MIN_DIAMETER_PX)]
    return float(weighted_median(values, values)) if values.size else float("nan")


@dataclass(frozen=True)
class FieldSize:
    """The size of the nuclei of one field.

    Attributes
    ----------
    diameter_px : float
        Typical diameter of the nuclei that stand out from their surroundings; NaN where none does.
    nuclei : int
        Their number.
    """

    diameter_px: float
    nuclei: int


@dataclass(frozen=True)
class PlateSize:
    """The size of the nuclei of a plate, from its fields.

    Attributes
    ----------
    diameter_px : float
        Typical nuclear diameter; NaN where the fields hold no nuclei or disagree.
    measured, agreeing : int
        Fields in which nuclei stood out, and those of them that are near the diameter they share.
    """

    diameter_px: float
    measured: int
    agreeing: int


def agree(fields: Sequence[FieldSize]) -> PlateSize:
    """Find the diameter on which the fields of a plate agree.

    The common diameter is the median of the fields', each weighted by the root of its number of
    nuclei, so that neither one crowded field nor one isolated nucleus determines the result.
    It is accepted if :data:`ENOUGH` of the fields' weight lies within a factor of
    :data:`NEAR` of it.
    """
    measured = [f for f in fields if f.nuclei and np.isfinite(f.diameter_px)]
    if not measured:
        return PlateSize(float("nan"), 0, 0)
    diameters = np.array([f.diameter_px for f in measured])
    weight = np.sqrt([f.nuclei for f in measured])
    diameter = float(weighted_median(diameters, weight))
    near = (diameters / diameter > 1 / NEAR) & (diameters / diameter < NEAR)
    believed = weight[near].sum() >= ENOUGH * weight.sum()
    return PlateSize(diameter if believed else float("nan"), len(measured), int(near.sum()))


def choose_scale(diameters: Iterable[float], canonical_diameter_px: float) -> float:
    """Choose the one factor by which a plate's images are resized before the network.

    Parameters
    ----------
    diameters
        Diameters measured in the plate, pixels; NaN (an image without nuclei) does not count.
    canonical_diameter_px
        The canonical diameter of the network, pixels.

    Returns
    -------
    The factor, rounded to two digits so that it can be written down and given again; 1 where the
    nuclei are near enough to the network's size, and where nothing was measured.

    Raises
    ------
    DataError
        If the canonical diameter is not positive.
    """
    if not canonical_diameter_px > 0:
        raise DataError(f"canonical diameter must be positive, got {canonical_diameter_px}")
    values = np.fromiter(diameters, dtype=np.float64)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return 1.0
    diameter = float(np.median(values))
    factor = float(np.clip(canonical_diameter_px / diameter, *LIMITS))
    return 1.0 if NEAR_ONE[0] <= factor <= NEAR_ONE[1] else round(factor, 2)


def _middle(image: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Crop the middle of a large image (never reduce it: small nuclei would vanish)."""
    rows, cols = (max(0, (n - ENOUGH_PX) // 2) for n in image.shape)
    plane = image[rows : rows + ENOUGH_PX, cols : cols + ENOUGH_PX].astype(np.float32)
    return np.nan_to_num(plane, posinf=0.0, neginf=0.0)


def _disk_diameter(plane: npt.NDArray[np.float32], sigma: float) -> float:
    """Area-weighted median diameter of the largest disks inside a thresholded image."""
    smooth = ndi.gaussian_filter(plane, sigma)
    low, high = np.percentile(smooth, (0.5, 99.9))
    if not high > low:
        return float("nan")
    unit = np.sqrt(np.clip((smooth - low) / (high - low), 0, 1))
    mask = unit > threshold_otsu(unit)
    mask = ndi.binary_fill_holes(mask)
    distance = ndi.distance_transform_edt(mask).astype(np.float32)
    # Ridges of the distance transform: one maximum per nucleus within its own radius.
    rough = float(np.median(distance[mask])) if mask.any() else 0.0
    distance = ndi.gaussian_filter(distance, 0.5 + 0.1 * rough)
    reach = max(1, round(rough))
    peaks = (distance == ndi.maximum_filter(distance, 2 * reach + 1)) & mask
    radii = distance[peaks]
    radii = radii[radii >= MIN_DIAMETER_PX / 2]
    if radii.size == 0:
        return float("nan")
    return float(2 * weighted_median(radii, radii**2))
