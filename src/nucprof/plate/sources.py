"""Where the pixels of a channel are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Projection = str | int
"""``max``, ``mean``, ``best_focus`` or the number of a focal plane, counted from 1."""


@dataclass(frozen=True)
class Source:
    """Where the pixels of one channel of one field lie.

    Attributes
    ----------
    path : Path
        The file.
    plane : int
        The channel in the file, from 0.
    position, time : int
        The field of view and the time point in the file, from 0.
    projection : str or int or None
        How focal planes become one image; None if there is only one.
    stack : tuple of Path
        The files of all focal planes, ``path`` first, if every plane is a separate file.
    parts : tuple of Path
        Other files of an OME-TIFF set that hold planes of this image, or describe them.
    illumination : Path or None
        Gain and floor by which the channel is corrected on reading, before it is zoomed.
    zoom : float
        Zoom factor on reading, which brings a round to the pixel size of Cell Painting.
    pixel_size_um : float or None
        Side of a pixel as read, µm.
    """

    path: Path
    plane: int = 0
    position: int = 0
    time: int = 0
    projection: Projection | None = None
    stack: tuple[Path, ...] = ()
    zoom: float = 1.0
    pixel_size_um: float | None = None
    parts: tuple[Path, ...] = ()
    illumination: Path | None = None

    @property
    def planes(self) -> tuple[Path, ...]:
        """The file of every focal plane, or the one file."""
        return self.stack or (self.path,)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that decides the pixels."""
        light = () if self.illumination is None else (self.illumination,)
        return (*self.planes, *self.parts, *light)


def pixel_size(sources: Mapping[str, Source]) -> float | None:
    """Side of a pixel of a field, µm; None if its files do not give it."""
    return next((s.pixel_size_um for s in sources.values() if s.pixel_size_um), None)
