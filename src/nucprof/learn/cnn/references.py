"""Crops of reference wells, from which the plates' intensity limits are taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nucprof.learn.cnn.augment import PLATE_SAMPLE, plate_limits
from nucprof.learn.cnn.crop_data import Crops
from nucprof.learn.scaling import reference_groups, without_wells
from nucprof.plate.columns import PLATE, REFERENCE, in_key_order


@dataclass(frozen=True)
class ReferenceCrops:
    """Cells of reference wells and their crops; row i is crop i."""

    cells: pd.DataFrame
    """Plate, well and key, and the culture in `reference`."""
    crops: Crops


def reference_limits(
    reference: ReferenceCrops | None,
    plates: np.ndarray,
    cultures: Sequence[str] = (),
    tested: pd.DataFrame | None = None,
) -> tuple[np.ndarray, list[str]]:
    """What becomes 0 and 1 in every crop, from the reference wells of its plate.

    Parameters
    ----------
    reference
        Crops of reference wells; None where there are none.
    plates
        `(N,)` the plates of the crops to be scaled.
    cultures
        The cultures that a model was scaled by; empty in training.
    tested
        Cells whose wells are left out where a plate has others.

    Returns
    -------
    tuple
        `(N, C, 2)` float32, and the cultures that the limits come from.

    Raises
    ------
    DataError
        If a plate lacks reference wells of a culture.
    """
    cells = reference.cells if reference else None
    if cells is not None and tested is not None:
        cells = without_wells(cells, tested)
    names = sorted(set(plates.tolist()))
    chosen, found = reference_groups(cells, names, cultures, 'train.cnn.normalise = "plate"')
    assert reference is not None
    of_plate = plate_limits(
        reference.crops,
        chosen.index.to_numpy(),
        chosen[PLATE].to_numpy(dtype=str),
        chosen[REFERENCE].to_numpy(dtype=str),
    )
    return np.stack([of_plate[plate] for plate in plates.tolist()]), found


def thinned(cells: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """At most 2000 cells of each plate and culture: more do not move a percentile."""
    shuffled = in_key_order(cells).sample(frac=1, random_state=seed)
    return in_key_order(shuffled.groupby([PLATE, REFERENCE]).head(PLATE_SAMPLE))
