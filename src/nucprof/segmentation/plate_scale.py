"""One scale for a whole plate, measured on a few of its fields by the network that will be used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from nucprof.core.evidence import DIM, measure_evidence
from nucprof.core.labels import clear_border
from nucprof.core.normalize import percentile_normalize
from nucprof.core.scale import (
    ENOUGH_PX,
    LIMITS,
    FieldSize,
    agree,
    choose_scale,
    estimate_nuclear_diameter,
    typical_diameter,
)
from nucprof.core.weighted import weighted_median
from nucprof.errors import FieldError
from nucprof.io.images import read_channels
from nucprof.machine import thread_share
from nucprof.plate.sources import Source
from nucprof.segmentation.stardist import StarDistBackend
from nucprof.segmentation.stardist_model import Precision
from nucprof.segmentation.weights import canonical_diameter

#: Diameters to try if no estimate leads to nuclei, in units of the network's canonical diameter.
TRIED = (3.0, 0.35)
#: Objects that are smaller (pixels) or less significant do not count when the scale is measured.
SMALLEST_PX, SIGNIFICANT = 5.0, 8.0
#: Diameters within this factor of one that was tried are not tried again.
SAME = 1.2
#: Number of times that a measured diameter is used as the next one to try.
STEPS = 3
#: Objects within this factor of the expected diameter count when the scale is measured.
BELIEVED = 2.5
#: Dim objects with less contrast are haze and are ignored.
MIN_CONTRAST = 0.7
#: Nothing wider than this share of the image is a nucleus: a glow.
LARGEST = 1 / 3
#: Structures larger than this (sigma, pixels) are removed for the second estimate of the diameter.
FINE_BACKGROUND_PX = 15.0


@dataclass(frozen=True)
class ToMeasure:
    """One field whose nuclei are to be measured, and how; sent to a worker.

    Attributes
    ----------
    model : Path
        Folder of a StarDist model.
    source : Source
        The nuclear channel.
    pmin, pmax, precision, device
        As for :class:`~nucprof.segmentation.stardist.StarDistBackend`.
    """

    model: Path
    source: Source
    pmin: float
    pmax: float
    precision: Precision
    device: str


def measure_source(one: ToMeasure) -> FieldSize:
    """Measure one field in a worker; an unreadable file counts as empty: its own job reports it."""
    try:
        image = read_channels([one.source])[0]
    except FieldError:
        return FieldSize(float("nan"), 0)
    return measure_field(
        one.model,
        image,
        pmin=one.pmin,
        pmax=one.pmax,
        threads=thread_share(),
        precision=one.precision,
        device=one.device,
    )


@dataclass(frozen=True)
class ScaleChoice:
    """The scale of a plate, and the measurements behind it.

    Attributes
    ----------
    scale
        Factor by which images are resized before the network.
    diameter_px
        Typical nuclear diameter measured in the images; NaN where no nucleus was found.
    canonical_diameter_px
        The canonical diameter of the model; None if unknown (the scale is then 1).
    measured, agreeing
        Fields in which nuclei stood out, and those of them that agree on the diameter.
    """

    scale: float
    diameter_px: float
    canonical_diameter_px: float | None
    measured: int = 0
    agreeing: int = 0


def measure_scale(
    folder: Path,
    images: Sequence[npt.NDArray[np.generic]],
    *,
    pmin: float = 1.0,
    pmax: float = 99.0,
    threads: int = 1,
    precision: Precision = "float32",
) -> ScaleChoice:
    """Choose one scale for a plate from a sample of its images, all measured in this process.

    Parameters
    ----------
    folder
        The model's folder.
    images
        Planes ``(H, W)`` of the channel to segment.
    pmin, pmax, threads, precision
        As for :class:`~nucprof.segmentation.stardist.StarDistBackend`.
    """
    sizes = [
        measure_field(folder, i, pmin=pmin, pmax=pmax, threads=threads, precision=precision)
        for i in images
    ]
    return choose_plate_scale(folder, sizes)


def measure_field(
    folder: Path,
    image: npt.NDArray[np.generic],
    *,
    pmin: float = 1.0,
    pmax: float = 99.0,
    threads: int = 1,
    precision: Precision = "float32",
    device: str = "cpu",
) -> FieldSize:
    """Measure the nuclei of one field with the network.

    A classical estimate gives a first diameter. At its scale the network segments a part of the
    image, and the diameters of the objects found give the next estimate. Only objects that stand
    out from their rings, and are not much dimmer than the others, count: in an enlarged image the
    network finds nuclei in the camera's noise and in specks.
    The network's own size is always tried, and if no estimate leads to such objects, small and
    large nuclei too. Of several diameters, the one whose objects cover most, weighted by their
    contrast, is used.
    """
    canonical = canonical_diameter(Path(folder))
    if canonical is None:
        return FieldSize(float("nan"), 0)

    def network(scale: float) -> StarDistBackend:
        return StarDistBackend(
            folder, scale=scale, threads=threads, precision=precision, device=device
        )

    search = _Search(network, image, percentile_normalize(image, pmin, pmax), canonical)
    for background in (None, FINE_BACKGROUND_PX):
        search.follow(estimate_nuclear_diameter(image, background_px=background))
    # What noise or specks suggested is compared with the network's own size.
    search.follow(canonical)
    if not search.nuclei:
        for factor in TRIED:
            search.follow(canonical * factor)
    return FieldSize(search.diameter, search.nuclei)


class _Search:
    """The diameters tried on one image, and the best so far."""

    def __init__(
        self,
        network: Callable[[float], StarDistBackend],
        image: npt.NDArray[np.generic],
        unit: npt.NDArray[np.float32],
        canonical: float,
    ) -> None:
        self.network, self.image, self.unit, self.canonical = network, image, unit, canonical
        self.tried: list[float] = []
        self.most, self.diameter, self.nuclei = 0.0, float("nan"), 0

    def follow(self, guess: float) -> None:
        """Try a diameter, and then the diameter measured with it."""
        for _ in range(STEPS):
            if not np.isfinite(guess):
                return
            start = float(np.clip(guess, self.canonical / LIMITS[1], self.canonical / LIMITS[0]))
            if any(1 / SAME < start / other < SAME for other in self.tried):
                return
            self.tried.append(start)
            guess = self.measure(start)

    def measure(self, start: float) -> float:
        """Typical diameter of the objects found when ``start`` is scaled to the canonical one."""
        scale = self.canonical / start
        window = busiest_window(self.unit, int(ENOUGH_PX / scale), start)
        labels = clear_border(self.network(scale).segment_scored(self.unit[window]).labels)[0]
        found = measure_evidence(self.image[window], labels)
        diameters = np.sqrt(4 / np.pi * found.areas)
        # Sizes far from the canonical one are measured wrongly at this scale.
        known = (diameters > start / BELIEVED) & (diameters < start * BELIEVED)
        known &= diameters < LARGEST * min(self.image.shape)
        known &= found.stands_out(MIN_CONTRAST) & (diameters >= SMALLEST_PX)
        known &= found.significance >= SIGNIFICANT
        known &= found.step >= DIM * usual_step(found.step[known], found.areas[known])
        cover = float(np.sum(found.areas[known] * np.maximum(found.contrast[known], 0)))
        typical = typical_diameter(diameters[known])
        if cover > self.most:
            self.most, self.diameter, self.nuclei = cover, typical, int(known.sum())
        return typical


def usual_step(steps: npt.NDArray[np.float64], areas: npt.NDArray[np.int64]) -> float:
    """Step at which half of the light above the surroundings is reached; 0 without objects.

    A few nuclei give more light than many dim specks, so their step is the usual one.
    """
    if not len(steps):
        return 0.0
    return float(weighted_median(steps, steps * areas))


def busiest_window(
    unit: npt.NDArray[np.float32], side: int, diameter: float
) -> tuple[slice, slice]:
    """The part of an image, ``side`` pixels wide, with most structure of the size of nuclei.

    It contains enough nuclei and saves time; the middle of a sparse field may be empty.
    """
    if side >= max(unit.shape):
        return slice(None), slice(None)
    step = max(1, int(diameter / 6))
    small = ndi.uniform_filter(unit, step)[::step, ::step]
    structure = ndi.gaussian_filter(small, 1.0) - ndi.gaussian_filter(small, 6.0)
    sums = np.pad(np.cumsum(np.cumsum(structure.astype(np.float64) ** 2, 0), 1), ((1, 0), (1, 0)))
    size = [min(n, max(1, side // step)) for n in small.shape]
    inside = sums[size[0] :, size[1] :] - sums[: -size[0], size[1] :]
    inside = inside - sums[size[0] :, : -size[1]] + sums[: -size[0], : -size[1]]
    corner = np.unravel_index(int(inside.argmax()), inside.shape)
    starts = [min(int(c) * step, max(0, n - side)) for c, n in zip(corner, unit.shape, strict=True)]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)


def choose_plate_scale(folder: Path, fields: Sequence[FieldSize]) -> ScaleChoice:
    """Choose the scale of a plate from its fields; 1 if they do not agree."""
    canonical = canonical_diameter(Path(folder))
    plate = agree(fields)
    scale = 1.0 if canonical is None else choose_scale([plate.diameter_px], canonical)
    return ScaleChoice(scale, plate.diameter_px, canonical, plate.measured, plate.agreeing)
