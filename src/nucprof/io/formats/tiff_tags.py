"""Information in TIFF tags: whether the file is complete, labels and pixel size."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np

from nucprof.errors import FieldError
from nucprof.io.formats.base import square
from nucprof.io.formats.ome import to_um

_CENTIMETRE = 3  # ResolutionUnit; inches (2) are the dots of a printer
_FIJI_LABEL = re.compile(r"^(?:[czt]:\d+/\d+ ?)+(?:- )?")
_METAMORPH = re.compile(r'<prop id="([\w-]+)" type="[\w-]+" value="([^"]*)"')


def refuse_cut(file: Any, path: Path) -> None:
    """Raise an error if the chain of pages is broken, or a page lacks some of its pixels.

    tifffile only logs a message for a broken chain, and the planes before it would pass as the
    whole image; missing parts of a page would be read as zeros.
    """
    if not len(file.pages):
        raise FieldError(f"{path} holds no image. Is the file complete?")
    known = _chain(file, path)
    if len(known) != len(file.pages):
        raise FieldError(
            f"{path} is cut short: {len(file.pages)} of its {len(known)} planes can be read. "
            "Is the file complete?"
        )
    size = file.filehandle.size
    for page in file.pages:
        if hasattr(page, "databytecounts"):
            _refuse_holes(page, size, path)


def _chain(file: Any, path: Path) -> set[int]:
    """Offsets of all pages; each page names the next one."""
    tiff, handle = file.tiff, file.filehandle
    known: set[int] = set()
    following = file.pages.first.offset
    while following:
        if following in known:
            raise FieldError(f"{path} is damaged: its chain of planes leads in a circle.")
        if following + tiff.tagnosize > handle.size:
            raise FieldError(
                f"{path} is cut short: it should have more than {len(known)} planes. "
                "Is the file complete?"
            )
        known.add(following)
        handle.seek(following)
        (tags,) = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))
        handle.seek(tags * tiff.tagsize, 1)
        (following,) = struct.unpack(tiff.offsetformat, handle.read(tiff.offsetsize))
    return known


def _refuse_holes(page: Any, size: int, path: Path) -> None:
    """Raise an error if strips or tiles of a page are missing, or lie beyond the end."""
    offsets, counts = page.dataoffsets, page.databytecounts
    parts = int(np.prod(page.chunked))
    if not (len(offsets) == len(counts) == parts) and not page.is_contiguous:
        raise FieldError(
            f"{path} is damaged: a plane of {parts} parts has {len(counts)} of them. "
            "Is the file complete?"
        )
    if any(n == 0 or at + n > size for at, n in zip(offsets, counts, strict=False)):
        raise FieldError(f"{path} is cut short: a part of a plane is missing. Is it complete?")
    needed = -(-page.nbytes * page.bitspersample // (8 * page.dtype.itemsize))
    if page.compression == 1 and sum(counts) < needed and not page.is_tiled:
        raise FieldError(
            f"{path} is damaged: a plane needs {needed} bytes, {sum(counts)} are there."
        )


def labels(file: Any, channels: int) -> list[str]:
    """ImageJ's labels of the first planes, without the numbers that Fiji puts before them."""
    labels = (file.imagej_metadata or {}).get("Labels", []) if file.is_imagej else []
    return [_FIJI_LABEL.sub("", label) for label in labels[:channels]]


def pixel_size_um(file: Any) -> float | None:
    """Pixel size from MetaMorph's, ImageJ's or the baseline tags, if they have a unit."""
    text = file.pages[0].description
    metamorph = dict(_METAMORPH.findall(text)) if text.startswith("<MetaData>") else {}
    if metamorph.get("spatial-calibration-state", "").lower() == "on":
        unit = metamorph.get("spatial-calibration-units", "")
        return to_um(metamorph.get("spatial-calibration-x"), unit)
    tags = file.pages[0].tags
    unit = 0.0
    if file.is_imagej:
        named = str((file.imagej_metadata or {}).get("unit", "")).replace("\\u00B5", "µ")
        unit = (named and to_um("1", named)) or 0.0
    if not unit and "ResolutionUnit" in tags and int(tags["ResolutionUnit"].value) == _CENTIMETRE:
        unit = 1e4
    across, down = (_length(tags.get(name)) for name in ("XResolution", "YResolution"))
    return square(across * unit, down * unit) or None


def _length(tag: Any) -> float:
    """Units per pixel, from a tag of pixels per unit; 0 if it has none."""
    return float(tag.value[1] / tag.value[0]) if tag is not None and tag.value[0] else 0.0
