"""PNG: lossless, one or several samples per pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nucprof.errors import FieldError
from nucprof.io.formats.base import ImageInfo

_TYPES = {"L": "uint8", "I;16": "uint16", "I": "uint16", "RGB": "uint8", "RGBA": "uint8"}
_PLANES = {"RGB": 3, "RGBA": 3}  # transparency is no channel


class PngReader:
    """Reads PNG files with Pillow."""

    def info(self, path: Path) -> ImageInfo:
        """Read what a file holds."""
        with _open(path) as image:
            planes = _PLANES.get(image.mode, 1)
            return ImageInfo(planes, image.height, image.width, dtype=_TYPES[image.mode])

    def planes(
        self, path: Path, position: int, time: int, z: Sequence[int]
    ) -> Iterator[np.ndarray]:
        """Read the image ``(C, H, W)``."""
        with _open(path) as image:
            pixels = np.atleast_3d(np.asarray(image))[..., : _PLANES.get(image.mode, 1)]
            yield np.moveaxis(pixels, -1, 0).astype(_TYPES[image.mode])


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    from PIL import Image

    with Image.open(path) as image:
        if image.mode not in _TYPES:
            raise FieldError(
                f"{path} is a PNG of mode {image.mode}, whose values are no intensities. Save it "
                "in grey levels of 8 or 16 bits."
            )
        yield image
