"""The column names of all tables; tables are joined on them, never by row number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nucprof.errors import DataError
from nucprof.plate.keys import FieldKey, cell_key

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

PLATE = "Metadata_Plate"
WELL = "Metadata_Well"
CELL = "Metadata_ROI_img_name"
LAYOUT = "Metadata_Target"
"""The layout's name of the well: a monoculture's class, or the mixed culture's name."""
TRUE = "true_condition"
"""The gate's class of a cell, or `undefined`."""
DENSITY = "Metadata_FieldCellCount"
"""Number of cells in the cell's field."""
CORRECTED = "corrected"
"""The class that people gave a cell on review, `undefined` if they excluded it; else missing."""
TARGET = "target"
"""The class to learn: taken from TRUE (mixed cultures) or LAYOUT (monocultures)."""
REFERENCE = "reference"
"""The culture of a reference well's cells (see :mod:`nucprof.plate.references`), else missing."""

REAL_BOX = ["real_top", "real_left", "real_bottom", "real_right"]
"""Part of a crop that shows the image, in pixels of the crop, the last two exclusive."""

OLD_NAMES = {"history.csv": {"number": "epoch"}, "attention.csv": {"n": "cells"}}
"""Columns that the previous version called otherwise, by file: read, never written."""

KEY = [PLATE, CELL]
WELL_KEY = [PLATE, WELL]


def mean_intensity(compartment: str, channel: str) -> str:
    """The feature that holds the mean intensity of a channel in a compartment."""
    return f"{compartment}_Intensity_MeanIntensity_{channel}"


def identity(plate: str, field: FieldKey, labels: np.ndarray) -> dict[str, Any]:
    """The columns that name the cells of a field in every table, in their order.

    Parameters
    ----------
    plate : str
    field : FieldKey
    labels : (N,) integer
        The cells' labels in the mask.
    """
    import numpy as np
    import pandas as pd

    count = len(labels)
    return {
        PLATE: pd.Series([plate] * count, dtype="str"),
        WELL: pd.Series([str(field.well)] * count, dtype="str"),
        "Metadata_Site": np.full(count, field.site, dtype=np.int64),
        "Metadata_ObjectNumber": labels.astype(np.int64),
        CELL: pd.Series([cell_key(field, label) for label in labels.tolist()], dtype="str"),
    }


def in_key_order(cells: pd.DataFrame) -> pd.DataFrame:
    """The rows sorted by (plate, cell), so that no result depends on their order.

    Raises
    ------
    DataError
        If two rows have the same key, or a needed column is missing.
    """
    require(cells, [PLATE, WELL, CELL])
    if cells.duplicated(KEY).any():
        plate, cell = cells.loc[cells.duplicated(KEY), KEY].iloc[0]
        raise DataError(
            f"cell {cell} of plate {plate} occurs more than once in the table; "
            "keys must be unique: was a plate named twice?"
        )
    return cells.sort_values(KEY, kind="stable").reset_index(drop=True)


def require(table: pd.DataFrame, columns: list[str]) -> None:
    """Raise a :class:`DataError` that names the columns the table lacks."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DataError(f"the table of cells lacks the column(s) {', '.join(missing)}")
