"""The cells that the page's plots show, packed for the browser."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucprof.plate.columns import CELL, CORRECTED, KEY, LAYOUT, PLATE, TRUE
from nucprof.report.review import MARKER
from nucprof.report.source import Source

if TYPE_CHECKING:
    import pandas as pd

NO_CULTURE = "no culture"
METHODS = {"forest": ("train-rf", "rf"), "network": ("train-cnn", "cnn")}


@dataclass(frozen=True, eq=False)
class Cells:
    """All cells of the gate and the map.

    Attributes
    ----------
    table : DataFrame
        One row per cell, in a fixed random order, so that in a plot no class hides another:
        plate, cell, culture, class, the markers, ``map_x`` and ``map_y``, the predictions.
    markers : list of str
        The markers that the gate compares with cutoffs.
    """

    table: pd.DataFrame
    markers: list[str]

    @classmethod
    def read(cls, source: Source) -> Cells | None:
        """Join what the stages wrote about single cells; None without a gate and a map."""
        parts = [part for part in (_gated(source), _mapped(source)) if part is not None]
        if not parts:
            return None
        table = parts[0].set_index(KEY)
        for other in parts[1:]:  # of cells that only the map has, culture and class as well
            table = table.combine_first(other.set_index(KEY))
        table = table.reset_index()
        for method, (stage, folder) in METHODS.items():
            predicted = _predictions(source, stage, folder)
            if predicted is not None:
                named = predicted.rename(columns={"predicted": method})
                table = table.merge(named, on=KEY, how="left")
        order = np.random.default_rng(0).permutation(len(table))
        markers = [name[len(MARKER) :] for name in table if name.startswith(MARKER)]
        return cls(table.iloc[order].reset_index(drop=True), markers)

    def pack(self, classes: Sequence[str]) -> dict[str, Any]:
        """The cells as JSON: names once, and a column of numbers for every property."""
        table = self.table
        plates, plate = np.unique(table[PLATE].astype(str), return_inverse=True)
        keys = table[CELL].astype(str).str.rsplit("_", n=1, expand=True)
        fields, field = np.unique(keys[0], return_inverse=True)
        cultures, culture = np.unique(table["culture"].fillna(NO_CULTURE), return_inverse=True)
        gated = table["gated"].notna() if "gated" in table else np.zeros(len(table))
        columns: dict[str, np.ndarray] = {
            "plate": plate.astype(np.uint16), "field": field.astype(np.uint16),
            "label": keys[1].astype(np.int64).to_numpy(np.uint32),
            "culture": culture.astype(np.uint16), "gated": np.asarray(gated, np.uint8),
        }  # fmt: skip
        for number, name in enumerate(self.markers):
            columns[f"marker{number}"] = table[MARKER + name].to_numpy(np.float64)
        known = list(classes)
        for name in ("class", *METHODS):
            if name in table:
                columns[name] = codes(table[name], known, missing=len(known) + 1)
        fixed = table.get(CORRECTED)
        columns["fixed"] = np.full(len(table), -1, np.int8)
        if fixed is not None:
            columns["fixed"] = np.where(
                fixed.notna(), codes(fixed.fillna(""), known, missing=len(known)), -1
            ).astype(np.int8)
        if len(self.markers) == 1:
            columns["lane"] = np.random.default_rng(0).uniform(-0.3, 0.3, len(table))
        if "map_x" in table:
            for name in ("map_x", "map_y"):
                columns[name] = table[name].to_numpy(np.float32)
        return {
            "number": len(table), "plates": plates.tolist(), "cultures": cultures.tolist(),
            "classes": known, "fields": fields.tolist(),
            "columns": {name: packed(column) for name, column in columns.items()},
        }  # fmt: skip


def codes(names: pd.Series, known: Sequence[str], *, missing: int) -> np.ndarray:
    """Number of each name among the known ones, and after these ``undefined``, ``(n,)`` uint8."""
    number = {name: i for i, name in enumerate([*known, "undefined"])}
    found: np.ndarray = names.map(number).fillna(missing).to_numpy(np.uint8)
    return found


def packed(column: np.ndarray) -> dict[str, str]:
    """A column of numbers, little-endian, in base64."""
    column = np.ascontiguousarray(column)
    data = column.astype(column.dtype.newbyteorder("<")).tobytes()
    return {
        "type": f"{column.dtype.kind}{column.dtype.itemsize}",
        "data": base64.b64encode(data).decode(),
    }


def _gated(source: Source) -> pd.DataFrame | None:
    table = source.table("gate", "intensities.parquet") if source.has("gate") else None
    classes = source.table("gate", "GT_data.csv") if source.has("gate") else None
    if table is None or classes is None:
        return None
    markers = [name for name in table if not name.startswith("Metadata_") and name != CORRECTED]
    table = table.rename(columns={name: MARKER + name for name in markers})
    table = table.rename(columns={LAYOUT: "culture"}).assign(gated=True)
    held = [*KEY, "culture", "gated", *(MARKER + name for name in markers)]
    held += [CORRECTED] if CORRECTED in table else []
    own = classes[[*KEY, TRUE]].rename(columns={TRUE: "class"})
    return table[held].merge(own, on=KEY, how="left")


def _mapped(source: Source) -> pd.DataFrame | None:
    table = source.table("embed", "umap.csv") if source.has("embed") else None
    if table is None:
        return None
    x, y = table.columns[-2:]
    names = {x: "map_x", y: "map_y", LAYOUT: "culture", TRUE: "class"}
    held = [name for name in names if name in table]
    return table[[*KEY, *held]].rename(columns=names)


def _predictions(source: Source, stage: str, folder: str) -> pd.DataFrame | None:
    """Predictions of cells of unseen wells, of the first run."""
    if not source.has(stage):
        return None
    table = source.table("train", folder, "default", "predictions.csv")
    if table is None:
        return None
    table = table.rename(columns={"plate": PLATE, "ROI_img_name": CELL})
    return table.drop_duplicates(KEY)[[*KEY, "predicted"]]
