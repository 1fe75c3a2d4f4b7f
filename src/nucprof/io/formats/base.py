"""The interface of all readers: the axes of a file, and its planes one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

CHANNEL_AXES = "CSQI"
"""Axes read as channels: samples of a pixel, and pages without a name, are channels too."""

POSITION_AXES = "PR"
MOST_CHANNELS = 16
"""If axes have no names, a last axis no longer than this may be channels."""


@dataclass(frozen=True)
class Position:
    """One field of view in a file: its name, and well and site if the metadata contain them.

    ``complete``: whether all its planes were taken. ``parts``: names of other files in the folder
    that hold planes of it, or describe them.
    """

    name: str = ""
    well: str = ""
    site: int | None = None
    complete: bool = True
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageInfo:
    """Header of a file, read without its pixels.

    Attributes
    ----------
    planes, height, width : int
        Channels, rows and columns of one image.
    dtype : str
        Type of its pixels.
    names : tuple of str
        Names of all channels, or empty.
    pixel_size_um : float or None
        Side of a pixel in µm, as the file has it; None if it has none or its pixels are not square.
    z, times : int
        Focal planes and time points.
    positions : tuple of Position
        The fields of view; empty in a file that is a part of another (``part_of``).
    part_of : str
        Name of the file that this file is a part of, or empty.
    """

    planes: int
    height: int
    width: int
    dtype: str
    names: tuple[str, ...] = ()
    pixel_size_um: float | None = None
    z: int = 1
    times: int = 1
    positions: tuple[Position, ...] = (Position(),)
    part_of: str = ""


class Reader(Protocol):
    """A reader of one format."""

    def info(self, path: Path) -> ImageInfo:
        """Read what a file holds."""
        ...

    def planes(
        self, path: Path, position: int, time: int, z: Sequence[int]
    ) -> Iterator[np.ndarray]:
        """Read focal planes ``(C, H, W)`` of a position and time point, one after the other."""
        ...


def square(width_um: float | None, height_um: float | None) -> float | None:
    """Side of a pixel in µm; None if it is unknown or if the pixel is not square, within 1%."""
    if not width_um or (height_um and abs(width_um - height_um) > 0.01 * abs(width_um)):
        return None
    return width_um


def complete_names(names: Sequence[str | None], count: int) -> tuple[str, ...]:
    """Channel names where every channel has one of its own; none otherwise."""
    found = tuple(name.strip() for name in names if name and name.strip())
    return found if len(found) == count == len(set(found)) else ()
