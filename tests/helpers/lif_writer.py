"""Writes small .lif files (Leica LAS): one XML header, then the pixels of every image."""

from __future__ import annotations

import struct


def write_lif(path, images, *, channels, um):
    """Write ``images``: name -> (Z, C, Y, X) uint16."""
    blocks = [(f"MemBlock_{n}", image.tobytes()) for n, image in enumerate(images.values())]
    held = zip(images.items(), blocks, strict=True)
    elements = "".join(
        _element(name, image, block, channels, um) for (name, image), (block, _) in held
    )
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="plate" Visibility="1" CopyOption="1" '
        'UniqueID="0"><Data><Experiment Path="plate.lif"/></Data><Memory Size="0" '
        f'MemoryBlockID="MemBlock_root"/><Children>{elements}</Children></Element>'
        "</LMSDataContainerHeader>"
    )
    header = struct.pack("<BI", 0x2A, len(xml)) + xml.encode("utf-16-le")
    with path.open("wb") as file:
        file.write(struct.pack("<II", 0x70, len(header)) + header)
        for name, data in blocks:
            text = struct.pack("<BQBI", 0x2A, len(data), 0x2A, len(name)) + name.encode("utf-16-le")
            file.write(struct.pack("<II", 0x70, len(text)) + text + data)


def _element(name, image, block, channels, um):
    planes, count, height, width = image.shape
    line, plane = 2 * width, 2 * width * height
    described = "".join(
        f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" NameOfMeasuredQuantity=""'
        f' Min="0" Max="65535" Unit="" LUTName="{channel}" IsLUTInverted="0" '
        f'BytesInc="{c * plane}" BitInc="0"/>'
        for c, channel in enumerate(channels)
    )
    sides = (
        (1, width, 2, um * 1e-6 * (width - 1)), (2, height, line, um * 1e-6 * (height - 1)),
        (3, planes, count * plane, 1e-6),
    )  # fmt: skip
    dimensions = "".join(
        f'<DimensionDescription DimID="{axis}" NumberOfElements="{n}" Origin="0" '
        f'Length="{length}" Unit="m" BitInc="0" BytesInc="{step}"/>'
        for axis, n, step, length in sides
    )
    return (
        f'<Element Name="{name}" Visibility="1" CopyOption="1" UniqueID="{block}"><Data><Image>'
        f"<ImageDescription><Channels>{described}</Channels><Dimensions>{dimensions}</Dimensions>"
        f'</ImageDescription></Image></Data><Memory Size="{image.nbytes}" '
        f'MemoryBlockID="{block}"/></Element>'
    )
