"""The cells whose pictures a report holds: a sample that includes the mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nucprof.learn.review_queue import opinion
from nucprof.plate.columns import CELL, KEY, LAYOUT, PLATE, WELL, WELL_KEY
from nucprof.plate.keys import parse_cell_key
from nucprof.raw.index import pixel_size_of
from nucprof.report.cell_pictures import CellFiles
from nucprof.report.cells import METHODS, Cells
from nucprof.report.review import ShownCell, shown_cells, viewer_data
from nucprof.report.source import Source

MOST_BYTES = 6_000_000
"""Size of all pictures in the page."""
MOST_FIELDS = 32
"""Fields that are opened: reading fields takes most of the time."""
_MOST_PIXELS = 50_000_000


def explorer(source: Source, cells: Cells, files: CellFiles) -> dict[str, Any] | None:
    """The data of the viewer for a sample of the page's cells; None if none has a crop."""
    opinions = {}
    for name, (stage, folder) in METHODS.items():
        predicted = source.table("train", folder, "default", "predictions.csv")
        if source.has(stage) and predicted is not None:
            opinions[name] = opinion(predicted)
    held = cells.table.merge(files.index()[KEY], on=KEY)
    size, channels = files.crops.patch_size, files.channels
    most = _MOST_PIXELS // (size * size * (len(channels) + 1))
    chosen = choose_cells(held, [name for name in METHODS if name in held], most_cells=most)
    if not len(chosen):
        return None
    images = source.table("images.csv")
    um = None if images is None else pixel_size_of(images)
    shown = _within_budget(shown_cells(chosen, files, opinions))
    return viewer_data(shown, channels, size=size, pixel_um=um)


def choose_cells(
    cells: pd.DataFrame,
    predictions: Sequence[str],
    *,
    most_cells: int,
    most_fields: int = MOST_FIELDS,
) -> pd.DataFrame:
    """A sample of cells of a few fields: mistakes first, then equally many of every class.

    The fields are spread over wells and plates; of a well, those with most mistakes come first.

    Returns
    -------
    DataFrame
        Rows of `cells` by priority, with the columns that :func:`shown_cells` needs.
    """
    if not len(cells):
        return cells
    keys = cells[CELL].map(parse_cell_key)
    label = cells["class"].fillna("undefined") if "class" in cells else "undefined"
    cells = cells.assign(
        **{WELL: [str(field.well) for field, _ in keys], LAYOUT: cells.get("culture")},
        field=[str(field) for field, _ in keys],
        label=label,
    )
    cells["mistake"] = _mistakes(cells, predictions)
    fields = cells.groupby([PLATE, WELL, "field"], sort=True)["mistake"].sum().reset_index()
    fields = fields.sort_values("mistake", ascending=False, kind="stable")
    turn = fields.groupby(WELL_KEY).cumcount()
    fields = fields.assign(turn=turn).sort_values(
        ["turn", "mistake"], ascending=[True, False], kind="stable"
    )
    cells = cells.merge(fields.head(most_fields)[[PLATE, "field"]], on=[PLATE, "field"])
    cells = cells.sample(frac=1, random_state=0)
    rank = cells.groupby(["mistake", "label"]).cumcount()
    cells = cells.assign(rank=rank).sort_values(
        ["mistake", "rank"], ascending=[False, True], kind="stable"
    )
    half = most_cells // 2  # mistakes do not take the place of everything else
    mistakes, others = cells[cells["mistake"]], cells[~cells["mistake"]]
    first = mistakes.head(max(half, most_cells - len(others)))
    return pd.concat([first, others.head(most_cells - len(first))]).reset_index(drop=True)


def _mistakes(cells: pd.DataFrame, predictions: Sequence[str]) -> np.ndarray:
    """Whether any classifier predicts another class than the cell's, ``(n,)`` bool."""
    wrong = np.zeros(len(cells), dtype=bool)
    for name in predictions:
        wrong |= (cells[name].notna() & (cells[name] != cells["label"])).to_numpy()
    return wrong


def _within_budget(cells: Sequence[ShownCell]) -> list[ShownCell]:
    """Cells in turn from the front, as many as fit into :data:`MOST_BYTES`."""
    sizes = np.cumsum([len(cell.picture) for cell in cells])
    return [cell for cell, total in zip(cells, sizes, strict=True) if total <= MOST_BYTES]
