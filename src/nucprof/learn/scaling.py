"""On what scale a classifier sees features: z-scores by the reference wells of each plate.

What scales a cell must not depend on what else grows beside it: a well scaled by its own cells
always looks like the average well, whatever it holds, and so does a plate. Centre and spread
therefore come from reference wells, whose culture is known, in training as in prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from nucprof.errors import DataError
from nucprof.plate.columns import PLATE, REFERENCE, WELL_KEY, require

Scaling = Literal["none", "plate", "well"]


def reference_groups(
    reference: pd.DataFrame | None, plates: Sequence[str], cultures: Sequence[str], what: str
) -> tuple[pd.DataFrame, list[str]]:
    """The cells that a plate's scale comes from, and their cultures, the same on all plates.

    Parameters
    ----------
    reference
        Cells of reference wells, with their culture in the column `reference`; None: there is none.
    plates
        The plates to be scaled.
    cultures
        The cultures that a model was scaled by; empty in training: those that all plates have.
    what
        The setting that asks for it, for messages.

    Raises
    ------
    DataError
        If a plate lacks reference wells of one of the cultures, or all.
    """
    held: dict[str, set[str]] = {plate: set() for plate in plates}
    if reference is not None:
        require(reference, [PLATE, REFERENCE])
        for plate, names in reference.groupby(PLATE)[REFERENCE]:
            held.setdefault(str(plate), set()).update(names)
    wanted = set(cultures) or set.intersection(*(held[plate] for plate in plates))
    for plate in plates:
        missing = sorted(wanted - held[plate]) if wanted else ["any culture"]
        if missing:
            raise DataError(
                f"{what}: plate {plate} has no reference well of {', '.join(missing)}, by which "
                "it would be scaled; name its wells in [reference] wells, or cultures that every "
                "plate holds in [reference] culture (default: the layout's monocultures)"
            )
    assert reference is not None
    chosen = reference[PLATE].isin(plates) & reference[REFERENCE].isin(wanted)
    return reference[chosen], sorted(wanted)


def without_wells(reference: pd.DataFrame | None, tested: pd.DataFrame) -> pd.DataFrame | None:
    """Reference cells that lie in none of the tested wells.

    A plate that would lose a culture keeps its reference wells, as a new plate has its own: they
    give its scale, not its classes.
    """
    if reference is None:
        return None
    tested_wells = pd.MultiIndex.from_frame(tested[WELL_KEY].drop_duplicates())
    inside = pd.MultiIndex.from_frame(reference[WELL_KEY]).isin(tested_wells)
    left = reference[~inside]
    whole = reference.groupby(PLATE)[REFERENCE].nunique()
    rest = left.groupby(PLATE)[REFERENCE].nunique().reindex(whole.index, fill_value=0)
    kept = reference[PLATE].isin(whole.index[rest < whole])
    return reference[~inside | kept.to_numpy()]


@dataclass
class Scaler:
    """z-scores: by the reference wells of the plate, by a well's own cells, or none.

    Scaling by a well's own cells, as published, serves to tell cells of mixed wells apart; it
    erases what wells hold, so that no composition can be told from it.
    """

    kind: Scaling
    features: list[str]
    cultures: list[str] = field(default_factory=list)
    """Cultures of the reference wells; empty before :meth:`fit` in training, or without `plate`."""
    means: pd.DataFrame | None = None
    stds: pd.DataFrame | None = None

    def fit(self, reference: pd.DataFrame | None, plates: Sequence[str]) -> Scaler:
        """Keep mean and standard deviation of every plate's reference wells.

        Every culture counts alike, whatever its number of cells: the mean is that of the cultures'
        means, the variance that of cells drawn from each culture as often. Missing values are left
        out.

        Parameters
        ----------
        reference
            Cells of reference wells: plate, `reference` (their culture) and the features.
        plates
            The plates to be scaled.

        Raises
        ------
        DataError
            If a plate lacks them (see :func:`reference_groups`).
        """
        if self.kind != "plate":
            return self
        cells, self.cultures = reference_groups(
            reference, plates, self.cultures, 'train.rf.scaling = "plate"'
        )
        groups = cells.groupby([PLATE, REFERENCE])[self.features]
        means, variances = groups.mean(), groups.var(ddof=0)
        self.means = means.groupby(level=0).mean()
        between = means.groupby(level=0).var(ddof=0)
        self.stds = np.sqrt(variances.groupby(level=0).mean() + between)
        return self

    def transform(self, cells: pd.DataFrame) -> np.ndarray:
        """`(n_cells, n_features)` float64; missing values stay missing, constant features are 0."""
        values: pd.DataFrame = cells[self.features].astype(float)
        if self.kind == "none":
            return np.asarray(values)
        if self.kind == "plate":
            if self.means is None or self.stds is None:
                raise ValueError("fit comes before transform")
            means = self.means.loc[cells[PLATE]].to_numpy()
            stds = self.stds.loc[cells[PLATE]].to_numpy()
        else:
            groups = values.groupby([cells[key] for key in WELL_KEY])
            means = groups.transform("mean").to_numpy()
            stds = groups.transform("std", ddof=0).to_numpy()
        centred = values.to_numpy() - means
        # Rounding gives a constant feature a tiny spread, which must not be blown up to size 1.
        spread = stds > 1e-12 * np.abs(means)
        out = np.where(np.isnan(centred), np.nan, 0.0)
        np.divide(centred, stds, out=out, where=spread)
        return out


def refuse_erasing_scaling(scaling: Scaling, culture: str) -> None:
    """Per-well scaling of monocultures would take out the very difference between the classes."""
    if scaling == "well" and culture == "mono":
        raise DataError(
            'train.rf.scaling = "well" on monocultures erases the signal: every well holds one '
            'class, and scaling makes all wells alike; use "plate" or "none"'
        )
