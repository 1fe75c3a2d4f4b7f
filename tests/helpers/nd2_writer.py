"""Writes small .nd2 files that the nd2 library reads, as NIS-Elements 4 lays them out.

The metadata chunks are written as XML variants, the simpler of the two forms that the format has.
"""

from __future__ import annotations

import struct
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

_MAGIC = 0x0ABECEDA
_LOOPS = {"T": 1, "P": 2, "Z": 4}  # eType
_RUN_TYPES = {bool: "bool", int: "lx_int32", float: "double", str: "CLxStringW"}


def write_nd2(path, data, axes, *, names=(), pixel_size_um=None, positions=(), frames=None):
    """Write an array with axes such as ``PTZCYX`` (any of P, T, Z, in any order, then C, Y, X).

    ``frames``: how many frames were taken before the acquisition was stopped; default all.
    """
    lead = axes[: axes.index("C")]
    shape = dict(zip(axes, data.shape, strict=True))
    stacked = data.reshape(-1, *data.shape[len(lead) :])[:frames]
    names = names or [f"channel {i}" for i in range(shape["C"])]
    picture = {
        "dCalibration": float(pixel_size_um or -1.0),
        "bCalibrated": pixel_size_um is not None,
        "sPicturePlanes": {
            "uiCount": len(names),
            "sPlaneNew": {
                f"a{i}": {
                    "sDescription": n,
                    "uiCompCount": 1,
                    "pFluorescentProbe": {"m_uiCompCount": 0},
                    "pFilterPath": {},
                }
                for i, n in enumerate(names)
            },
        },
    }
    attributes = {
        "uiWidth": shape["X"], "uiWidthBytes": shape["X"] * shape["C"] * data.itemsize,
        "uiHeight": shape["Y"], "uiComp": shape["C"], "uiSequenceCount": len(stacked),
        "uiBpcInMemory": data.itemsize * 8, "uiBpcSignificant": data.itemsize * 8,
        "eCompression": 2,
    }  # fmt: skip
    chunks = {
        "ImageAttributesLV!": _xml("SLxImageAttributes", attributes),
        "ImageMetadataSeqLV|0!": _xml("SLxPictureMetadata", picture),
        "ImageTextInfoLV!": _xml("SLxImageTextInfo", {"TextInfoItem_0": "none"}),
    }
    if lead:
        loops = [(axis, shape[axis], positions) for axis in lead]
        chunks["ImageMetadataLV!"] = _xml("SLxExperiment", _experiment(loops))
    for number, frame in enumerate(stacked):
        pixels = np.moveaxis(frame, 0, -1).tobytes()  # samples of a pixel beside each other
        chunks[f"ImageDataSeq|{number}!"] = struct.pack("<d", float(number)) + pixels
    Path(path).write_bytes(_file(chunks))
    return path


def _experiment(loops):
    (axis, count, positions), *inner = loops
    parameters = {"uiCount": count}
    if axis == "P":
        points = [positions[i] if i < len(positions) else "" for i in range(count)]
        parameters["Points"] = {
            f"i{i:010}": {"dPosX": 1000.0 * i, "dPosY": 0.0, "dPosName": name}
            for i, name in enumerate(points)
        }
    elif axis == "Z":
        parameters |= {"dZStep": 0.5, "dZLow": 0.0, "dZHigh": 0.5 * (count - 1)}
    else:
        parameters |= {"dStart": 0.0, "dPeriod": 1000.0, "dDuration": 1000.0 * count}
    experiment = {"eType": _LOOPS[axis], "uLoopPars": parameters}
    if inner:
        experiment["ppNextLevelEx"] = {"i0000000000": _experiment(inner)}
    return experiment


def _xml(name, values):
    return f'<variant version="1.0">{_node(name, values)}</variant>'.encode()


def _node(name, value):
    if isinstance(value, dict):
        return f"<{name}>{''.join(_node(k, v) for k, v in value.items())}</{name}>"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"<{name} runtype={quoteattr(_RUN_TYPES[type(value)])} value={quoteattr(text)}/>"


def _file(chunks):
    data = _chunk(b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0".ljust(64, b"\0"), reserve=0)
    table = b""
    for name, content in chunks.items():
        table += name.encode() + struct.pack("<QQ", len(data), len(content))
        # pixels begin 24 + 4072 bytes after the chunk: 16 of header, name, 8 of time
        data += _chunk(name.encode(), content, reserve=4072)
    where = len(data)
    end = b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", where)
    return data + _chunk(b"ND2 FILEMAP SIGNATURE NAME 0001!", table + end, reserve=0)


def _chunk(name, content, reserve):
    name = name.ljust(reserve, b"\0")
    return struct.pack("<IIQ", _MAGIC, len(name), len(content)) + name + content
