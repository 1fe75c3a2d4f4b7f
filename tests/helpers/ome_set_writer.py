"""Writes sets of OME-TIFF files as Bio-Formats does: one description, several files."""

from __future__ import annotations

import numpy as np
import tifffile

SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
UUIDS = "urn:uuid:00000000-0000-0000-0000-00000000{:04d}".format


def write_set(folder, names, places, pixels, *, names_of_channels, um=None, master=None):
    """Write the files; the XML lies in every file, or in ``master`` alone.

    ``places``: (image, channel) -> (number of the file, page). ``pixels``: (image, channel) ->
    plane.
    """
    head = f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{SCHEMA}" UUID="{{}}">'
    body = "".join(
        _image(number, names, places, pixels, names_of_channels, um)
        for number in sorted({image for image, _ in places})
    )
    only = f'<BinaryOnly MetadataFile="{master}" UUID="{UUIDS(9999)}"/>'
    for number, name in enumerate(names):
        held = sorted((page, key) for key, (file, page) in places.items() if file == number)
        xml = head.format(UUIDS(number)) + (only if master else body) + "</OME>"
        tifffile.imwrite(
            folder / name, np.stack([pixels[key] for _, key in held]), photometric="minisblack",
            metadata=None, description=xml.encode(),
        )  # fmt: skip
    if master:
        (folder / master).write_text(head.format(UUIDS(9999)) + body + "</OME>", encoding="utf-8")


def _image(number, names, places, pixels, channels, um):
    height, width = next(iter(pixels.values())).shape
    size = f'PhysicalSizeX="{um}" PhysicalSizeXUnit="µm" ' if um else ""
    text = (
        f'<Image ID="Image:{number}" Name="pos {number}"><Pixels ID="Pixels:{number}" {size}'
        f'DimensionOrder="XYCZT" Type="uint16" SizeX="{width}" SizeY="{height}" '
        f'SizeC="{len(channels)}" SizeZ="1" SizeT="1">'
    )
    for c, name in enumerate(channels):
        text += f'<Channel ID="Channel:{number}:{c}" Name="{name}" SamplesPerPixel="1"/>'
    for (image, c), (file, page) in places.items():
        if image == number:
            text += f'<TiffData FirstC="{c}" IFD="{page}" PlaneCount="1">'
            text += f'<UUID FileName="{names[file]}">{UUIDS(file)}</UUID></TiffData>'
    return text + "</Pixels></Image>"
