"""One scale for a whole plate, measured on a few of its fields by the network that will be used."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nucprof.core.sample import evenly_spaced
from nucprof.core.scale import (
    ENOUGH_PX,
    LIMITS,
    choose_scale,
    diameters_of_labels,
    estimate_nuclear_diameter,
    typical_diameter,
)
from nucprof.errors import FieldError
from nucprof.io.images import read_channels
from nucprof.plate.sources import Source
from nucprof.segmentation.weights import canonical_diameter

#: Fields measured per plate.
FIELDS = 8
#: Images that give the first, classical estimate; the network then measures on all.
FIRST = 4
#: Objects within this factor of the expected diameter count when the scale is measured.
BELIEVED = 2.5
#: Structures larger than this (sigma, pixels) are removed for the second estimate of the diameter.
FINE_BACKGROUND_PX = 15.0


def measure_plate(
    model: Path, planes: Mapping[str, Source], *, pmin: float, pmax: float, threads: int
) -> dict[str, Any]:
    """Measure the nuclear diameter on evenly spaced fields and choose the network's scale.

    Parameters
    ----------
    model : Path
        Folder of a StarDist model.
    planes : mapping
        Field -> file and plane of its nuclear channel.
    pmin, pmax, threads
        As for :class:`~nucprof.segmentation.stardist.StarDistBackend`.

    Returns
    -------
    dict
        ``scale``, ``nuclear_diameter_px`` (None where nothing was found),
        ``canonical_diameter_px`` (None where the model does not say) and ``fields``.
    """
    chosen = evenly_spaced(sorted(planes), FIELDS)
    # TensorFlow must not enter this process, where torch may be; it leaves with its own.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        sources = [planes[field] for field in chosen]
        choice = executor.submit(_measure, model, sources, pmin, pmax, threads).result()
    return {**choice, "fields": chosen}


def _measure(
    model: Path, sources: Sequence[Source], pmin: float, pmax: float, threads: int
) -> dict[str, Any]:
    images = []
    for source in sources:
        try:
            images.append(read_channels([source])[0])
        except FieldError:
            continue  # the field itself will fail, with its reason
    choice = measure_scale(model, images, pmin=pmin, pmax=pmax, threads=threads)
    found = np.isfinite(choice.diameter_px)
    return {
        "scale": choice.scale,
        "nuclear_diameter_px": round(choice.diameter_px, 2) if found else None,
        "canonical_diameter_px": choice.canonical_diameter_px,
    }


@dataclass(frozen=True)
class ScaleChoice:
    """The scale of a plate, and what it was chosen from.

    Attributes
    ----------
    scale
        Factor by which images are resized before the network.
    diameter_px
        Typical nuclear diameter measured in the images; NaN where no nucleus was found.
    canonical_diameter_px
        The diameter that the model likes best; None where unknown (the scale is then 1).
    """

    scale: float
    diameter_px: float
    canonical_diameter_px: float | None


def measure_scale(
    folder: Path,
    images: Sequence[npt.NDArray[np.generic]],
    *,
    pmin: float = 1.0,
    pmax: float = 99.0,
    threads: int = 1,
) -> ScaleChoice:
    """Choose one scale for a plate from a sample of its images.

    Classical estimates give a first diameter: one of the image as it is, and, where it is very
    different, one with large structures removed. At its scale the network segments the middle of
    each image; the diameters of what it finds give the final scale. Between two first estimates,
    the one that lets the network find more decides.

    Parameters
    ----------
    folder
        The model's folder.
    images
        Planes ``(H, W)`` of the channel to segment.
    pmin, pmax, threads
        As for :class:`~nucprof.segmentation.stardist.StarDistBackend`.
    """
    from nucprof.segmentation.stardist import StarDistBackend

    canonical = canonical_diameter(Path(folder))
    first = _first_diameters(evenly_spaced(images, FIRST))
    if canonical is None or not first:
        return ScaleChoice(1.0, first[0] if first else float("nan"), canonical)
    limits = canonical / LIMITS[1], canonical / LIMITS[0]
    most, diameter = 0.0, float("nan")
    for guess in first:
        for _ in range(2):
            start = float(np.clip(guess, *limits))
            scale = canonical / start
            backend = StarDistBackend(folder, pmin=pmin, pmax=pmax, scale=scale, threads=threads)
            side = int(ENOUGH_PX / max(1.0, scale))
            found = [diameters_of_labels(backend.segment(_middle(i, side))) for i in images]
            known = np.concatenate(found)
            # The network has sizes it cannot know at this scale wrong.
            known = known[(known > start / BELIEVED) & (known < start * BELIEVED)]
            if known.sum() > most:
                most, diameter = float(known.sum()), typical_diameter(known)
            guess = typical_diameter(known)
            if not np.isfinite(guess) or 0.8 < guess / start < 1.25:
                break
    return ScaleChoice(choose_scale([diameter], canonical), diameter, canonical)


def _first_diameters(images: Sequence[npt.NDArray[np.generic]]) -> list[float]:
    """Classical estimates of the typical diameter in some images: one, or two that disagree."""
    first: list[float] = []
    for background in (None, FINE_BACKGROUND_PX):
        values = [estimate_nuclear_diameter(image, background_px=background) for image in images]
        finite = [v for v in values if np.isfinite(v)]
        if finite and (not first or not 0.5 < float(np.median(finite)) / first[0] < 2):
            first.append(float(np.median(finite)))
    return first


def _middle(image: npt.NDArray[np.generic], side: int) -> npt.NDArray[np.generic]:
    """The middle of a large image: enough nuclei to measure, at a fraction of the time."""
    rows, cols = (max(0, (n - side) // 2) for n in image.shape)
    return image[rows : rows + side, cols : cols + side]
