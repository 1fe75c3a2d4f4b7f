"""TIFF: plain, BigTIFF, tiled, compressed, ImageJ, OME (one file or a set), MetaMorph."""

from __future__ import annotations

import logging
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from nucprof.errors import FieldError
from nucprof.io.formats.axes import Axes
from nucprof.io.formats.base import POSITION_AXES, ImageInfo, Position, complete_names
from nucprof.io.formats.ome import OmeImage, OmeSet, read_ome, to_um

# Its complaints about broken files reach the user as our errors, and not twice.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_FIJI_LABEL = re.compile(r"^(?:[czt]:\d+/\d+ ?)+(?:- )?")
_METAMORPH = re.compile(r'<prop id="([\w-]+)" type="[\w-]+" value="([^"]*)"')


class TiffReader:
    """Reads TIFF files with tifffile."""

    def info(self, path: Path) -> ImageInfo:
        """Read what a file holds."""
        with _open(path) as tiff:
            if tiff.part_of:
                return ImageInfo(0, 0, 0, "", positions=(), part_of=tiff.part_of)
            first = tiff.images[0]
            return ImageInfo(
                first.axes.channels,
                *first.axes.size,
                dtype=str(first.series.dtype),
                names=tiff.names,
                pixel_size_um=tiff.pixel_size_um,
                z=first.axes.length("Z"),
                times=first.axes.length("T"),
                positions=tuple(
                    Position(f"{image.position.name} {n + 1}") if many > 1 else image.position
                    for image in tiff.images
                    for many in (image.axes.length(POSITION_AXES),)
                    for n in range(many)
                ),
            )

    def planes(self, path: Path, position: int, time: int, z: Sequence[int]) -> Iterator[np.ndarray]:
        """Read focal planes ``(C, H, W)`` of a position and time point, one after the other."""
        with _open(path) as tiff:
            image = tiff.images[0]
            place = position
            for image in tiff.images:
                if place < image.axes.length(POSITION_AXES):
                    break
                place -= image.axes.length(POSITION_AXES)
            for plane in z:
                yield image.read(image.axes.index(place, time, plane))


@dataclass(frozen=True)
class _Image:
    """A series of a file, with its axes and what OME says of it."""

    series: Any
    axes: Axes
    position: Position

    def read(self, index: tuple[int | slice, ...]) -> np.ndarray:
        """Read the part of the series at an index, page by page where pages are planes."""
        series, shape = self.series, self.axes.shape
        inside = len(series.keyframe.shape)
        lead = shape[: len(shape) - inside]
        if shape[len(lead) :] != series.keyframe.shape or len(series.pages) != prod(lead):
            return self.axes.channels_first(series.asarray()[index])  # one block for many planes
        ranges = [range(n) if isinstance(i, slice) else (i,) for i, n in zip(index, lead, strict=False)]
        pages = [
            series.pages[int(np.ravel_multi_index(at, lead)) if lead else 0].asarray()
            for at in product(*ranges)
        ]
        kept = [len(r) for r, i in zip(ranges, index, strict=False) if isinstance(i, slice)]
        return self.axes.channels_first(np.reshape(pages, (*kept, *series.keyframe.shape)))


@dataclass(frozen=True)
class _Tiff:
    """An open TIFF file."""

    file: Any
    path: Path
    part_of: str
    images: tuple[_Image, ...]
    ome: tuple[OmeImage, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Channel names, from OME-XML or ImageJ's labels."""
        count = self.images[0].axes.channels
        if self.ome:
            return complete_names(self.ome[0].names, count)
        labels = (self.file.imagej_metadata or {}).get("Labels", []) if self.file.is_imagej else []
        return complete_names([_FIJI_LABEL.sub("", label) for label in labels[:count]], count)

    @property
    def pixel_size_um(self) -> float | None:
        """Side of a pixel in µm, from OME-XML, MetaMorph, ImageJ or the resolution tags."""
        if self.ome:
            return self.ome[0].pixel_size_um
        if self._metamorph.get("spatial-calibration-state", "").lower() == "on":
            unit = self._metamorph.get("spatial-calibration-units", "")
            return to_um(self._metamorph.get("spatial-calibration-x"), unit)
        return _resolution_um(self.file)

    @cached_property
    def _metamorph(self) -> dict[str, str]:
        text = self.file.pages[0].description
        return dict(_METAMORPH.findall(text)) if text.startswith("<MetaData>") else {}


@contextmanager
def _open(path: Path) -> Iterator[_Tiff]:
    import tifffile

    with tifffile.TiffFile(path) as file:
        _refuse_cut(file, path)
        ome = _ome(file)
        if ome.master:
            yield _Tiff(file, path, _existing_master(path, ome.master), (), ())
            return
        series = file.series
        if not ome.images or series[0].kind != "ome":
            if len(series) != 1:
                raise FieldError(
                    f"{path} holds {len(series)} separate images that nothing names; export one "
                    "image per file, or an OME-TIFF."
                )
            one = series[0]
            yield _Tiff(file, path, "", (_image(one, path, Position()),), ())
            return
        own, part_of = _own_images(file, path, ome)
        yield _Tiff(
            file,
            path,
            part_of,
            tuple(_image(s, path, image.position) for s, image in own),
            tuple(image for _, image in own),
        )


def _ome(file: Any) -> OmeSet:
    return read_ome(file.ome_metadata) if file.is_ome else OmeSet()


def _image(series: Any, path: Path, position: Position) -> _Image:
    return _Image(series, Axes.of(series.axes, series.shape, path), position)


def _existing_master(path: Path, name: str) -> str:
    if name and (path.parent / name).is_file():
        return name
    raise FieldError(
        f"{path} is a part of an OME-TIFF set: the file {name or 'with its OME-XML'} that describes "
        "it is not beside it. Copy the whole set into one folder."
    )


def _own_images(file: Any, path: Path, ome: OmeSet) -> tuple[list[tuple[Any, OmeImage]], str]:
    """Images whose first plane lies in this file; or the name of the file that has them.

    Every file of a set describes the whole set: an image is read through its first file, once.
    Planes that are missing raise :class:`FieldError`, as tifffile would read them as zeros.
    """
    own, elsewhere = [], ""
    if len(file.series) != len(ome.images):
        _refuse_missing(path, ome.images)
    for series, image in zip(file.series, ome.images, strict=False):
        pages = list(series.pages)
        first = pages[0]
        holder = Path(first.parent.filename).name if first is not None else ""
        if holder and holder != path.name:
            mine = any(p is not None and Path(p.parent.filename).name == path.name for p in pages)
            elsewhere = holder if mine else elsewhere
        elif None in pages:
            _refuse_missing(path, (image,))
        else:
            own.append((series, image))
    if not own and not elsewhere:
        _refuse_missing(path, ome.images)
    return own, "" if own else elsewhere


def _refuse_missing(path: Path, images: Sequence[OmeImage]) -> None:
    files = dict.fromkeys(name for image in images for name in image.files)
    gone = [name for name in files if not (path.parent / name).is_file()]
    if gone:
        raise FieldError(
            f"{path} is a part of an OME-TIFF set that is not complete: {', '.join(gone[:3])}"
            f"{' ...' if len(gone) > 3 else ''} not beside it. Copy the whole set into one folder."
        )
    raise FieldError(
        f"{path} holds fewer planes than its OME-XML says. Is the file complete? Export it again."
    )


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


def _resolution_um(file: Any) -> float | None:
    """Pixel size from ImageJ's or the baseline resolution tags, where they have a unit."""
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
    return float(size * per_unit) if per_unit else None
