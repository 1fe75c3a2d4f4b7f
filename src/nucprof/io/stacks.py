"""Stacks of crops: one ``(N, C, H, W)`` TIFF per field, memory-mappable, opens in Fiji."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nucprof.io.files import atomic

_IMAGEJ_TYPES = ("uint8", "uint16", "float32")


def write_stack(path: Path, crops: np.ndarray, channels: Sequence[str]) -> None:
    """Write crops ``(N, C, H, W)``, uncompressed and contiguous; no cell, no file.

    An older stack at ``path`` is removed where there is no cell: TIFFs of size zero do not exist.
    """
    import tifffile

    if not len(crops):
        path.unlink(missing_ok=True)
        return
    imagej = crops.dtype.name in _IMAGEJ_TYPES
    metadata = {"axes": "TCYX", "Labels": [*channels] * len(crops)} if imagej else {"axes": "QCYX"}
    with atomic(path) as temporary:
        tifffile.imwrite(
            temporary, crops, imagej=imagej, photometric="minisblack", metadata=metadata
        )


def read_stack(path: Path) -> np.ndarray:
    """Read a whole stack ``(N, C, H, W)``; the file is closed when this returns."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        stack: np.ndarray = file.series[0].asarray(squeeze=False)
    # ImageJ's axes are TZCYXS: the crops are in T, the channels in C
    height, width = stack.shape[-3:-1] if stack.ndim == 6 else stack.shape[-2:]
    return stack.reshape(len(stack), -1, height, width)


def write_single_crops(folder: Path, names: Sequence[str], crops: np.ndarray) -> None:
    """Write one ``(C, H, W)`` TIFF per cell, as the published scripts did.

    The folder holds these cells alone afterwards: a file left of a cell that is gone would be taken
    for one.
    """
    import tifffile

    wanted = {f"{name}.tif" for name in names}
    for old in folder.glob("*.tif"):
        if old.name not in wanted:
            old.unlink()
    for name, crop in zip(names, crops, strict=True):
        with atomic(folder / f"{name}.tif") as temporary:
            tifffile.imwrite(temporary, crop, photometric="minisblack", metadata={"axes": "CYX"})
