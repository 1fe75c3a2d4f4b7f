"""Writes .czi files with named scenes, as ZEN does for a plate."""

from __future__ import annotations

import struct

from pylibCZIrw import czi

_METADATA_POSITION = 92  # in the file's header
_ID_AND_SIZES = struct.Struct("<16sqq")
_START = 256  # of the XML, after its own two lengths


def write_czi(path, data, *, channels, um, scenes, listed=True):
    """Write ``data`` (S, Z, C, Y, X) with its scenes side by side.

    ``listed``: whether the metadata name the scenes, which the writer itself does not do.
    """
    with czi.create_czi(str(path)) as file:
        for s, stack in enumerate(data):
            for z, planes in enumerate(stack):
                for c, plane in enumerate(planes):
                    place = {"T": 0, "Z": z, "C": c}
                    file.write(plane[..., None], (s * (plane.shape[1] + 9), 0), place, scene=s)
        file.write_metadata("plate", dict(enumerate(channels)), scale_x=um / 1e6, scale_y=um / 1e6)
    if listed:
        _name_scenes(path, scenes)


def _name_scenes(path, scenes):
    """Append metadata with the scenes (``position-well``) and point the header to them."""
    with czi.open_czi(str(path)) as file:
        xml = file.raw_metadata
    text = ""
    for number, name in enumerate(scenes):
        position, _, well = name.rpartition("-")
        text += f'<Scene Index="{number}" Name="{position or well}">'
        text += f'<Shape Name="{well}"/></Scene>' if position else "</Scene>"
    xml = xml.replace("<Dimensions>", f"<Dimensions><S><Scenes>{text}</Scenes></S>")
    content = xml.encode()
    body = struct.pack("<ii", len(content), 0).ljust(_START, b"\0") + content
    body = body.ljust(-(-len(body) // 32) * 32, b"\0")
    data = path.read_bytes()
    data += b"\0" * (-len(data) % 32)
    segment = _ID_AND_SIZES.pack(b"ZISRAWMETADATA", len(body), len(body)) + body
    header = bytearray(data)
    struct.pack_into("<q", header, _METADATA_POSITION, len(data))
    path.write_bytes(bytes(header) + segment)
