"""Whether a registration stands, is unsure, or is refused; and why, in words."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nucprof.core.registration import (
    FEWEST_OTHERS,
    RESIDUAL_RADII,
    SURE_AGREEMENT,
    Model,
    Registration,
)
from nucprof.core.search import ANGLES

#: Shifts of one plate within this distance of their median are never outliers, pixels.
OUTLIER_FLOOR_PX = 5.0
#: Robust deviations beyond which a shift is an outlier.
OUTLIER_DEVIATIONS = 6.0
#: Fewer fields than this say nothing about what is usual on a plate.
OUTLIER_MIN_FIELDS = 4
#: What the camera brings into every image lies this near to shift 0, pixels.
CAMERA_PX = 1.0


def refusal(found: Registration, model: Model, radius_px: float | None) -> str:
    """Say why a field cannot be used; empty where it can.

    Parameters
    ----------
    found : Registration
    model : auto, translation or similarity
        What was looked for.
    radius_px : float or None
        Typical radius of a nucleus; None for a field without nuclei.
    """
    if not found.significant:
        turned = f", at no angle within {ANGLES[-1]:.0f} degrees" if model != "translation" else ""
        limit = "; its best match lies beyond align.max_shift_px" if found.at_limit else ""
        return (
            f"does not match the Cell Painting image better than chance (score {found.score:.3f}, "
            f"chance up to {found.threshold:.3f}){turned}{limit}"
        )
    if radius_px is not None and found.residual > RESIDUAL_RADII * radius_px:
        return (
            f"matches by {describe(found)}, but the parts of the field lie {found.residual:.1f} px "
            f"from there (median), over a quarter of the nuclear radius of {radius_px:.1f} px: the "
            "round shows other things, its nuclei have moved, or it is bent"
        )
    return ""


def advice(turned: Registration) -> str:
    """What to do about a refused translation, by what ``align.model = "auto"`` would find."""
    if not turned.significant or turned.is_translation:
        return ""
    return f'; it matches by {describe(turned)}: set align.model = "auto"'


def doubt(found: Registration, model: Model) -> str:
    """Say why a field that can be used should be looked at; empty where nothing speaks for it."""
    if math.isnan(found.residual):
        return "no part of the field shows enough in both rounds to confirm the match"
    if found.agreement < SURE_AGREEMENT:
        return f"only {found.agreement:.0%} of the field's parts agree with {describe(found)}"
    if model == "similarity" and found.is_translation:
        return "the field's parts show too little to measure a rotation or a magnification"
    near_zero = math.hypot(found.shift_y, found.shift_x) < CAMERA_PX
    if near_zero and found.is_translation and found.others < FEWEST_OTHERS:
        return (
            "its shift is 0, where dust and specks of the camera match in any two images, and the "
            "plate has too few other wells to tell those from nuclei"
        )
    return ""


def describe(found: Registration) -> str:
    """The map in words."""
    shift = f"a shift of ({found.shift_y:.1f}, {found.shift_x:.1f}) px"
    if found.is_translation:
        return shift
    return f"{shift}, turned by {found.angle:.2f} degrees and magnified {found.scale:.4f} times"


def flag_outliers(shifts: NDArray) -> NDArray[np.bool_]:
    """Tell shifts that are unlike the rest of their plate.

    Parameters
    ----------
    shifts : (N, 2) float
        (shift_y, shift_x) of the registered fields of one plate and round, pixels.

    Returns
    -------
    (N,) bool
        Farther from the plate's median along an axis than six robust deviations (1.4826 times the
        median absolute deviation) and than 5 px. None of fewer than four fields.
    """
    shifts = np.asarray(shifts, dtype=np.float64).reshape(-1, 2)
    if len(shifts) < OUTLIER_MIN_FIELDS:
        return np.zeros(len(shifts), dtype=bool)
    away = np.abs(shifts - np.median(shifts, axis=0))
    usual = OUTLIER_DEVIATIONS * 1.4826 * np.median(away, axis=0)
    return np.asarray(np.any(away > np.maximum(usual, OUTLIER_FLOOR_PX), axis=1))
