"""Other formats (.czi, .lif, ...) through bioio, where it is installed."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from nucprof.errors import FieldError
from nucprof.io.formats.base import ImageInfo, Position, complete_names, square

# What it cannot read is reported as our errors, so its log messages would repeat them.
logging.getLogger("bioio").addHandler(logging.NullHandler())

SUFFIXES = (".czi", ".lif", ".ims", ".lsm", ".oib", ".oif", ".oir", ".sld", ".vsi", ".zvi", ".dv")
_SCENE_OF_PLATE = re.compile(r"P\d+-(?P<well>[A-Z]{1,2}\d{1,2})")
INSTALL = 'pip install "nucprof[formats]"'
_PLUGINS = {".czi": "bioio-czi", ".lif": "bioio-lif", ".dv": "bioio-dv", ".sld": "bioio-sldy"}
_OTHERS = "bioio-bioformats"  # it needs Java


def installed() -> bool:
    """Whether bioio is installed."""
    return util.find_spec("bioio") is not None


class BioioReader:
    """Reads formats of the installed bioio plugins: scenes are positions."""

    def info(self, path: Path) -> ImageInfo:
        """Read what a file holds; all scenes must have the first one's size."""
        image = _open(path)
        _refuse_unlisted_scenes(image, path)
        sizes = {name: _dims(image, name) for name in image.scenes}
        first = sizes[image.scenes[0]]
        strange = [name for name, size in sizes.items() if size != first]
        if strange:
            raise FieldError(
                f"{path}: scene {strange[0]} is {sizes[strange[0]]} (T, C, Z, Y, X), the first one "
                f"is {first}. Export one file per field."
            )
        image.set_scene(image.scenes[0])
        times, channels, z, height, width = first
        return ImageInfo(
            channels,
            height,
            width,
            dtype=str(image.dtype),
            names=complete_names(image.channel_names or (), channels),
            pixel_size_um=square(image.physical_pixel_sizes.X, image.physical_pixel_sizes.Y),
            z=z,
            times=times,
            positions=tuple(_position(str(name)) for name in image.scenes),
        )

    def planes(
        self, path: Path, position: int, time: int, z: Sequence[int]
    ) -> Iterator[np.ndarray]:
        """Read focal planes ``(C, H, W)`` of a scene and time point, one after the other."""
        image = _open(path)
        image.set_scene(image.scenes[position])
        for plane in z:
            yield np.asarray(image.get_image_data("CYX", T=time, Z=plane))


def _open(path: Path) -> Any:
    if not installed():
        raise FieldError(f"{path}: this format is read through bioio; install it: {INSTALL}")
    from bioio import BioImage
    from bioio_base.exceptions import UnsupportedFileFormatError

    plugin = _PLUGINS.get(path.suffix.lower(), _OTHERS)
    if util.find_spec(plugin.replace("-", "_")) is None:
        raise FieldError(
            f"{path}: bioio reads this format with {plugin}; install it: pip install {plugin}. Or "
            "export OME-TIFF."
        )
    try:
        return BioImage(path)
    except UnsupportedFileFormatError:
        raise FieldError(f"{path}: {plugin} cannot read it. Is the file complete?") from None


def _position(name: str) -> Position:
    """A scene: ZEN names those of a plate by position and well, e.g. ``P1-B2``."""
    zen = _SCENE_OF_PLATE.fullmatch(name)
    return Position(name, zen["well"] if zen else "")


def _refuse_unlisted_scenes(image: Any, path: Path) -> None:
    """Refuse scenes that would be lost: bioio reads one scene of a .czi file
    whose metadata do not list its scenes.
    """
    if path.suffix.lower() != ".czi":
        return
    count = int(image.metadata.findtext("./Metadata/Information/Image/SizeS") or 1)
    if count > len(image.scenes):
        raise FieldError(
            f"{path} holds {count} scenes, but its metadata name {len(image.scenes)}; the others "
            "cannot be read. Export one file per scene, or an OME-TIFF."
        )


def _dims(image: Any, scene: str) -> tuple[int, ...]:
    image.set_scene(scene)
    return tuple(getattr(image.dims, axis) for axis in "TCZYX")
