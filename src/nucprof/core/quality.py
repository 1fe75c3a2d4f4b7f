"""How good the segmentation of a field may be, and which fields of a plate stand out.

Nothing here judges a mask against truth: the figures are those by which a person finds the fields
that are worth a look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from nucprof.core.labels import ObjectIndex, touches_border

#: Objects below this share of the field's median area are tiny.
TINY = 0.2
#: Fields of a plate whose modified z-score is beyond this stand out (Iglewicz and Hoaglin, "How to
#: detect and handle outliers", 1993).
CUTOFF = 3.5
#: A median and a spread of fewer fields than this say nothing.
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
        The figure's name, and how a message calls it.
    low, high
        Whether values below, and above, the plate's are worth a look.
    ratio
        Whether values are compared by their ratio and not their difference.
    floor
        Smallest spread assumed, so that a plate of equal fields does not flag every speck: a share
        of the value where ``ratio``.
    """

    name: str
    words: str
    low: bool
    high: bool
    ratio: bool
    floor: float


RULES = (
    Rule("focus", "focus", low=True, high=False, ratio=True, floor=0.15),
    Rule("saturated_share", "saturated pixels", low=False, high=True, ratio=False, floor=0.003),
    Rule("objects", "objects", low=True, high=True, ratio=True, floor=0.2),
    Rule("median_area_px", "median area", low=True, high=True, ratio=True, floor=0.08),
    Rule("border_share", "objects at the border", low=False, high=True, ratio=False, floor=0.05),
    Rule("tiny_share", "tiny objects", low=False, high=True, ratio=False, floor=0.03),
)


def measure_quality(plane: NDArray, labels: NDArray) -> dict[str, float]:
    """Measure one field.

    Parameters
    ----------
    plane : (H, W)
        The nuclear channel, any real dtype.
    labels : (H, W) integer
        All objects found, those at the border included; gaps allowed.

    Returns
    -------
    dict
        ``focus`` (see :func:`focus`), ``saturated_share`` (of all pixels), ``objects`` (their
        number), ``median_area_px``, and of all objects the ``border_share`` and ``tiny_share``
        (below :data:`TINY` of the median area). All are 0 where there is nothing.
    """
    areas = ObjectIndex.of(labels).areas
    count = len(areas)
    median = float(np.median(areas)) if count else 0.0
    return {
        "focus": focus(plane),
        "saturated_share": saturated_share(plane),
        "objects": count,
        "median_area_px": median,
        "border_share": len(touches_border(labels)) / count if count else 0.0,
        "tiny_share": float(np.mean(areas < TINY * median)) if count else 0.0,
    }


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
    """The image, or where it is large the middle of each of its quarters, which is enough."""
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


def flag_fields(figures: Mapping[str, Sequence[float]]) -> list[list[str]]:
    """Say of every field of one plate why it is worth a look.

    A field stands out where a figure lies :data:`CUTOFF` modified z-scores from the plate's median
    (0.6745 times the distance over the median absolute deviation) on a side that matters
    (:data:`RULES`). A field without objects always does. Plates of fewer than :data:`MIN_FIELDS`
    fields have no outliers.

    Parameters
    ----------
    figures : mapping of str to sequence of float
        The figures of :func:`measure_quality`, one value per field.

    Returns
    -------
    list of list of str
        For every field its reasons, e.g. ``focus 0.0021 (plate: 0.011)``; empty where it is like
        the others.
    """
    count = len(next(iter(figures.values()), ()))
    reasons: list[list[str]] = [[] for _ in range(count)]
    for field, number in enumerate(figures.get("objects", ())):
        if number == 0:
            reasons[field].append("no objects")
    if count < MIN_FIELDS:
        return reasons
    for rule in RULES:
        values = np.asarray(figures[rule.name], dtype=np.float64)
        middle = float(np.median(values))
        for field in np.flatnonzero(_stands_out(values, rule)).tolist():
            if reasons[field][:1] != ["no objects"] or rule.name == "focus":
                reasons[field].append(f"{rule.words} {values[field]:.3g} (plate: {middle:.3g})")
    return reasons


def _stands_out(values: NDArray[np.float64], rule: Rule) -> NDArray[np.bool_]:
    if rule.ratio:
        smallest = values[values > 0].min(initial=1.0) / 10
        values = np.log(np.maximum(values, smallest))
    distance = values - np.median(values)
    spread = max(float(np.median(np.abs(distance))), 0.6745 * rule.floor)
    score = 0.6745 * distance / spread
    out: NDArray[np.bool_] = (rule.low & (score < -CUTOFF)) | (rule.high & (score > CUTOFF))
    return out
