"""Pictures for people: PNG files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nucprof.io.files import atomic

if TYPE_CHECKING:
    from PIL.Image import Image


def read_picture(path: Path) -> Image:
    """Read a picture that nucprof wrote, whole, so that its file is closed."""
    from PIL import Image as images

    with images.open(path) as picture:
        picture.load()
        return picture


def write_picture(path: Path, picture: Image) -> None:
    """Write a picture as PNG, atomically."""
    with atomic(path) as temporary:
        # The strongest compression takes five times as long for a fifth less.
        picture.save(temporary, format="png", compress_level=1)
