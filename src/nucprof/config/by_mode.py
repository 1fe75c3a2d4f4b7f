"""Defaults that depend on the mode: nuclei or whole cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from nucprof.config.project import Project
from nucprof.errors import ProjectError
from nucprof.io.results import Results
from nucprof.io.state import StateFile, read_state
from nucprof.plate.keys import CP_ROUND

#: Length of an elongated nucleus, in diameters of the disk of its area.
NUCLEUS_LENGTH = 1.25


@dataclass(frozen=True)
class CropKind:
    """What crops show; a network is applied only to crops like those it was trained on.

    Attributes
    ----------
    channels : tuple of str
        The Cell Painting channels, in the order of the crops.
    region : str
        ``nucleocentric``, ``nucleus`` or ``cell``.
    patch_size : int
        Side of a crop, pixels.
    masked : bool
        Whether pixels outside the object are 0.
    """

    channels: tuple[str, ...]
    region: str
    patch_size: int
    masked: bool


def crop_kind(project: Project) -> CropKind:
    """The crops that a project cuts; raises :class:`ProjectError` where they need whole cells."""
    settings = project.crop
    region = settings.region or ("cell" if project.mask_kind == "cells" else "nucleocentric")
    if region == "cell" and project.mask_kind != "cells":
        raise ProjectError("crop.region = cell needs whole cells: set segment.mode = cells.")
    size = settings.patch_size or (192 if region == "cell" else 60)
    if size == "auto":
        size = fitting_patch(nuclear_diameters(project), region)
    masked = settings.masked if settings.masked is not None else region != "nucleocentric"
    return CropKind(tuple(project.round_channels(CP_ROUND)), region, size, masked)


#: Side of a crop in nuclear diameters, with a margin for long nuclei or for the surroundings.
_PATCH = {"nucleus": 1.5, "nucleocentric": 2.0, "cell": 5.0}


class NuclearSize(StateFile):
    """The file in which ``segment`` writes the nuclear diameter of every plate, pixels."""

    diameter_px: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]]


def nuclear_diameters(project: Project) -> dict[str, float]:
    """The typical nuclear diameter of every plate, pixels, as ``segment`` found it."""
    again = (
        'crop.patch_size = "auto" needs the nuclear size: run nucprof segment PROJECT first, or '
        "give a number"
    )
    path = Results(project.project.output).nuclear_size
    return read_state(path, NuclearSize, again).diameter_px


def fitting_patch(diameters: Mapping[str, float], region: str) -> int:
    """Side of a crop that fits the nuclei of all plates, a multiple of 4 px; 60 without nuclei."""
    if not diameters:
        return 60
    return 4 * max(1, -(-int(_PATCH[region] * max(diameters.values())) // 4))


def compartments(project: Project) -> tuple[str, ...]:
    """Compartments measured; raises :class:`ProjectError` where they need whole cells."""
    cells = project.mask_kind == "cells"
    chosen = project.features.regions or (
        ["Nuclei", "Cytoplasm", "Cells"] if cells else ["Nuclei", "Patch"]
    )
    wrong = [name for name in chosen if name in ("Cells", "Cytoplasm") and not cells]
    if wrong:
        raise ProjectError(
            f"features.regions: {wrong[0]} needs whole cells: set segment.mode = cells."
        )
    return tuple(chosen)
