"""The labels backend: masks that were made elsewhere, found by the field's key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nucprof.errors import FieldError, FieldExcluded
from nucprof.io.images import read_labels
from nucprof.segmentation.backends import Segmentation


def find_masks(folder: Path, plate: str, field: str, mode: str) -> dict[str, Path]:
    """Say where the masks of a field are or should be: ``[<plate>/][<kind>/]B-02-01.tif``.

    Parameters
    ----------
    folder : Path
        The folder of masks.
    plate, field : str
    mode : str
        ``nuclei``, or ``cells`` (then nuclei are looked for as well).

    Returns
    -------
    dict
        Path by kind. Without a folder of its kind, a mask is of the kind that `mode` names.
    """
    found = {}
    for kind in ("nuclei", "cells") if mode == "cells" else ("nuclei",):
        candidates = [folder / plate / kind, folder / kind]
        if kind == mode:
            candidates += [folder / plate, folder]
        paths = [parent / f"{field}{end}" for parent in candidates for end in (".tif", ".tiff")]
        found[kind] = next((path for path in paths if path.is_file()), paths[-2])
    return found


def read_masks(
    paths: Mapping[str, Path], name: str, mode: str, shape: tuple[int, ...]
) -> Segmentation:
    """Read the masks of a field; in cell mode its nuclei may be missing.

    Raises
    ------
    FieldExcluded
        There is no mask of the kind that `mode` names.
    FieldError
        A mask has another shape than the image, ``(H, W)``.
    """
    read = {}
    for kind, path in paths.items():
        if not path.is_file():
            if kind == mode:
                raise FieldExcluded("no_mask", f"{name} has no mask {path}.")
            continue
        read[kind] = read_labels(path)
        if read[kind].shape != tuple(shape):
            raise FieldError(f"{path} is {read[kind].shape}, but its image is {tuple(shape)}.")
    return Segmentation(**read)
