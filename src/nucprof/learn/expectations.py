"""What a model expects of the cells that it is applied to, and whether a plate fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from nucprof.config.models import FeatureSettings
from nucprof.errors import ModelError
from nucprof.plate.columns import PLATE, mean_intensity

SAME_PIXEL = 0.02
"""Pixel sizes that differ by a smaller share are the same."""
OTHER_PIXEL = 0.1
"""Pixel sizes that differ by a larger share are refused."""
OTHER_SIZE, STRANGE_SIZE = 1.25, 1.6
"""Ratio of nuclear diameters above which is warned, and, where a pixel size is missing, refused."""

_AREA = "Nuclei_AreaShape_Area"
_MEAN = mean_intensity("Nuclei", "")
_LOW, _HIGH = 0.01, 0.99

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Expectations(BaseModel):
    """The images and features that a model was trained on.

    Attributes
    ----------
    pixel_size_um : float or None
        Side of a pixel, µm; None where the files did not give it.
    nuclear_diameter_px : float or None
        Median diameter of the disks of the nuclei's areas.
    intensity : dict
        Cell Painting channel -> the 1st and 99th percentile of the nuclei's mean intensities.
    feature_patch_px : int or None
        ``features.patch_size``, if the model uses features of patches.
    texture_background : str or None
        ``features.texture_background``, if the model uses published textures.
    """

    pixel_size_um: Positive | None = None
    nuclear_diameter_px: Positive | None = None
    intensity: dict[str, tuple[Finite, Finite]] = {}
    feature_patch_px: int | None = None
    texture_background: str | None = None


def expectations_of(
    cells: pd.DataFrame, settings: FeatureSettings, features: Sequence[str] = ()
) -> Expectations:
    """What a model trained on these rows of a feature table expects; ``features`` are its own."""
    intensity = {
        name.removeprefix(_MEAN): (
            float(cells[name].quantile(_LOW)),
            float(cells[name].quantile(_HIGH)),
        )
        for name in cells.columns
        if name.startswith(_MEAN) and cells[name].notna().any()
    }
    patch = any(name.startswith("Patch_") for name in features)
    published = any("_Texture_" in n and "Robust" not in n for n in features)
    return Expectations(
        pixel_size_um=_pixel_size(cells),
        nuclear_diameter_px=_diameter(cells),
        intensity=intensity,
        feature_patch_px=settings.patch_size if patch else None,
        texture_background=settings.texture_background if published else None,
    )


def differing_plates(cells: pd.DataFrame) -> list[str]:
    """Warn of plates in one table whose pixels or nuclei differ in size."""
    sizes = {str(plate): _pixel_size(own) for plate, own in cells.groupby(PLATE)}
    known = {plate: size for plate, size in sizes.items() if size}
    if known and _ratio(max(known.values()), min(known.values())) > 1 + SAME_PIXEL:
        shown = ", ".join(f"{plate} {size:.4g} µm" for plate, size in known.items())
        return [
            f"plates differ in the size of their pixels ({shown}): sizes in pixels, textures and "
            "patches of one plate are not those of another; process them as projects of their own"
        ]
    diameters = {str(plate): _diameter(own) for plate, own in cells.groupby(PLATE)}
    found = {plate: size for plate, size in diameters.items() if size}
    if len(known) == len(sizes) or not found:
        return []
    if _ratio(max(found.values()), min(found.values())) < STRANGE_SIZE:
        return []
    shown = ", ".join(f"{plate} {size:.3g} px" for plate, size in found.items())
    return [
        f"plates differ in the size of their nuclei ({shown}), and the pixel size of some is not "
        "known: were they imaged at different magnifications?"
    ]


def check_cells(model: Expectations | None, cells: pd.DataFrame) -> list[str]:
    """Compare every plate of a feature table with what a model expects.

    Returns
    -------
    list of str
        Warnings: what differs, by plate, with both values.

    Raises
    ------
    ModelError
        The pixels of a plate have another size, or, where it is not known, its nuclei.
    """
    if model is None:
        return [
            "the model comes from an earlier version of nucprof and does not say which pixel size, "
            "patches and intensities it expects, so they are not compared; train it again"
        ]
    warnings: list[str] = []
    for plate, own in cells.groupby(PLATE):
        warnings += _check_size(model, str(plate), own)
        warnings += _check_intensity(model, str(plate), own)
    return warnings


def _check_size(model: Expectations, plate: str, cells: pd.DataFrame) -> list[str]:
    size, diameter = _pixel_size(cells), _diameter(cells)
    known = bool(size and model.pixel_size_um)
    if size and model.pixel_size_um:
        off = abs(size / model.pixel_size_um - 1)
        told = f"plate {plate} has pixels of {size:.4g} µm, the model was trained on pixels of "
        if off > OTHER_PIXEL:
            raise ModelError(
                f"{told}{model.pixel_size_um:.4g} µm: nuclei, textures and patches look different "
                "to it. Use a model of the same magnification, or bring the images to its pixels."
            )
        if off > SAME_PIXEL:
            return [f"{told}{model.pixel_size_um:.4g} µm"]
    if not diameter or not model.nuclear_diameter_px:
        return []
    ratio = _ratio(diameter, model.nuclear_diameter_px)
    told = (
        f"plate {plate}: nuclei have a diameter of {diameter:.3g} px, in training "
        f"{model.nuclear_diameter_px:.3g} px"
    )
    if ratio > STRANGE_SIZE and not known:
        raise ModelError(
            f"{told}, and the pixel size of one of them is not known: the images have another "
            "magnification. Use a model of the same magnification."
        )
    return [f"{told}; the predictions may be wrong"] if ratio > OTHER_SIZE else []


def _check_intensity(model: Expectations, plate: str, cells: pd.DataFrame) -> list[str]:
    warnings = []
    for channel, (low, high) in model.intensity.items():
        values = cells.get(_MEAN + channel)
        middle = float(values.median()) if values is not None and values.notna().any() else low
        if not low <= middle <= high:
            warnings.append(
                f"plate {plate}: the median intensity of {channel} in nuclei is {middle:.4g}, in "
                f"training 98% of the nuclei lay between {low:.4g} and {high:.4g}: exposure, bit "
                "depth or stain differ, and the predictions may be wrong"
            )
    return warnings


def check_settings(model: Expectations | None, settings: FeatureSettings) -> None:
    """Raise a :class:`ModelError` if features were measured in another way than in training."""
    if model is None:
        return
    wanted: dict[str, Any] = {
        "patch_size": model.feature_patch_px,
        "texture_background": model.texture_background,
    }
    for key, value in wanted.items():
        now = getattr(settings, key)
        if value is not None and now != value:
            raise ModelError(
                f"the model was trained with features.{key} = {value}, this project has {now}: the "
                f"same names stand for other values. Set features.{key} and run nucprof features."
            )


def _pixel_size(cells: pd.DataFrame) -> float | None:
    """Side of a pixel, µm, from areas in pixels and in µm²."""
    if _AREA not in cells or f"{_AREA}_um2" not in cells:
        return None
    ratio = (cells[f"{_AREA}_um2"] / cells[_AREA]).median()
    return float(np.sqrt(ratio)) if ratio > 0 else None


def _diameter(cells: pd.DataFrame) -> float | None:
    area = cells[_AREA].median() if _AREA in cells else np.nan
    return float(np.sqrt(4 / np.pi * area)) if area > 0 else None


def _ratio(a: float, b: float) -> float:
    return max(a / b, b / a)
