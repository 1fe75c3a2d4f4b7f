"""How much disk space images and tables take, estimated from headers.

A header that cannot be read counts nothing here: its field fails later, and says why.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from nucprof.errors import FieldError
from nucprof.plate.sources import Source

if TYPE_CHECKING:
    from nucprof.io.images import ImageInfo

TABLE_BYTES_PER_CELL = 3000
"""Of the features of one round, measured."""
MASK_BYTES_PER_PIXEL = 0.1


def pixels(source: Source) -> float:
    """Pixels of a channel as it is read."""
    info = _header(source.path)
    return info.height * info.width * source.zoom**2 if info else 0.0


def pixel_bytes(source: Source) -> int:
    """Bytes of one pixel."""
    import numpy as np

    info = _header(source.path)
    return np.dtype(info.dtype).itemsize if info else 0


def image_bytes(sources: Iterable[Source]) -> float:
    """Bytes of uncompressed channels."""
    return sum(pixels(source) * pixel_bytes(source) for source in sources)


def _header(path: Path) -> ImageInfo | None:
    from nucprof.io.images import describe

    try:
        return describe(path)
    except FieldError:
        return None
