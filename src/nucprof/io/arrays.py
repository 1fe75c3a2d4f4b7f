"""Several named arrays in one file (.npz) whose bytes depend only on the arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nucprof.errors import UserError
from nucprof.io.damage import reading
from nucprof.io.files import atomic

#: Fixed time stamp; numpy's own writer stores the present time with every member.
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
    again = "Delete it; the next run makes it again."
    with reading(path, UserError, again), np.load(path, allow_pickle=False) as archive:
        return [archive[name] for name in names]
