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
        How focal planes become one; None where there is only one.
    stack : tuple of Path
        The files of all focal planes, ``path`` first, where every plane has a file of its own.
    zoom : float
        Enlargement on reading, which brings a round to the pixels of Cell Painting.
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

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that is read."""
        return self.stack or (self.path,)


def pixel_size(sources: Mapping[str, Source]) -> float | None:
    """Side of a pixel of a field, µm; None where its files do not say it."""
    return next((s.pixel_size_um for s in sources.values() if s.pixel_size_um), None)
