"""Which cells are trained on and which are tested: whole wells (or plates), seeded, saved.

A well's cells share medium, staining and focus, so a well that lies on both sides of the split
makes any classifier look better than it is. The forest and the CNN call the same functions with the
same seed and so get the same parts, whatever the order of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from nucprof.config.models import Sample
from nucprof.core.gating import UNDEFINED
from nucprof.errors import DataError
from nucprof.plate.columns import (
    CELL,
    CORRECTED,
    KEY,
    LAYOUT,
    PLATE,
    TARGET,
    TRUE,
    WELL,
    WELL_KEY,
    in_key_order,
    require,
)

Unit = Literal["well", "plate"]
Culture = Literal["mixed", "mono"]

PARTS = ("train", "validation", "test")
FRACTIONS = (0.6, 0.1, 0.3)
_TRIES = 200


def select_culture(
    cells: pd.DataFrame,
    *,
    culture: Literal["auto", "mixed", "mono"] = "auto",
    mixed_name: str = "co-culture",
    targets: Sequence[str] = (),
) -> tuple[pd.DataFrame, Culture]:
    """The labelled cells of one kind of culture, with their class in the column `target`.

    *mixed*: cells of the wells that the layout calls `mixed_name` whose gated class
    (`true_condition`) is one of the targets. *mono*: cells of the wells whose layout name is one of
    the targets; that name is their class, and the gate, where there is one, is not consulted: every
    cell of a monoculture is what was seeded there, unless people corrected it. *auto*: mixed where
    the table has a gate and the layout has mixed wells, else mono.

    Parameters
    ----------
    cells
        One row per cell with `Metadata_Plate`, `Metadata_Well`, `Metadata_ROI_img_name`,
        `Metadata_Target` (missing for wells outside the layout) and, after a gate,
        `true_condition` (which contains the corrections), after corrections `corrected`.
    culture
        Which wells to take.
    mixed_name
        The layout's name of the mixed culture.
    targets
        The classes; empty means all that occur.

    Returns
    -------
    tuple
        The chosen rows in key order, with `target` (str) added, and the culture they are from.

    Raises
    ------
    DataError
        If fewer than two classes remain, naming what there is.
    """
    require(cells, [LAYOUT])
    cells = in_key_order(cells)
    is_mixed = cells[LAYOUT] == mixed_name
    gated = TRUE in cells.columns
    if culture == "auto":
        culture = "mixed" if gated and bool(is_mixed.any()) else "mono"
    if culture == "mixed" and not gated:
        raise DataError(
            'culture = "mixed" needs the cells\' true classes, but there is no gate; '
            'run `nucprof gate`, or set train.culture = "mono"'
        )
    if culture == "mixed":
        chosen, classes = cells[is_mixed], cells[TRUE][is_mixed]
    else:
        chosen = cells[~is_mixed & cells[LAYOUT].notna()]
        classes = chosen[LAYOUT]
        if CORRECTED in chosen:
            classes = chosen[CORRECTED].fillna(classes)
    found = sorted(set(classes.dropna()) - {UNDEFINED, mixed_name})
    wanted = sorted(targets) if targets else found
    absent = [name for name in wanted if name not in found]
    if absent or len(wanted) < 2:
        raise DataError(
            f"training on {culture} cultures needs two classes or more with cells: "
            f"asked for {', '.join(wanted) or 'all'}, found {', '.join(found) or 'none'}; "
            "see train.targets, train.culture and the layout"
        )
    chosen = chosen.assign(**{TARGET: classes})[classes.isin(wanted)]
    return chosen.astype({TARGET: str}).reset_index(drop=True), culture


def split_wells(
    cells: pd.DataFrame,
    *,
    unit: Unit = "well",
    seed: int,
    fractions: tuple[float, float, float] = FRACTIONS,
) -> pd.DataFrame:
    """Assign whole wells (or plates) to `train`, `validation` and `test`.

    Every class gets at least one unit in each part, and otherwise as near to the fractions as whole
    units allow.

    Parameters
    ----------
    cells
        Labelled cells (see :func:`select_culture`).
    unit
        What is never cut: a well, or a plate with all its wells.
    seed
        Same cells and same seed give the same split.
    fractions
        Shares of the units for the three parts.

    Returns
    -------
    DataFrame
        `plate`, `well`, `part`, one row per well, sorted.

    Raises
    ------
    DataError
        With the counts, if a class has fewer than three units or no valid split exists.
    """
    present = _classes_per_unit(cells, unit)
    _require_units(present, 3, unit, "a train/validation/test split")

    def quota(n: int) -> list[int]:
        validation = max(1, round(fractions[1] * n))
        test = max(1, min(round(fractions[2] * n), n - validation - 1))
        return [n - validation - test, validation, test]

    parts = _assign(present, quota, seed, valid=lambda counts: bool((counts > 0).all()), unit=unit)
    return _per_well(cells, unit, "part", parts.map(lambda i: PARTS[i]))


def cv_folds(
    cells: pd.DataFrame, *, unit: Unit = "well", seed: int, folds: int = 5
) -> pd.DataFrame:
    """Assign whole wells (or plates) to folds for cross-validation.

    Every cell lies in one fold; the models that predict a fold have seen every class, but none of
    the fold's wells. The number of folds is at most the number of units of the rarest class.

    Returns
    -------
    DataFrame
        `plate`, `well`, `fold` (from 0), one row per well, sorted.

    Raises
    ------
    DataError
        With the counts, if a class has fewer than two units.
    """
    present = _classes_per_unit(cells, unit)
    _require_units(present, 2, unit, "cross-validation")
    n_folds = min(folds, int(present.sum().min()))

    def quota(n: int) -> list[int]:
        return [n // n_folds + (fold < n % n_folds) for fold in range(n_folds)]

    def valid(counts: np.ndarray) -> bool:
        # A class all of whose units lie in one fold would be missing when that fold is predicted.
        every_model_sees_every_class = (counts < counts.sum(axis=0)).all()
        return bool(every_model_sees_every_class and (counts.sum(axis=1) > 0).all())

    parts = _assign(present, quota, seed, valid=valid, unit=unit)
    return _per_well(cells, unit, "fold", parts)


def attach(cells: pd.DataFrame, split: pd.DataFrame, column: str) -> pd.Series:
    """The part (or fold) of every cell of `cells`, missing where the split lacks its well."""
    of_well = split.set_index(["plate", "well"])[column]
    keys = pd.MultiIndex.from_frame(cells[WELL_KEY])
    return pd.Series(of_well.reindex(keys).to_numpy(), index=cells.index, name=column)


def sample_cells(train: pd.DataFrame, *, sample: Sample, seed: int) -> pd.DataFrame:
    """Balance the classes of the *training* part; validation and test cells are never resampled.

    `N`: the same number of every class, at most N (fewer where the smallest class is smaller);
    `max`: every class down to the size of the smallest; `unequal`: all cells as they are;
    `oversampling`: every class up to the size of the largest, by repeating cells of the smaller
    ones (each cell once before any is repeated).

    Returns
    -------
    DataFrame
        Rows of `train` in key order (repeated rows adjacent), with their original index.
    """
    require(train, [TARGET])
    ordered = train.sort_values(KEY, kind="stable")
    if sample == "unequal":
        return ordered
    rng = np.random.default_rng(seed)
    sizes = ordered[TARGET].value_counts()
    if sample == "oversampling":
        size = int(sizes.max())
    else:
        size = int(sizes.min()) if sample == "max" else min(int(sample), int(sizes.min()))
    positions = [
        _draw(np.flatnonzero((ordered[TARGET] == name).to_numpy()), size, rng)
        for name in sorted(sizes.index)
    ]
    return ordered.iloc[np.sort(np.concatenate(positions))]


def _draw(rows: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """`size` rows without repeats, or where they are fewer all of them and random repeats."""
    if size <= len(rows):
        return rng.choice(rows, size, replace=False)
    return np.concatenate([rows, rng.choice(rows, size - len(rows), replace=True)])


def _classes_per_unit(cells: pd.DataFrame, unit: Unit) -> pd.DataFrame:
    """Table unit x class, True where the unit holds cells of the class; both sorted."""
    require(cells, [PLATE, WELL, CELL, TARGET])
    if cells[TARGET].isna().any():
        raise DataError("some cells to split have no class; select_culture leaves such cells out")
    keys = WELL_KEY if unit == "well" else [PLATE]
    if cells.empty:
        raise DataError("there are no labelled cells to split")
    counts = cells.groupby([*keys, TARGET], sort=True).size().unstack(TARGET, fill_value=0)
    return counts > 0


def _require_units(present: pd.DataFrame, needed: int, unit: Unit, what: str) -> None:
    counts = present.sum()
    if (counts < needed).any():
        listed = ", ".join(f"{name} {n}" for name, n in counts.items())
        raise DataError(
            f"{what} needs {needed} {unit}s of every class, there are: {listed}; add {unit}s, "
            + ("leave the class out (train.targets)" if unit == "well" else "or split by well")
            + ("; cross-validation (the forest's default) needs 2" if needed == 3 else "")
        )


def _assign(
    present: pd.DataFrame,
    quota: Callable[[int], list[int]],
    seed: int,
    *,
    valid: Callable[[np.ndarray], bool],
    unit: Unit,
) -> pd.Series:
    """Iterative stratification (Sechidis et al. 2011) over whole units; index unit, value part.

    The rarest class is dealt out first, each of its units to the part that still lacks most of it.
    Units with several classes can make a deal invalid; then the units are shuffled anew.
    """
    rng = np.random.default_rng(seed)
    holds = present.to_numpy()
    quotas = np.array([quota(int(n)) for n in holds.sum(axis=0)]).T
    for _ in range(_TRIES):
        part = _deal(holds, quotas.astype(float), rng.permutation(len(holds)))
        counts = np.array([holds[part == i].sum(axis=0) for i in range(len(quotas))])
        if valid(counts):
            return pd.Series(part, index=present.index)
    listed = ", ".join(f"{name} {n}" for name, n in present.sum().items())
    raise DataError(
        f"no division of the {unit}s puts every class where it is needed; "
        f"{unit}s per class: {listed}; "
        f"add {unit}s or leave a class out (train.targets)"
    )


def _deal(holds: np.ndarray, lacking: np.ndarray, order: np.ndarray) -> np.ndarray:
    part = np.full(len(holds), -1)
    for column in np.argsort(holds.sum(axis=0), kind="stable"):
        for row in order[(part[order] < 0) & holds[order, column]]:
            wants = lacking[:, column]
            best = np.flatnonzero(wants == wants.max())
            chosen = best[np.argmax(lacking[best].sum(axis=1))]
            part[row] = chosen
            lacking[chosen] -= holds[row]
    return part


def _per_well(cells: pd.DataFrame, unit: Unit, column: str, parts: pd.Series) -> pd.DataFrame:
    wells = cells[WELL_KEY].drop_duplicates().sort_values(WELL_KEY, kind="stable")
    if unit == "well":
        values = parts.reindex(pd.MultiIndex.from_frame(wells))
    else:
        values = parts.reindex(wells[PLATE])
    return pd.DataFrame(
        {
            "plate": wells[PLATE].to_numpy(),
            "well": wells[WELL].to_numpy(),
            column: values.to_numpy(),
        }
    )
