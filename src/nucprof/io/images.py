"""Microscope images, read as ``(C, H, W)``; images and labels, written as TIFF.

Stored values are read as they are: samples are channels; palettes and RGB colours are ignored.
Readers are chosen by the first bytes of a file, not by its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nucprof.core.illumination import correct
from nucprof.core.labels import smallest_labels
from nucprof.core.projection import project
from nucprof.core.resample import resample
from nucprof.errors import DataError, FieldError
from nucprof.io.damage import reading, refuse_too_large
from nucprof.io.files import atomic
from nucprof.io.formats import foreign
from nucprof.io.formats.base import ImageInfo, Position, Reader
from nucprof.io.formats.imagej import IMAGEJ_TYPES, imagej_metadata, resolution
from nucprof.io.formats.nikon import Nd2Reader
from nucprof.io.formats.ome import ome_metadata
from nucprof.io.formats.png import PngReader
from nucprof.io.formats.tiff import TiffReader
from nucprof.io.illumination import read_illumination
from nucprof.plate.sources import Projection, Source
from nucprof.plate.words import several

__all__ = [
    "IMAGE_SUFFIXES",
    "ImageInfo",
    "Position",
    "describe",
    "read_channels",
    "read_image",
    "read_labels",
    "stem_of",
    "write_image",
    "write_labels",
]

IMAGE_SUFFIXES = (".nd2", ".tif", ".tiff", ".btf", ".tf8", ".png", *foreign.SUFFIXES)

_TIFF, _ND2 = TiffReader(), Nd2Reader()
_MAGIC: tuple[tuple[bytes, Reader], ...] = (
    (b"II*\0", _TIFF),
    (b"MM\0*", _TIFF),
    (b"II+\0", _TIFF),
    (b"MM\0+", _TIFF),
    (b"\xda\xce\xbe\x0a", _ND2),
    (b"\0\0\0\x0cjP", _ND2),
    (b"\x89PNG", PngReader()),
)

_LARGEST = float(np.finfo(np.float32).max)
"""Most computations are done in this type."""

_COMPLETE = "Is the file complete?"


def stem_of(path: Path) -> str:
    """A file's name without its suffix; ``.ome.tif`` is one suffix."""
    return path.stem[:-4] if path.stem.lower().endswith(".ome") else path.stem


def describe(path: Path) -> ImageInfo:
    """Read the header of a file, without pixels; raises :class:`FieldError`."""
    reader = _reader(path)
    with reading(path, FieldError, _COMPLETE):
        info = reader.info(path)
        if not info.part_of:
            if 0 in (info.planes, info.height, info.width):
                raise FieldError(f"{path} holds no pixels, by its header. {_COMPLETE}")
            needed = info.planes * info.height * info.width * np.dtype(info.dtype).itemsize
            shape = f"images of {info.planes} x {info.height} x {info.width} {info.dtype}"
            refuse_too_large(path, needed, shape, FieldError)
    return info


def read_image(
    path: Path, position: int = 0, time: int | None = None, projection: Projection | None = None
) -> np.ndarray:
    """Read one image of a file as a ``(C, H, W)`` array of its own dtype.

    Parameters
    ----------
    path : Path
        The file.
    position : int
        The field of view, from 0.
    time : int, optional
        The time point, from 0; needed if there are several.
    projection : str or int, optional
        ``max``, ``mean``, ``best_focus`` or the number of a focal plane, counted from 1; needed
        where there are several.

    Raises
    ------
    FieldError
        The file cannot be read, lacks the requested image, has several times or focal planes of
        which none was chosen, or holds values that are not finite.
    """
    info, reader = describe(path), _reader(path)
    _check_choice(path, info, position, time, projection)
    z = [projection - 1] if isinstance(projection, int) and info.z > 1 else range(info.z)
    with reading(path, FieldError, _COMPLETE):
        planes = reader.planes(path, position, time or 0, z)
        image = next(planes) if len(z) == 1 else project(planes, str(projection))
    if image.dtype.kind not in "uif":
        raise FieldError(f"{path} holds pixels of type {image.dtype}; expected grey values.")
    if image.dtype.kind == "f":
        _refuse_infinite(path, image)
    if image.dtype.byteorder == ">":
        image = image.astype(image.dtype.newbyteorder("="))
    return image


def _refuse_infinite(path: Path, image: np.ndarray) -> None:
    usable = np.abs(image) <= _LARGEST  # False for NaN
    if not usable.all():
        raise FieldError(
            f"{path} holds {several(int((~usable).sum()), 'pixel')} without a finite value (NaN, "
            f"infinite or above {_LARGEST:.0e}). Replace them in the image, or leave the field out "
            "(project.exclude)."
        )


def _check_choice(
    path: Path, info: ImageInfo, position: int, time: int | None, projection: Projection | None
) -> None:
    if info.part_of:
        raise FieldError(f"{path} is a part of {info.part_of}; read that file.")
    for what, count, missing, key in (
        ("time points (T)", info.times, time is None, "rename.time"),
        ("focal planes (Z)", info.z, projection is None, "rename.projection"),
    ):
        if count > 1 and missing:
            raise FieldError(f"{path} holds {count} {what}: choose with {key}.")
    for what, count, index in (
        ("positions", len(info.positions), position),
        ("time points", info.times, time or 0),
        ("focal planes", info.z, projection - 1 if isinstance(projection, int) else 0),
    ):
        if count > 1 and index >= count:
            raise FieldError(
                f"{path} holds {count} {what}, number {index + 1} was asked for; "
                "run 'nucprof rename' again to list the files."
            )


def read_channels(sources: Sequence[Source]) -> np.ndarray:
    """Read channels into one ``(C, H, W)`` array.

    Every file is read once and closed. Channels that differ in size are a :class:`FieldError`.
    """
    places = {source: _place(source) for source in sources}
    images = {place: _read_place(place) for place in dict.fromkeys(places.values())}
    sizes = {image.shape[1:] for image in images.values()}
    if len(sizes) > 1:
        names = ", ".join(sorted(str(place.path) for place in images))
        raise FieldError(f"The channels differ in size: {sorted(sizes)} in {names}.")
    for source in sources:
        held = len(images[places[source]])
        if source.plane >= held:
            raise FieldError(
                f"{source.path} holds {held} planes, plane {source.plane + 1} was asked for; "
                "run 'nucprof rename' again to list the files."
            )
    if any(source.illumination or source.zoom != 1 for source in sources):
        return np.stack([_adjusted(images[_place(s)][s.plane], s) for s in sources])
    if len(images) == 1:
        image = next(iter(images.values()))
        planes = [source.plane for source in sources]
        return image if planes == list(range(len(image))) else image[planes]
    return np.stack([images[places[source]][source.plane] for source in sources])


def _place(source: Source) -> Source:
    """The source without its channel: sources with an equal key are read together."""
    return replace(source, plane=0, illumination=None)


def _read_place(place: Source) -> np.ndarray:
    if len(place.stack) < 2:
        return read_image(place.path, place.position, place.time, place.projection)
    planes = (read_image(path, place.position, place.time) for path in place.stack)
    return project(_of_one_size(planes, place), str(place.projection))


def _adjusted(plane: np.ndarray, source: Source) -> np.ndarray:
    """A plane with even illumination, at the pixel size of Cell Painting."""
    if source.illumination is not None:
        try:
            plane = correct(plane, read_illumination(source.illumination))
        except DataError as error:
            raise FieldError(f"{source.path}: {error}.") from None
    return plane if source.zoom == 1 else resample(plane[None], source.zoom)[0]


def _of_one_size(planes: Iterator[np.ndarray], place: Source) -> Iterator[np.ndarray]:
    shape = None
    for path, plane in zip(place.stack, planes, strict=True):
        if shape not in (None, plane.shape):
            raise FieldError(f"{path} is {plane.shape}, the focal plane before it {shape}.")
        shape = plane.shape
        yield plane


def _reader(path: Path) -> Reader:
    if not path.exists():
        raise FieldError(
            f"{path} does not exist any more; run 'nucprof rename' again to list the files."
        )
    with reading(path, FieldError, _COMPLETE), path.open("rb") as file:
        head = file.read(8)
    for magic, reader in _MAGIC:
        if head.startswith(magic) and path.suffix.lower() not in foreign.SUFFIXES:
            return reader
    if path.suffix.lower() in foreign.SUFFIXES:
        return foreign.BioioReader()
    raise FieldError(f"{path} is neither TIFF, .nd2 nor PNG (first bytes {head!r}).")


def write_image(
    path: Path,
    image: np.ndarray,
    channels: Sequence[str] = (),
    pixel_size_um: float | None = None,
) -> None:
    """Write a ``(C, H, W)`` or ``(H, W)`` image as a TIFF, atomically.

    Names and colours of the channels and the scale are stored as ImageJ metadata, or as OME
    metadata for pixel types that ImageJ's format lacks.
    """
    import tifffile

    axes = "CYX"[-image.ndim :]
    metadata = imagej_metadata if image.dtype.name in IMAGEJ_TYPES else ome_metadata
    how = metadata(axes, channels, pixel_size_um)
    with atomic(path) as temporary:
        tifffile.imwrite(temporary, image, photometric="minisblack", **how)


def write_labels(path: Path, labels: np.ndarray, pixel_size_um: float | None = None) -> None:
    """Write a label image ``(H, W)``: uint16, or uint32 where a label needs it, as plain TIFF.

    The pixel size goes into the resolution tags, which every program reads, in pixels per cm.

    Raises :class:`FieldError` for anything that is not a label image.
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
            **resolution(pixel_size_um, "CENTIMETER"),
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
        raise FieldError(f"{path} holds fractions; a label image must have whole numbers.")
    if labels.min(initial=0) < 0:
        raise FieldError(f"{path} holds negative labels; labels are 1 or above, 0 is background.")
    if labels.max(initial=0) > np.iinfo(np.uint32).max:
        raise FieldError(f"{path} holds labels above {np.iinfo(np.uint32).max}; renumber them.")
    return labels if labels.dtype.kind == "u" else labels.astype(np.uint32)
