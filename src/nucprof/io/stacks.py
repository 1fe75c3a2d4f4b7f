"""Stacks of crops: one ``(N, C, H, W)`` TIFF per field, memory-mappable, opens in Fiji."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nucprof.errors import FieldError
from nucprof.io.damage import reading, refuse_too_large
from nucprof.io.files import atomic
from nucprof.io.formats.imagej import IMAGEJ_TYPES, imagej_metadata
from nucprof.io.images import write_image


def write_stack(
    path: Path, crops: np.ndarray, channels: Sequence[str], pixel_size_um: float | None = None
) -> None:
    """Write crops ``(N, C, H, W)``, uncompressed and contiguous; without cells there is no file.

    Without cells, an older stack at ``path`` is removed: an empty TIFF is not possible.
    """
    import tifffile

    if not len(crops):
        path.unlink(missing_ok=True)
        return
    how: dict[str, Any] = {"metadata": {"axes": "QCYX"}}
    if crops.dtype.name in IMAGEJ_TYPES:
        how = imagej_metadata("TCYX", channels, pixel_size_um, times=len(crops))
    with atomic(path) as temporary:
        tifffile.imwrite(temporary, crops, photometric="minisblack", **how)


def read_stack(path: Path) -> np.ndarray:
    """Read a whole stack ``(N, C, H, W)``; the file is closed when this returns.

    Raises
    ------
    FieldError
        It is damaged.
    """
    import tifffile

    again = "Delete it; nucprof crop makes it again."
    with reading(path, FieldError, again), tifffile.TiffFile(path) as file:
        series = file.series[0]
        refuse_too_large(path, series.nbytes, f"crops of {series.shape}", FieldError)
        stack: np.ndarray = series.asarray(squeeze=False)
    # ImageJ's axes are TZCYXS: the crops are in T, the channels in C
    height, width = stack.shape[-3:-1] if stack.ndim == 6 else stack.shape[-2:]
    return stack.reshape(len(stack), -1, height, width)


def write_single_crops(
    folder: Path,
    names: Sequence[str],
    crops: np.ndarray,
    channels: Sequence[str] = (),
    pixel_size_um: float | None = None,
) -> None:
    """Write one ``(C, H, W)`` TIFF per cell, as the published scripts did.

    Afterwards the folder contains only these cells: the file of a dropped cell would be taken
    for one.
    """
    wanted = {f"{name}.tif" for name in names}
    for old in folder.glob("*.tif"):
        if old.name not in wanted:
            old.unlink()
    for name, crop in zip(names, crops, strict=True):
        write_image(folder / f"{name}.tif", crop, channels, pixel_size_um)
