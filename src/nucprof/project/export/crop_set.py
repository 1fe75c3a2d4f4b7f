"""All crops in one HDF5 file, for training with other programs."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from nucprof.errors import ResultMissing, UserError
from nucprof.io.files import atomic
from nucprof.plate.columns import CELL, KEY, PLATE
from nucprof.project.export.tables import cell_table
from nucprof.project.reader import ProjectResults


def write(results: ProjectResults, path: Path) -> list[str]:
    """Write ``crops`` ``(N, C, H, W)`` and a group ``cells`` with their columns, row by row.

    One field is in memory at a time. Attributes of ``crops``: ``channels``, ``region``,
    ``masked``, ``pixel_size_um`` (NaN if not known). Missing text is empty.

    Raises :class:`UserError` if there are no crops.
    """
    index = results.crop_index
    if not len(index):
        raise UserError("There are no crops; run: nucprof crop PROJECT")
    kind = results.crop_kind
    shape = (len(kind.channels), kind.patch_size, kind.patch_size)
    keys: list[tuple[str, str]] = []
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        for plate, field in _fields(index):
            stack, names = results.crops(plate, field)
            if not keys:
                file.create_dataset(
                    "crops",
                    (len(index), *shape),
                    stack.dtype,
                    chunks=(1, *shape),
                    compression="lzf",
                )
            file["crops"][len(keys) : len(keys) + len(stack)] = stack
            keys += [(plate, name) for name in names]
        about = {"channels": list(kind.channels), "region": kind.region, "masked": kind.masked}
        file["crops"].attrs.update(about | {"pixel_size_um": results.pixel_size_um or np.nan})
        _write_columns(file.create_group("cells"), _cells(results, keys))
    return [f"{len(keys)} crops of {kind.patch_size} px, channels: {', '.join(kind.channels)}"]


def _fields(index: pd.DataFrame) -> list[tuple[str, str]]:
    """Plate and field of every stack, in order."""
    stacks = sorted(set(index["stack"]))
    return [(name.rpartition("/")[0], name.rpartition("/")[2][:-4]) for name in stacks]


def _cells(results: ProjectResults, keys: list[tuple[str, str]]) -> pd.DataFrame:
    """Metadata and classes in the order of the crops."""
    order = pd.DataFrame(keys, columns=KEY)
    try:
        table = cell_table(results, ground_truth=False)
    except ResultMissing:  # no features yet
        return order
    return order.merge(table.cells[table.metadata], on=KEY, how="left", validate="1:1")


def _write_columns(group: h5py.Group, table: pd.DataFrame) -> None:
    for name in (PLATE, CELL, *(c for c in table.columns if c not in KEY)):
        column = table[name]
        if pd.api.types.is_numeric_dtype(column):
            group[name] = column.to_numpy(dtype=np.float64)
        else:
            texts = ["" if pd.isna(value) else str(value) for value in column]
            group.create_dataset(name, data=texts, dtype=h5py.string_dtype())
