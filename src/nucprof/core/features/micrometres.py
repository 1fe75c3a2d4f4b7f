"""Areas and lengths in micrometres, beside those in pixels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

AREAS = ("Area", "ConvexArea", "FilledArea")
LENGTHS = (
    "MajorAxisLength",
    "MinorAxisLength",
    "EquivalentDiameter",
    "MaxFeretDiameter",
    "Perimeter",
    "PerimeterCrofton",
)
SUFFIXES = ("_um2", "_um")


def in_micrometres(
    features: Mapping[str, NDArray], pixel_size_um: float | None
) -> dict[str, NDArray]:
    """Areas (``..._um2``) and lengths (``..._um``) of a table of features.

    Parameters
    ----------
    features : mapping
        Columns such as ``Nuclei_AreaShape_Area``, in pixels.
    pixel_size_um : float or None
        Side of a pixel; where it is None the values are NaN.
    """
    size = np.nan if pixel_size_um is None else pixel_size_um
    found = {}
    for name, values in features.items():
        _, _, feature = name.partition("_AreaShape_")
        if feature in AREAS:
            found[f"{name}_um2"] = values * size**2
        elif feature in LENGTHS:
            found[f"{name}_um"] = values * size
    return found


def repeats_pixels(name: str) -> bool:
    """Whether a column is another column in µm: nothing is learnt from it."""
    return "_AreaShape_" in name and name.endswith(SUFFIXES)
