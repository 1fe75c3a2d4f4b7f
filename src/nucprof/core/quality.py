"""Quality figures of a field's segmentation, and which fields to look at.

No mask is compared with the truth here. A field is flagged if it differs from its plate, or if a
figure exceeds a fixed limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from nucprof.core.evidence import Evidence, measure_evidence
from nucprof.core.labels import touches_border

#: Objects below this share of the field's median area are tiny.
TINY = 0.2
#: Objects whose area differs from the field's median by more than this factor are of odd size.
ODD = 3.0
#: The background is compared between this many parts of the image in each direction.
_PARTS = 4
#: Fields of a plate whose modified z-score is beyond this stand out (Iglewicz and Hoaglin, "How to
#: detect and handle outliers", 1993).
CUTOFF = 3.5
#: With fewer fields than this, median and spread are not used.
MIN_FIELDS = 6
#: Side of the windows in which the sharpness of a large image is measured.
_WINDOW_PX = 512
#: Where cameras saturate: 8, 10, 12, 14 and 16 bits.
_FULL = (255, 1023, 4095, 16383, 65535)


@dataclass(frozen=True)
class Rule:
    """When a figure stands out.

    Attributes
    ----------
    name, words
        The figure's name, and its name in messages.
    low, high
        Whether values below, and above, those of the plate are flagged.
    ratio
        Whether values are compared by their ratio instead of their difference.
    floor
        Smallest spread assumed, so that a plate of equal fields does not flag tiny differences: a
        share of the value where ``ratio``.
    advice
        What may be wrong, and what to try.
    limit
        Values above it are always flagged; None: no such limit.
    """

    name: str
    words: str
    low: bool
    high: bool
    ratio: bool
    floor: float
    advice: str
    limit: float | None = None


RULES = (
    Rule(
        "focus", "focus", low=True, high=False, ratio=True, floor=0.15,
        advice="these fields are blurred: leave them out (project.exclude) or image them again",
    ),
    Rule(
        "saturated_share", "saturated pixels", low=False, high=True, ratio=False, floor=0.003,
        advice="the camera was at its limit, so intensities are cut off: expose shorter",
        limit=0.05,
    ),
    Rule(
        "illumination", "uneven background", low=False, high=True, ratio=False, floor=0.1,
        advice="the light is uneven or something glows: correct the images, or raise "
        "--min-contrast",
        limit=1.0,
    ),
    Rule(
        "objects", "objects", low=True, high=True, ratio=True, floor=0.2,
        advice="look at the overlays; many small objects are noise (--scale, a higher "
        "--prob-thresh), few may be missed ones (a lower --prob-thresh)",
    ),
    Rule(
        "median_area_px", "median area", low=True, high=True, ratio=True, floor=0.08,
        advice="nuclei are merged or broken up, or the culture differs: give --scale",
    ),
    Rule(
        "brightness", "brightness of objects", low=True, high=True, ratio=True, floor=0.4,
        advice="the grey levels of these fields are not those of the plate (another exposure, bit "
        "depth or conversion), so their intensities cannot be compared: export them again, or "
        "leave them out (project.exclude)",
    ),
    Rule(
        "border_share", "objects at the border", low=False, high=True, ratio=False, floor=0.05,
        advice="something bright lies along the border",
    ),
    Rule(
        "tiny_share", "tiny objects", low=False, high=True, ratio=False, floor=0.03,
        advice="debris or noise was taken for nuclei: raise --prob-thresh or --min-contrast",
        limit=0.3,
    ),
    Rule(
        "dim_share", "dim objects", low=False, high=True, ratio=False, floor=0.05,
        advice="haze or another stain may have been taken for nuclei: raise --min-contrast or "
        "--prob-thresh, or segment another channel (--channels)",
        limit=0.25,
    ),
    Rule(
        "odd_size_share", "objects of odd size", low=False, high=True, ratio=False, floor=0.05,
        advice="nuclei are merged or broken up: give --scale, or another --nms-thresh",
        limit=0.3,
    ),
)  # fmt: skip
NO_OBJECTS = (
    "no objects",
    "the field is empty, or the channel is not the nuclear one (--channels), or the nuclei do "
    "not have the size that the network expects (--scale)",
)
"""Flag and advice for a field in which nothing was found."""


class Flag(NamedTuple):
    """Why a field is flagged.

    Attributes
    ----------
    name
        The figure's name in :data:`RULES`; ``objects`` where there are none.
    reason
        What is odd, with the figure.
    advice
        What may be wrong, and what to try.
    """

    name: str
    reason: str
    advice: str


def measure_quality(
    plane: NDArray, labels: NDArray, evidence: Evidence | None = None
) -> dict[str, float]:
    """Measure one field.

    Parameters
    ----------
    plane : (H, W)
        The nuclear channel, any real dtype.
    labels : (H, W) integer
        All objects found, those at the border included; gaps allowed.

    evidence : Evidence, optional
        Of these objects; measured here where it is not given.

    Returns
    -------
    dict
        ``focus`` (see :func:`focus`), ``saturated_share`` (of all pixels), ``illumination`` (see
        :func:`unevenness`), ``objects`` (their number), ``median_area_px``,
        ``brightness`` (median of how far they stand out, grey levels), and of all objects the
        ``border_share``, ``tiny_share`` (below :data:`TINY` of the median area), ``dim_share``
        (:attr:`~nucprof.core.evidence.Evidence.dim`) and ``odd_size_share`` (:data:`ODD` times
        smaller or larger than the median). All are 0 where there is nothing.
    """
    found = measure_evidence(plane, labels) if evidence is None else evidence
    areas = found.areas
    count = len(areas)
    median, step = (float(np.median(v)) if count else 0.0 for v in (areas, found.step))
    odd = (areas * ODD < median) | (areas > ODD * median)
    return {
        "focus": focus(plane),
        "saturated_share": saturated_share(plane),
        "illumination": unevenness(plane, labels, step),
        "objects": count,
        "median_area_px": median,
        "brightness": step,
        "border_share": len(touches_border(labels)) / count if count else 0.0,
        "tiny_share": float(np.mean(areas < TINY * median)) if count else 0.0,
        "dim_share": float(np.mean(found.dim)) if count else 0.0,
        "odd_size_share": float(np.mean(odd)) if count else 0.0,
    }


def unevenness(plane: NDArray, labels: NDArray, step: float) -> float:
    """Variation of the background over the image, in units of the objects' step.

    The difference between the brightest and the darkest of the background's medians in 4 x 4 parts
    of the image, over `step` (grey levels). 0 where there are no objects to compare with, or where
    the background is even.
    """
    if not step > 0:
        return 0.0
    rows, cols = (np.linspace(0, n, _PARTS + 1).astype(int) for n in plane.shape)
    medians = []
    for top, bottom in pairwise(rows):
        for left, right in pairwise(cols):
            part = np.s_[top:bottom:2, left:right:2]
            free = plane[part][labels[part] == 0]
            if free.size:
                medians.append(float(np.median(free)))
    return (max(medians) - min(medians)) / step if medians else 0.0


def focus(plane: NDArray) -> float:
    """Sharpness: variance of the Laplacian over the variance of the image, in px^-4.

    The plane is smoothed first (a Gaussian of 1 px), so that noise is not taken for sharpness; the
    ratio makes the figure independent of exposure. Large images are sampled. 0 for an even image.

    Pertuz, Puig and Garcia, "Analysis of focus measure operators" (2013), LAP4 on a smoothed image.
    """
    smooth = [
        ndi.gaussian_filter(window.astype(np.float32), 1.0, truncate=3.0)
        for window in _windows(plane)
    ]
    contrast = float(np.stack(smooth).var())
    if not contrast > 0:
        return 0.0
    return float(np.stack([ndi.laplace(window) for window in smooth]).var()) / contrast


def _windows(plane: NDArray) -> list[NDArray]:
    """The image, or for a large image the middle of each of its quarters."""
    if min(plane.shape) < 3 * _WINDOW_PX:
        return [plane]
    starts = [[(k * n) // 4 - _WINDOW_PX // 2 for k in (1, 3)] for n in plane.shape]
    return [plane[y : y + _WINDOW_PX, x : x + _WINDOW_PX] for y in starts[0] for x in starts[1]]


def saturated_share(plane: NDArray) -> float:
    """Share of pixels at the top of the camera's range, 0 to 1.

    A camera of 12 bits fills 4095 of a 16-bit file: the top is the first full scale (8, 10, 12, 14
    or 16 bits) that holds the image, and nothing is saturated where no pixel reaches it. In an
    image of fractions, pixels beyond the first at the very maximum count.
    """
    if plane.size == 0:
        return 0.0
    top = plane.max()
    at_top = int(np.count_nonzero(plane == top))
    if plane.dtype.kind == "f":
        return (at_top - 1) / plane.size if top > plane.min() else 0.0
    return at_top / plane.size if int(top) in _FULL else 0.0


def flag_fields(figures: Mapping[str, Sequence[float]]) -> list[list[Flag]]:
    """Flag the fields of one plate, with reasons.

    A field is flagged if a figure exceeds the limit of its rule, or lies :data:`CUTOFF` modified
    z-scores from the plate's median (0.6745 times the distance over the median absolute deviation)
    on a side that matters (:data:`RULES`). A field without objects is always
    flagged. Plates of fewer than :data:`MIN_FIELDS` fields have no outliers.

    Parameters
    ----------
    figures : mapping of str to sequence of float
        The figures of :func:`measure_quality`, one value per field.

    Returns
    -------
    list of list of Flag
        For every field its flags, with reasons like ``focus 0.0021 (plate: 0.011)``; empty for
        a field without flags.
    """
    count = len(next(iter(figures.values()), ()))
    flags: list[list[Flag]] = [[] for _ in range(count)]
    empty = [number == 0 for number in figures.get("objects", ())]
    for field in np.flatnonzero(empty).tolist():
        flags[field].append(Flag("objects", *NO_OBJECTS))
    for rule in RULES if count else ():
        values = np.asarray(figures[rule.name], dtype=np.float64)
        middle = float(np.median(values))
        odd = _stands_out(values, rule) if count >= MIN_FIELDS else np.zeros(count, dtype=bool)
        beyond = values > (np.inf if rule.limit is None else rule.limit)
        for field in np.flatnonzero(odd | beyond).tolist():
            if empty[field] and rule.name not in ("focus", "saturated_share"):
                continue
            against = f"plate: {middle:.3g}" if odd[field] else f"limit: {rule.limit:g}"
            reason = f"{rule.words} {values[field]:.3g} ({against})"
            flags[field].append(Flag(rule.name, reason, rule.advice))
    return flags


def _stands_out(values: NDArray[np.float64], rule: Rule) -> NDArray[np.bool_]:
    if rule.ratio:
        smallest = values[values > 0].min(initial=1.0) / 10
        values = np.log(np.maximum(values, smallest))
    distance = values - np.median(values)
    spread = max(float(np.median(np.abs(distance))), 0.6745 * rule.floor)
    score = 0.6745 * distance / spread
    out: NDArray[np.bool_] = (rule.low & (score < -CUTOFF)) | (rule.high & (score > CUTOFF))
    return out
