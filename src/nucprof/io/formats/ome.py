"""OME-XML: names, pixel size, wells, and which page of which file holds a plane."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as default
from math import prod
from typing import Any
from xml.etree import ElementTree

from nucprof.io.formats.base import Position, square
from nucprof.io.formats.xml import read_xml
from nucprof.plate.keys import WellKey, row_letters

_UM = {"": 1.0, "µm": 1.0, "um": 1.0, "micron": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6}


_MOST_PLANES = 1_000_000  # of an image; more is a damaged number

Plane = tuple[int, int, int]
"""Time, focal plane and page of channels, from 0."""


@dataclass(frozen=True)
class OmeImage:
    """One ``<Image>``: a field of view.

    ``lengths`` of T, Z, C, Y, X; ``samples`` of a pixel, several channels in one page; ``pages``:
    plane -> UUID or name of the file, and the number of the page there.
    """

    position: Position
    names: tuple[str, ...]
    pixel_size_um: float | None
    lengths: Mapping[str, int]
    samples: int
    pages: Mapping[Plane, tuple[str, int]]


@dataclass(frozen=True)
class OmeSet:
    """The images that OME-XML describes, and the files that hold them, by UUID.

    ``uuid``: of the file that holds the XML. ``master``: name of the file with the XML, if this
    file only points to it.
    """

    images: tuple[OmeImage, ...] = ()
    files: Mapping[str, str] = default(default_factory=dict)
    uuid: str = ""
    master: str = ""


def read_ome(text: str) -> OmeSet:
    """Read OME-XML; raises :class:`ValueError` if it is not XML."""
    root = read_xml(text)
    only = next(_all(root, "BinaryOnly"), None)
    uuid = root.get("UUID", "")
    if only is not None:
        return OmeSet(uuid=uuid, master=only.get("MetadataFile", "") or "another file")
    wells = _wells(root)
    files = {(e.text or "").strip(): e.get("FileName", "") for e in _all(root, "UUID")}
    images = tuple(_image(element, wells, uuid) for element in _all(root, "Image"))
    return OmeSet(images, files, uuid)


def to_um(value: str | None, unit: str | None) -> float | None:
    """A length in µm; None if it is missing, zero or not a length."""
    factor = _UM.get((unit or "").replace("\u03bc", "µ"))
    try:
        return float(value) * factor or None if value and factor else None
    except ValueError:
        return None


def ome_metadata(axes: str, channels: Sequence[str], pixel_size_um: float | None) -> dict[str, Any]:
    """Arguments of :func:`tifffile.imwrite` for an OME-TIFF with names and pixel size."""
    metadata: dict[str, Any] = {"axes": axes}
    if channels:
        metadata["Channel"] = {"Name": list(channels)}
    if pixel_size_um:
        metadata |= {f"PhysicalSize{axis}": pixel_size_um for axis in "XY"}
        metadata |= {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
    return {"ome": True, "metadata": metadata}


def _image(
    element: ElementTree.Element, wells: Mapping[str, tuple[str, int]], uuid: str
) -> OmeImage:
    pixels = next(_all(element, "Pixels"), ElementTree.Element("Pixels"))
    names: list[str] = []
    samples = 1
    for channel in _all(pixels, "Channel"):
        samples = int(channel.get("SamplesPerPixel", 1))
        names += [channel.get("Name", "")] if samples == 1 else [""] * samples
    lengths = {axis: int(pixels.get(f"Size{axis}", 1)) for axis in "TZCYX"}
    well, site = wells.get(element.get("ID", ""), ("", None))
    return OmeImage(
        Position(element.get("Name", ""), well, site),
        tuple(names),
        square(
            to_um(pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeXUnit", "µm")),
            to_um(pixels.get("PhysicalSizeY"), pixels.get("PhysicalSizeYUnit", "µm")),
        ),
        lengths,
        samples,
        _pages(pixels, lengths | {"C": lengths["C"] // samples}, uuid),
    )


def _pages(
    pixels: ElementTree.Element, lengths: Mapping[str, int], uuid: str
) -> dict[Plane, tuple[str, int]]:
    """Read every ``<TiffData>``: a run of planes, in the image's order, in a file."""
    order = pixels.get("DimensionOrder", "XYZCT")[2:]  # the first varies fastest
    shape = [lengths[axis] for axis in order]
    if not 0 < prod(shape) <= _MOST_PLANES:
        raise ValueError(f"its OME-XML gives an image {prod(shape)} planes")
    blocks = list(_all(pixels, "TiffData"))
    found: dict[Plane, tuple[str, int]] = {}
    for block in blocks:
        file = next((e.text or "" for e in _all(block, "UUID")), "").strip() or uuid
        default_count = 1 if "IFD" in block.attrib or len(blocks) > 1 else prod(shape)
        first = [int(block.get(f"First{axis}", 0)) for axis in order]
        start = sum(at * prod(shape[:i]) for i, at in enumerate(first))
        for n in range(min(int(block.get("PlaneCount", default_count)), prod(shape))):
            at = {a: (start + n) // prod(shape[:i]) % shape[i] for i, a in enumerate(order)}
            found[at["T"], at["Z"], at["C"]] = (file, int(block.get("IFD", 0)) + n)
    return found


def _wells(root: ElementTree.Element) -> dict[str, tuple[str, int]]:
    """Well and site of every image that a ``<Plate>`` lists, by the image's ID."""
    found: dict[str, tuple[str, int]] = {}
    for well in _all(root, "Well"):
        key = WellKey(row_letters(int(well.get("Row", 0)) + 1), int(well.get("Column", 0)) + 1)
        samples = [
            ref.get("ID", "") for s in _all(well, "WellSample") for ref in _all(s, "ImageRef")
        ]
        found |= {image: (str(key), site) for site, image in enumerate(samples, start=1)}
    return found


def _all(element: ElementTree.Element, tag: str) -> Iterator[ElementTree.Element]:
    """All descendants with a name, for any version of the schema."""
    pattern = re.compile(rf"(?:{{.*}})?{tag}$")
    return (child for child in element.iter() if pattern.match(child.tag))
