"""Several named arrays in one file (.npz) whose bytes depend on nothing but the arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nucprof.errors import UserError
from nucprof.io.files import atomic

#: numpy's own writer stamps the time of day on every member.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


def write_arrays(path: Path, arrays: Mapping[str, NDArray]) -> None:
    """Write arrays under their names, atomically."""
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", _NO_TIME), "w") as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


def read_arrays(path: Path, names: Sequence[str]) -> list[NDArray]:
    """Read some of the arrays of a file.

    Raises
    ------
    UserError
        The file is damaged, or one of the arrays is not in it.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return [archive[name] for name in names]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged ({error}). Delete it; it is then made again.") from None
