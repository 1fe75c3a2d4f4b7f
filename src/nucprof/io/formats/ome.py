"""OME-XML: names, pixel size, wells and the files of a set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from nucprof.io.formats.base import Position
from nucprof.plate.keys import WellKey, row_letters

_UM = {"": 1.0, "µm": 1.0, "um": 1.0, "micron": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6}


@dataclass(frozen=True)
class OmeImage:
    """One ``<Image>``: a field of view."""

    position: Position
    names: tuple[str, ...]
    pixel_size_um: float | None
    files: tuple[str, ...]


@dataclass(frozen=True)
class OmeSet:
    """The images that OME-XML describes; ``master`` names the file that holds the XML, if not this."""

    images: tuple[OmeImage, ...] = ()
    master: str = ""


def read_ome(text: str) -> OmeSet:
    """Read OME-XML; raises :class:`ValueError` where it is not XML."""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"its OME-XML is broken ({error})") from None
    only = next(_all(root, "BinaryOnly"), None)
    if only is not None:
        return OmeSet(master=only.get("MetadataFile", ""))
    wells = _wells(root)
    return OmeSet(tuple(_image(element, wells) for element in _all(root, "Image")))


def to_um(value: str | None, unit: str | None) -> float | None:
    """A length in µm; None where it is missing, zero or has a unit that is no length."""
    factor = _UM.get((unit or "").replace("\u03bc", "µ"))
    try:
        return float(value) * factor or None if value and factor else None
    except ValueError:
        return None


def ome_metadata(
    axes: str, channels: Sequence[str], pixel_size_um: float | None
) -> dict[str, Any]:
    """Arguments of :func:`tifffile.imwrite` for an OME-TIFF with names and pixel size."""
    metadata: dict[str, Any] = {"axes": axes}
    if channels:
        metadata["Channel"] = {"Name": list(channels)}
    if pixel_size_um:
        metadata |= {f"PhysicalSize{axis}": pixel_size_um for axis in "XY"}
        metadata |= {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
    return {"ome": True, "metadata": metadata}


def _image(element: ElementTree.Element, wells: dict[str, tuple[str, int]]) -> OmeImage:
    pixels = next(_all(element, "Pixels"), ElementTree.Element("Pixels"))
    names = []
    for channel in _all(pixels, "Channel"):
        samples = int(channel.get("SamplesPerPixel", 1))
        names += [channel.get("Name", "")] if samples == 1 else [""] * samples
    well, site = wells.get(element.get("ID", ""), ("", None))
    files = (uuid.get("FileName", "") for uuid in _all(pixels, "UUID"))
    return OmeImage(
        Position(element.get("Name", ""), well, site),
        tuple(names),
        to_um(pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeXUnit", "µm")),
        tuple(dict.fromkeys(name for name in files if name)),
    )


def _wells(root: ElementTree.Element) -> dict[str, tuple[str, int]]:
    """Well and site of every image that a ``<Plate>`` lists, by the image's ID."""
    found = {}
    for well in _all(root, "Well"):
        key = WellKey(row_letters(int(well.get("Row", 0)) + 1), int(well.get("Column", 0)) + 1)
        samples = [ref.get("ID", "") for s in _all(well, "WellSample") for ref in _all(s, "ImageRef")]
        found |= {image: (str(key), site) for site, image in enumerate(samples, start=1)}
    return found


def _all(element: ElementTree.Element, tag: str) -> Iterator[ElementTree.Element]:
    """All elements of a name below, whatever the version of the schema."""
    pattern = re.compile(rf"(?:{{.*}})?{tag}$")
    return (child for child in element.iter() if pattern.match(child.tag))
