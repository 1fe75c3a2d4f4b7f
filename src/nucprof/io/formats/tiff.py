"""TIFF: plain, BigTIFF, tiled, compressed, ImageJ, OME (one file or a set), MetaMorph."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from nucprof.errors import FieldError
from nucprof.io.formats.axes import Axes
from nucprof.io.formats.base import POSITION_AXES, ImageInfo, Position, complete_names
from nucprof.io.formats.ome import OmeSet, read_ome
from nucprof.io.formats.ome_set import TiffImages, images_of_set
from nucprof.io.formats.tiff_tags import labels, pixel_size_um, refuse_cut

# Its complaints about broken files reach the user as our errors, and not twice.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


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
                dtype=first.dtype,
                names=complete_names(tiff.names, first.axes.channels),
                pixel_size_um=tiff.pixel_size_um,
                z=first.axes.length("Z"),
                times=first.axes.length("T"),
                positions=tuple(
                    image.position if several == 1 else Position(f"{image.position.name} {n + 1}")
                    for image in tiff.images
                    for several in (image.axes.length(POSITION_AXES),)
                    for n in range(several)
                ),
            )

    def planes(
        self, path: Path, position: int, time: int, z: Sequence[int]
    ) -> Iterator[np.ndarray]:
        """Read focal planes ``(C, H, W)`` of a position and time point, one after the other."""
        with _open(path) as tiff:
            image = tiff.images[0]
            for image in tiff.images:
                several = image.axes.length(POSITION_AXES)
                if position < several:
                    break
                position -= several
            for plane in z:
                yield image.read(position, time, plane)


@dataclass(frozen=True)
class _Series:
    """A series that tifffile finds in a file."""

    series: Any
    axes: Axes
    position: Position

    @property
    def dtype(self) -> str:
        """Type of the pixels."""
        return str(self.series.dtype)

    def read(self, position: int, time: int, z: int) -> np.ndarray:
        """Read one focal plane, page by page where pages are planes."""
        series, shape, index = self.series, self.axes.shape, self.axes.index(position, time, z)
        inside = len(series.keyframe.shape)
        lead = shape[: len(shape) - inside]
        paged = shape[len(lead) :] == series.keyframe.shape and len(series.pages) == prod(lead)
        whole = all(isinstance(i, slice) or n == 1 for i, n in zip(index, shape, strict=True))
        if whole or not paged:
            return self.axes.channels_first(series.asarray()[index])
        ranges = [
            range(n) if isinstance(i, slice) else (i,) for i, n in zip(index, lead, strict=False)
        ]
        pages = [
            series.pages[int(np.ravel_multi_index(at, lead)) if lead else 0].asarray()
            for at in product(*ranges)
        ]
        kept = [len(r) for r, i in zip(ranges, index, strict=False) if isinstance(i, slice)]
        return self.axes.channels_first(np.reshape(pages, (*kept, *series.keyframe.shape)))


@contextmanager
def _open(path: Path) -> Iterator[TiffImages]:
    import tifffile

    with tifffile.TiffFile(path, _multifile=False, is_mmstack=False) as file:
        refuse_cut(file, path)
        ome = read_ome(file.ome_metadata) if file.is_ome else OmeSet()
        if ome.master or len(ome.files) > 1:
            yield images_of_set(file, path, ome)
            return
        series = file.series
        if ome.images and len(series) != len(ome.images):
            raise FieldError(
                f"{path} holds {len(series)} images, its OME-XML lists {len(ome.images)}. Is the "
                "file complete? Export it again."
            )
        if len(series) != 1 and not ome.images:
            raise FieldError(
                f"{path} holds {len(series)} separate images that nothing names; export one "
                "image per file, or an OME-TIFF."
            )
        if any(page is None for one in series for page in one.pages):
            raise FieldError(  # tifffile would read them as zeros
                f"{path} holds fewer planes than its OME-XML says. Is the file complete?"
            )
        positions = [image.position for image in ome.images] or [Position()]
        images = [
            _Series(one, Axes.of(one.axes, one.shape, path), position)
            for one, position in zip(series, positions, strict=True)
        ]
        if ome.images:
            yield TiffImages(images, ome.images[0].names, ome.images[0].pixel_size_um)
        else:
            yield TiffImages(images, labels(file, images[0].axes.channels), pixel_size_um(file))
