"""OME-TIFF sets: images whose planes lie in several files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nucprof.errors import FieldError
from nucprof.io.formats.axes import Axes
from nucprof.io.formats.base import Position
from nucprof.io.formats.ome import OmeImage, OmeSet, read_ome
from nucprof.io.formats.tiff_tags import refuse_cut


class TiffImage(Protocol):
    """One image of a file: an array with axes."""

    @property
    def axes(self) -> Axes:
        """Its axes and their lengths."""
        ...

    @property
    def dtype(self) -> str:
        """Type of the pixels."""
        ...

    @property
    def position(self) -> Position:
        """The field of view."""
        ...

    def read(self, position: int, time: int, z: int) -> np.ndarray:
        """Read one focal plane ``(C, H, W)``."""
        ...


@dataclass(frozen=True)
class TiffImages:
    """An open TIFF file: its images, or the name of the file it is a part of."""

    images: Sequence[TiffImage] = ()
    names: Sequence[str] = ()
    pixel_size_um: float | None = None
    part_of: str = ""


@dataclass(frozen=True)
class SetImage:
    """An image of an OME-TIFF set, whose planes are pages of one or several files.

    ``files``: by UUID. ``described_in``: the file with the OME-XML, unless every file has it.
    """

    image: OmeImage
    files: Mapping[str, Path]
    dtype: str
    described_in: str = ""

    @property
    def position(self) -> Position:
        """The field of view, with the files that belong to it."""
        own = self.image.pages[0, 0, 0][0]
        others = {self.files[u].name for u, _ in self.image.pages.values() if u != own}
        others |= {self.described_in} - {""}
        return replace(self.image.position, parts=tuple(sorted(others)))

    @property
    def axes(self) -> Axes:
        """All axes, those of length 1 too."""
        return Axes("TZCYX", tuple(self.image.lengths[axis] for axis in "TZCYX"))

    def read(self, position: int, time: int, z: int) -> np.ndarray:
        """Read one focal plane; every file is opened once for its pages."""
        import tifffile

        channels = self.image.lengths["C"] // self.image.samples
        pages = [self.image.pages[time, z, c] for c in range(channels)]
        found: dict[int, np.ndarray] = {}
        for file in dict.fromkeys(file for file, _ in pages):
            with tifffile.TiffFile(self.files[file], _multifile=False) as tiff:
                refuse_cut(tiff, self.files[file])
                for c, (holder, page) in enumerate(pages):
                    if holder == file:
                        data = tiff.pages[page].asarray()
                        found[c] = np.moveaxis(data, -1, 0) if data.shape[2:] else data[None]
        return np.concatenate([found[c] for c in range(channels)])


def images_of_set(file: Any, path: Path, ome: OmeSet) -> TiffImages:
    """The images of a set whose first plane lies in this file.

    Every file of a set describes the whole set: an image is read through its first file, once.
    """
    own, described_in = ome.uuid, ome.master
    if ome.master:
        master = path.parent / ome.master
        if not master.is_file():
            raise FieldError(
                f"{path} is a part of an OME-TIFF set: the file {ome.master} that describes it is "
                "not in its folder. Copy the whole set into one folder."
            )
        ome = _read_master(master)
    # a renamed file keeps its UUID
    files = {uuid: path.parent / name for uuid, name in ome.files.items()} | {own: path}
    mine = [image for image in ome.images if _holder(image, files) == path]
    for image in mine:
        _refuse_missing(path, image, files)
    if mine:
        dtype = str(file.pages[0].dtype)
        images = [SetImage(image, files, dtype, described_in) for image in mine]
        return TiffImages(images, mine[0].names, mine[0].pixel_size_um)
    for image in ome.images:
        if any(files.get(uuid) == path for uuid, _ in image.pages.values()):
            _refuse_missing(path, image, files)
            holder = _holder(image, files)
            return TiffImages(part_of=holder.name if holder else "")
    raise FieldError(f"{path} is a part of an OME-TIFF set whose OME-XML does not list it.")


def _read_master(path: Path) -> OmeSet:
    import tifffile

    if path.suffix.lower() not in (".tif", ".tiff", ".btf", ".tf8"):
        return read_ome(path.read_text(encoding="utf-8"))
    with tifffile.TiffFile(path, _multifile=False) as file:
        return read_ome(file.ome_metadata or "")


def _holder(image: OmeImage, files: Mapping[str, Path]) -> Path | None:
    first = image.pages.get((0, 0, 0))
    return files.get(first[0]) if first else None


def _refuse_missing(path: Path, image: OmeImage, files: Mapping[str, Path]) -> None:
    needed = dict.fromkeys(uuid for uuid, _ in image.pages.values())
    gone = [
        files[u].name if u in files else u
        for u in needed
        if u not in files or not files[u].is_file()
    ]
    if gone:
        raise FieldError(
            f"{path} is a part of an OME-TIFF set that is not complete: {', '.join(gone[:3])}"
            f"{' ...' if len(gone) > 3 else ''} are missing. Copy the whole set into one folder."
        )
    lengths = image.lengths
    if len(image.pages) < lengths["T"] * lengths["Z"] * lengths["C"] // image.samples:
        raise FieldError(
            f"{path}: the OME-XML of its set lists {len(image.pages)} planes, but an image of "
            f"T {lengths['T']}, Z {lengths['Z']}, C {lengths['C']}. Export it again."
        )
