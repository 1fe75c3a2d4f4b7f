"""Predictions of cells that a model was trained on, by models that had not seen them.

A model knows the cells that it was trained on by heart, so that what it says of them is better than
what it says of others. Its evaluation left predictions of the same cells by models that were not
trained on their wells (out of fold); these are used in place of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nucprof.plate.columns import CELL, KEY, PLATE, WELL, WELL_KEY

NEW, OUT_OF_FOLD, TRAINED_ON = "new", "out_of_fold", "trained_on"
"""Where a prediction comes from. `trained_on`: the model itself, which has seen the cell's well."""

Rows = Callable[[np.ndarray], np.ndarray]
"""What the classifier sees of the cells with these numbers: their features, or their pixels."""


def first_of_each_cell(predictions: pd.DataFrame) -> pd.DataFrame:
    """The rows of `predictions.csv` that a cell was first tested in: the first seed's, mostly.

    Later seeds add cells of wells that the first did not test. One prediction per cell, and no mean
    over seeds: the model to be used is one classifier, whose errors these are to show.
    """
    return predictions.drop_duplicates(["plate", "ROI_img_name"]).reset_index(drop=True)


def trained_wells(cells: pd.DataFrame, rows: Rows) -> list[dict[str, Any]]:
    """What a model keeps of the wells that it was trained on, to know them again.

    Another project may use the same names for another plate. The first cell of each well is
    therefore kept as a digest of what the classifier saw of it.

    Parameters
    ----------
    cells
        Plate, well and key of the cells trained on, in key order.
    rows
        Gives what the classifier saw of the cells with the given positions.

    Returns
    -------
    list of dict
        `plate`, `well`, `cell`, `sha256`.
    """
    places = np.flatnonzero(~cells.duplicated(WELL_KEY).to_numpy())
    first = cells.iloc[places]
    digests = [_digest(row) for row in rows(places)]
    return [
        {"plate": str(plate), "well": str(well), "cell": str(cell), "sha256": digest}
        for plate, well, cell, digest in zip(
            first[PLATE], first[WELL], first[CELL], digests, strict=True
        )
    ]


def _digest(row: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(row).tobytes()).hexdigest()


def wells_seen(
    trained: Sequence[dict[str, Any]], cells: pd.DataFrame, rows: Rows
) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Which wells the model was trained on, and which only have such a well's name.

    Parameters
    ----------
    trained
        As from :func:`trained_wells`.
    cells, rows
        The cells to be predicted.

    Returns
    -------
    tuple
        Two sets of (plate, well): wells whose first cell is the one trained on; wells of the same
        name whose cell is another.
    """
    place = {key: i for i, key in enumerate(zip(cells[PLATE], cells[CELL], strict=True))}
    named = set(zip(cells[PLATE], cells[WELL], strict=True))
    held = [well for well in trained if (well["plate"], well["cell"]) in place]
    numbers = np.array([place[well["plate"], well["cell"]] for well in held], dtype=np.int64)
    found = [_digest(row) for row in rows(numbers)] if len(numbers) else []
    same = {
        (well["plate"], well["well"])
        for well, digest in zip(held, found, strict=True)
        if digest == well["sha256"]
    }
    return same, ({(well["plate"], well["well"]) for well in trained} & named) - same


def replace_seen(
    probabilities: np.ndarray,
    cells: pd.DataFrame,
    seen: set[tuple[str, str]],
    kept: pd.DataFrame | None,
    classes: Sequence[str],
) -> tuple[np.ndarray, np.ndarray]:
    """Put out-of-fold probabilities in the place of those of cells that were trained on.

    Parameters
    ----------
    probabilities
        `(n, K)` of the model itself.
    cells
        Plate, well and key of the n cells.
    seen
        Wells (plate, well) that the model was trained on.
    kept
        `plate, ROI_img_name, p_<class> ...` of the evaluation, calibrated; None where the model
        came without.
    classes
        Class names.

    Returns
    -------
    tuple
        Probabilities `(n, K)`, and where each row comes from, `(n,)` of "new", "out_of_fold" and
        "trained_on" (no cell of the evaluation, such as one without a true class).
    """
    inside = pd.MultiIndex.from_frame(cells[WELL_KEY]).isin(list(seen))
    source = np.where(inside, TRAINED_ON, NEW).astype(object)
    probabilities = probabilities.copy()
    if kept is not None and inside.any():
        keys = cells.loc[inside, KEY].set_axis(["plate", "ROI_img_name"], axis=1)
        found = keys.merge(kept, how="left", on=["plate", "ROI_img_name"], validate="one_to_one")
        values = found[[f"p_{name}" for name in classes]].to_numpy(dtype=float)
        there = ~np.isnan(values).any(axis=1)
        places = np.flatnonzero(inside)[there]
        probabilities[places], source[places] = values[there], OUT_OF_FOLD
    return probabilities, source
