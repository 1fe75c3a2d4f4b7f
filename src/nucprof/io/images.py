"""Microscope images: TIFF and Nikon .nd2, read as ``(C, H, W)``.

What is stored counts: samples of a pixel are channels, palettes and RGB meanings are ignored.
Readers are chosen by the file's first bytes, not by its name.
"""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nucprof.core.labels import smallest_labels
from nucprof.errors import FieldError
from nucprof.io.files import atomic
from nucprof.plate.sources import Source

# Its complaints about broken files reach the user as our errors, and not twice.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

IMAGE_SUFFIXES = (".nd2", ".tif", ".tiff")
_MOST_CHANNELS = 16  # a last axis no longer than this may be channels where nothing names the axes


@dataclass(frozen=True)
class ImageInfo:
    """What a file holds, read without its pixels."""

    planes: int
    height: int
    width: int
    dtype: str
    names: tuple[str, ...] = ()
    pixel_size_um: float | None = None


class _Reader(Protocol):
    def info(self, path: Path) -> ImageInfo: ...

    def read(self, path: Path) -> np.ndarray: ...


class _TiffReader:
    def info(self, path: Path) -> ImageInfo:
        import tifffile

        with tifffile.TiffFile(path) as file:
            series = _only_series(file, path)
            shape, _ = _channel_order(series.axes, series.shape, path)
            return ImageInfo(*shape, dtype=str(series.dtype), pixel_size_um=_tiff_pixel_size(file))

    def read(self, path: Path) -> np.ndarray:
        import tifffile

        with tifffile.TiffFile(path) as file:
            series = _only_series(file, path)
            shape, order = _channel_order(series.axes, series.shape, path)
            return np.transpose(series.asarray(), order).reshape(shape)


class _Nd2Reader:
    def info(self, path: Path) -> ImageInfo:
        import nd2

        with nd2.ND2File(path) as file:
            shape, _ = _channel_order("".join(file.sizes), tuple(file.sizes.values()), path)
            channels = getattr(file.metadata, "channels", None) or ()
            names = tuple(channel.channel.name for channel in channels)
            voxel = file.voxel_size()
            return ImageInfo(
                *shape,
                dtype=str(file.dtype),
                names=names if len(names) == shape[0] else (),
                pixel_size_um=float(voxel.x) if voxel.x else None,
            )

    def read(self, path: Path) -> np.ndarray:
        import nd2

        with nd2.ND2File(path) as file:
            shape, order = _channel_order("".join(file.sizes), tuple(file.sizes.values()), path)
            return np.transpose(file.asarray(), order).reshape(shape)


def _only_series(file: Any, path: Path) -> Any:
    _refuse_cut(file, path)
    if len(file.series) != 1:
        raise FieldError(
            f"{path} holds {len(file.series)} separate images; nucprof reads one field per file."
        )
    return file.series[0]


def _refuse_cut(file: Any, path: Path) -> None:
    """Raise where the chain of pages breaks off.

    tifffile stops there with a log message, and the planes before would pass as the whole image.
    """
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


def _channel_order(
    axes: str, shape: tuple[int, ...], path: Path
) -> tuple[tuple[int, int, int], list[int]]:
    """Find the transposition of a file's axes to channel, height, width; both as read and named."""
    if axes[-3:-2] in ("Q", "I") and shape[-1] <= _MOST_CHANNELS < shape[-3]:
        axes = axes[:-3] + "YXC"  # a channels-last array whose axes nothing names
    long = {axis: size for axis, size in zip(axes, shape, strict=True) if size > 1}
    stacked = {axis: n for axis, n in long.items() if axis not in "YXCSQI"}
    if stacked:
        listed = ", ".join(f"{axis} ({n})" for axis, n in stacked.items())
        raise FieldError(
            f"{path} has several planes along {listed} of its axes {axes}; nucprof reads one plane "
            "per channel. Export single planes or maximum projections."
        )
    if "Y" not in axes or "X" not in axes:
        raise FieldError(f"{path} has no image plane: its axes are {axes}.")
    channels = [i for i, axis in enumerate(axes) if axis not in "YX"]
    order = [*channels, axes.index("Y"), axes.index("X")]
    planes = int(np.prod([shape[i] for i in channels], dtype=int))
    return (planes, shape[axes.index("Y")], shape[axes.index("X")]), order


def _tiff_pixel_size(file: Any) -> float | None:
    """Pixel size in µm from ImageJ's or the baseline resolution tags, where they have a unit."""
    tags = file.pages[0].tags
    resolution = tags.get("XResolution")
    if resolution is None or not resolution.value[0]:
        return None
    pixels = resolution.value[0] / resolution.value[1]
    unit = (file.imagej_metadata or {}).get("unit", "") if file.is_imagej else ""
    if unit.replace("\\u00B5", "u").replace("µ", "u") in ("um", "micron"):
        return float(1 / pixels)
    per_um = {3: 1e4}.get(int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 0)
    return float(per_um / pixels) if per_um else None


_MAGIC: tuple[tuple[bytes, _Reader], ...] = (
    (b"II*\0", _TiffReader()),
    (b"MM\0*", _TiffReader()),
    (b"II+\0", _TiffReader()),
    (b"MM\0+", _TiffReader()),
    (b"\xda\xce\xbe\x0a", _Nd2Reader()),
    (b"\0\0\0\x0cjP", _Nd2Reader()),
)


def _reader(path: Path) -> _Reader:
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except FileNotFoundError:
        raise FieldError(f"{path} is gone; run 'nucprof rename' again to list the files.") from None
    for magic, reader in _MAGIC:
        if head.startswith(magic):
            return reader
    raise FieldError(f"{path} is neither a TIFF nor an .nd2 file (first bytes {head!r}).")


# What the two libraries raise on a cut or damaged file.
_BROKEN = (
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    EOFError,
    struct.error,
    zlib.error,
    RuntimeError,
    AttributeError,
)


def describe(path: Path) -> ImageInfo:
    """Read what a file holds, without its pixels; raises :class:`FieldError`."""
    reader = _reader(path)
    try:
        return reader.info(path)
    except _BROKEN as error:
        raise FieldError(f"{path} cannot be read: {error}. Is the file complete?") from error


def read_image(path: Path) -> np.ndarray:
    """Read a file as a ``(C, H, W)`` array of its own dtype; raises :class:`FieldError`."""
    reader = _reader(path)
    try:
        image = reader.read(path)
    except _BROKEN as error:
        raise FieldError(f"{path} cannot be read: {error}. Is the file complete?") from error
    if image.dtype.kind not in "uif":
        raise FieldError(f"{path} holds pixels of type {image.dtype}; expected grey values.")
    if image.dtype.byteorder == ">":
        image = image.astype(image.dtype.newbyteorder("="))
    return image


def read_channels(sources: Sequence[Source]) -> np.ndarray:
    """Read channels into one ``(C, H, W)`` array.

    Every file is opened once, read and closed.

    Raises
    ------
    FieldError
        Channels differ in size, or a file lacks a plane.
    """
    files = {path: read_image(path) for path in dict.fromkeys(s.path for s in sources)}
    sizes = {image.shape[1:] for image in files.values()}
    if len(sizes) > 1:
        names = ", ".join(sorted(map(str, files)))
        raise FieldError(f"The channels differ in size: {sorted(sizes)} in {names}.")
    for source in sources:
        if source.plane >= len(files[source.path]):
            raise FieldError(
                f"{source.path} holds {len(files[source.path])} planes, plane {source.plane + 1} "
                "was asked for; run 'nucprof rename' again to list the files."
            )
    if len(files) == 1:
        image = next(iter(files.values()))
        planes = [source.plane for source in sources]
        return image if planes == list(range(len(image))) else image[planes]
    return np.stack([files[source.path][source.plane] for source in sources])


def write_image(path: Path, image: np.ndarray, channels: Sequence[str] = ()) -> None:
    """Write a ``(C, H, W)`` or ``(H, W)`` image as a TIFF that Fiji opens, atomically."""
    import tifffile

    metadata: dict[str, Any] = {"axes": "CYX"[-image.ndim :]}
    if channels:
        metadata["Channel"] = {"Name": list(channels)}
    with atomic(path) as temporary:
        tifffile.imwrite(temporary, image, photometric="minisblack", metadata=metadata)


def write_labels(path: Path, labels: np.ndarray) -> None:
    """Write a label image ``(H, W)``: uint16, or uint32 where a label needs it, as plain TIFF.

    Raises :class:`FieldError` for what is no label image.
    """
    import tifffile

    stored = smallest_labels(labels)
    with atomic(path) as temporary:
        tifffile.imwrite(
            temporary,
            stored,
            photometric="minisblack",
            compression="zlib",
            compressionargs={"level": 1},
            metadata=None,
        )


def read_labels(path: Path) -> np.ndarray:
    """Read a label image as ``(H, W)``, in its unsigned integer dtype.

    Whole numbers stored as floating point or signed integers are labels too, and come as uint32.
    Raises :class:`FieldError` for anything else.
    """
    planes = read_image(path)
    if planes.shape[0] != 1:
        raise FieldError(f"{path} has {planes.shape[0]} planes; a label image has one.")
    labels: np.ndarray = planes[0]
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.floor(labels)):
        raise FieldError(f"{path} holds fractions; a label image holds whole numbers.")
    if labels.min(initial=0) < 0:
        raise FieldError(f"{path} holds negative labels; labels are 1 or above, 0 is background.")
    if labels.max(initial=0) > np.iinfo(np.uint32).max:
        raise FieldError(f"{path} holds labels above {np.iinfo(np.uint32).max}; renumber them.")
    return labels if labels.dtype.kind == "u" else labels.astype(np.uint32)
