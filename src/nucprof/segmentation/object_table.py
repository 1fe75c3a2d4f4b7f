"""``segment/objects.parquet``: evidence for every object that was found, kept or dropped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nucprof.core.evidence import Evidence
from nucprof.io.tables import concatenate, read_table
from nucprof.plate.columns import identity
from nucprof.plate.keys import FieldKey

if TYPE_CHECKING:
    import pandas as pd

#: Columns that the feature tables take over, as metadata.
EVIDENCE = ("Probability", "Contrast", "EdgeShare", "Touching", "AreaRatio")


def object_rows(
    plate: str,
    field: FieldKey,
    evidence: Evidence,
    probability: NDArray[np.float32] | None,
    dropped: Mapping[str, NDArray[np.int64]],
) -> pd.DataFrame:
    """The objects of one field, without the columns that need the whole plate.

    Parameters
    ----------
    plate : str
    field : FieldKey
    evidence : Evidence
        Of all objects found.
    probability : (N,) or None
        The network's, of object ``i`` at ``i - 1``; NaN in the table where there is none.
    dropped : mapping of str to (K,) int64
        Labels that are dropped, by reason.
    """
    import pandas as pd

    ids = evidence.ids
    reasons = np.full(len(ids), "", dtype=object)
    for reason, gone in dropped.items():
        reasons[np.isin(ids, gone)] = reason
    known = np.full(len(ids), np.nan) if probability is None else probability[ids - 1]
    return pd.DataFrame(
        {
            **identity(plate, field, ids),
            "reason": pd.Series(reasons, dtype="str"),
            "Area": evidence.areas,
            "Probability": np.asarray(known, dtype=np.float64),
            "Contrast": evidence.contrast,
            "Significance": evidence.significance,
            "EdgeShare": evidence.edge_share,
            "Touching": evidence.touching,
        }
    )


def write_objects(parts: Sequence[Path], target: Path, median_areas: Mapping[str, float]) -> int:
    """Join the fields' objects; their ``AreaRatio`` is the area over the plate's median."""

    def add(part: pd.DataFrame) -> pd.DataFrame:
        part = part.rename(columns={"Dropped": "reason"})  # fields of the previous version
        middle = part["Metadata_Plate"].map(median_areas).astype("float64")
        return part.assign(AreaRatio=part["Area"] / middle)

    return concatenate(parts, target, add)


def evidence_of(path: Path) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A function that adds the objects' evidence to rows of features, as ``Metadata_`` columns.

    Rows are joined by plate and ROI_img_name.
    """
    keys = ["Metadata_Plate", "Metadata_ROI_img_name"]
    table = read_table(path, [*keys, *EVIDENCE])
    table = table.rename(columns={name: f"Metadata_{name}" for name in EVIDENCE})

    def add(part: pd.DataFrame) -> pd.DataFrame:
        joined = part[keys].merge(table, on=keys, how="left", validate="one_to_one")
        where = part.columns.get_loc("Metadata_FieldCellCount") + 1
        for k, name in enumerate(EVIDENCE):
            values = joined[f"Metadata_{name}"].set_axis(part.index)
            part.insert(where + k, f"Metadata_{name}", values)
        return part

    return add
