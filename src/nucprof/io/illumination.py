"""Gain and floor of a channel, stored as an image that Fiji opens."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nucprof.core.illumination import Illumination
from nucprof.errors import FieldError
from nucprof.io.files import atomic
from nucprof.io.formats.imagej import imagej_metadata


def write_illumination(path: Path, illumination: Illumination) -> None:
    """Write gain and floor as the two channels ``(2, H, W) float32`` of a TIFF."""
    import tifffile

    planes = np.stack([illumination.gain, illumination.floor])
    with atomic(path) as temporary:
        tifffile.imwrite(temporary, planes, **imagej_metadata("CYX", ("gain", "floor"), None))


def read_illumination(path: Path) -> Illumination:
    """Read a file of :func:`write_illumination`; raises :class:`FieldError`."""
    import tifffile

    try:
        gain, floor = tifffile.imread(path)
    except (OSError, ValueError) as error:
        raise FieldError(
            f"{path} cannot be read: {error}. Run 'nucprof rename --force' to estimate it again."
        ) from None
    return Illumination(gain, floor)
