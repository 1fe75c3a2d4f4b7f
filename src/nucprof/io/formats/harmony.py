"""``Index.idx.xml`` or ``Index.xml``, which Harmony (Opera, Operetta) writes next to its images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from nucprof.io.formats.ome import to_um
from nucprof.io.formats.xml import elements

NAMES = ("Index.idx.xml", "Index.xml")


@dataclass(frozen=True)
class HarmonyIndex:
    """Channel names by their number in the file names, and the side of a pixel."""

    channels: Mapping[str, str]
    pixel_size_um: float | None


def read_harmony(folder: Path) -> HarmonyIndex | None:
    """Read the index of a folder of images; None where there is none.

    Raises
    ------
    ValueError
        It is not XML.
    """
    path = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if path is None:
        return None
    channels: dict[str, str] = {}
    size = None
    for element in elements(path):
        name = re.sub("{.*}", "", element.tag)
        if name in ("Image", "Entry"):
            held = {re.sub("{.*}", "", child.tag): child for child in element}
            number = element.get("ChannelID") or _text(held.get("ChannelID"))
            if number and _text(held.get("ChannelName")):
                channels[number] = _text(held["ChannelName"])
            resolution = held.get("ImageResolutionX")
            if size is None and resolution is not None:
                size = to_um(_text(resolution), resolution.get("Unit", "m"))
            if name == "Image":
                element.clear()  # a plate has a hundred thousand of them
    return HarmonyIndex(channels, size)


def _text(element: ElementTree.Element | None) -> str:
    return (element.text or "").strip() if element is not None else ""
