"""Pictures for people: PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nucprof.io.files import atomic


def write_picture(path: Path, rgb: np.ndarray) -> None:
    """Write an ``(H, W, 3)`` uint8 picture as PNG, atomically."""
    from matplotlib.image import imsave

    with atomic(path) as temporary:
        # The strongest compression takes five times as long for a fifth less.
        imsave(temporary, rgb, format="png", pil_kwargs={"compress_level": 1})
