"""ImageJ's TIFF metadata: channel names, colours and scale, as Fiji and napari show them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

IMAGEJ_TYPES = ("uint8", "uint16", "float32")
"""The pixel types that ImageJ's TIFF has."""

_NUCLEAR = re.compile(r"dapi|hoechst|dna|nuc", re.IGNORECASE)
_COLOURS = ((0, 1, 0), (1, 0, 0), (1, 0, 1), (0, 1, 1), (1, 1, 0), (1, 1, 1))
_BLUE = (0, 0, 1)
_MOST_COLOURED = 7  # channels that ImageJ shows together


def imagej_metadata(
    axes: str, channels: Sequence[str], pixel_size_um: float | None, *, times: int = 1
) -> dict[str, Any]:
    """Arguments of :func:`tifffile.imwrite` for an ImageJ hyperstack.

    Parameters
    ----------
    axes : str
        The axes of the array, ``YX``, ``CYX`` or ``TCYX``.
    channels : sequence of str
        Names of the channels, or empty.
    pixel_size_um : float or None
        Side of a pixel in µm.
    times : int
        Length of the T axis; every plane gets its channel's name.
    """
    metadata: dict[str, Any] = {"axes": axes}
    if channels:
        metadata["Labels"] = [*channels] * times
    if "C" in axes and 1 < len(channels) <= _MOST_COLOURED:
        metadata |= {"mode": "composite", "LUTs": _luts(channels)}
    if pixel_size_um:
        metadata["unit"] = "um"
    return {"imagej": True, "metadata": metadata, **resolution(pixel_size_um, "NONE")}


def resolution(pixel_size_um: float | None, unit: str) -> dict[str, Any]:
    """Resolution tags of a pixel size: pixels per µm (``NONE``) or per cm (``CENTIMETER``)."""
    if not pixel_size_um:
        return {}
    pixels = (1e4 if unit == "CENTIMETER" else 1.0) / pixel_size_um
    return {"resolution": (pixels, pixels), "resolutionunit": unit}


def channel_colours(channels: Sequence[str]) -> list[tuple[int, int, int]]:
    """Red, green and blue (0 or 1) of each channel, blue for the first that is a nuclear stain."""
    nuclear = next((i for i, name in enumerate(channels) if _NUCLEAR.search(name)), None)
    others = iter(_COLOURS)
    return [_BLUE if i == nuclear else next(others, (1, 1, 1)) for i in range(len(channels))]


def _luts(channels: Sequence[str]) -> list[np.ndarray]:
    """A colour table per channel."""
    ramp = np.arange(256, dtype=np.uint8)
    return [np.outer(colour, ramp).astype(np.uint8) for colour in channel_colours(channels)]
