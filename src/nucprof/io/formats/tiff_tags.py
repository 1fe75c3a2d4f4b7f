"""Information in TIFF tags: whether the file is complete, labels and pixel size."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

from nucprof.errors import FieldError
from nucprof.io.formats.ome import to_um

_FIJI_LABEL = re.compile(r"^(?:[czt]:\d+/\d+ ?)+(?:- )?")
_METAMORPH = re.compile(r'<prop id="([\w-]+)" type="[\w-]+" value="([^"]*)"')


def refuse_cut(file: Any, path: Path) -> None:
    """Raise an error if the chain of pages is broken.

    tifffile only logs a message there, and the planes before it would pass as the whole image.
    """
    if not len(file.pages):
        raise FieldError(f"{path} holds no image. Is the file complete?")
    known = {page.offset for page in file.pages}
    tiff, handle = file.tiff, file.filehandle
    handle.seek(file.pages[len(known) - 1].offset)
    (tags,) = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))
    handle.seek(tags * tiff.tagsize, 1)
    (following,) = struct.unpack(tiff.offsetformat, handle.read(tiff.offsetsize))
    if following and following not in known:
        raise FieldError(
            f"{path} is cut short: it should have more than {len(known)} planes. "
            "Is the file complete?"
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
    resolution = tags.get("XResolution")
    if resolution is None or not resolution.value[0]:
        return None
    size = resolution.value[1] / resolution.value[0]
    if file.is_imagej:
        unit = str((file.imagej_metadata or {}).get("unit", "")).replace("\\u00B5", "µ")
        known = to_um(str(size), unit) if unit else None
        if known:
            return known
    per_unit = {3: 1e4}.get(int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 0)
    return float(size * per_unit) or None if per_unit else None
