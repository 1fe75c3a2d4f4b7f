"""The composition of every well, from predictions and reference wells: `composition.csv`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nucprof.errors import DataError
from nucprof.learn.composition.detection import limit_of_detection
from nucprof.learn.composition.estimate import CompositionEstimator
from nucprof.learn.composition.prior_shift import most_likely_shares
from nucprof.learn.out_of_fold import OUT_OF_FOLD, TRAINED_ON

Well = tuple[str, str]
"""Plate and well."""

FEW_WELLS = 4
"""With fewer reference wells of a class nobody can tell how much wells differ."""
ENOUGH_WELLS = 12
"""With so many reference wells on its plate a reference well is not judged without itself."""
MOST_TRAINED_ON = 0.05
"""With a larger share of cells that the model was trained on a well is warned of."""
NO_REFERENCE = "no reference well on this plate"


@dataclass(frozen=True)
class Known:
    """What is known beside the predictions.

    Parameters
    ----------
    unseen_wells
        The model's confusion matrices on wells that it had not seen: `plate`, `well`,
        `confusion_matrix` of each.
    prior
        `(K,)` shares at which the probabilities hold; None: all alike.
    seen_plates
        Plates that hold wells that the model was trained on, by their cells and not only by name.
    cultures
        The layout's culture of wells.
    references
        The culture of reference wells.
    """

    unseen_wells: Sequence[Mapping[str, Any]]
    prior: np.ndarray | None = None
    seen_plates: Collection[str] = ()
    cultures: Mapping[Well, str] | None = None
    references: Mapping[Well, str] | None = None


@dataclass(frozen=True)
class _Reference:
    well: Well
    counts: np.ndarray
    plate: int

    @property
    def of_one_class(self) -> bool:
        """Whether all its cells are taken to be of one class."""
        return bool((self.counts.sum(axis=1) > 0).sum() == 1)


_HERE = 0
"""Number of the plate at hand among the plates of its reference wells."""


def compositions(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    known: Known,
    *,
    bootstrap: int,
    seed: int,
) -> pd.DataFrame:
    """The rows of `composition.csv`: what every well holds, with 95% intervals.

    All cells count, by their most likely class: leaving the uncertain ones out would leave out more
    of the class that is harder to tell. Where a plate has reference wells of its own, their cells,
    whose class is known, tell how the plate differs from those that the errors were learnt on. A
    reference well of one culture is judged by the others, where these hold every class: by itself
    it would be pure.

    Parameters
    ----------
    predictions
        As from :func:`nucprof.learn.predict.prediction_table`.
    classes
        Class names.
    known
        Reference wells and layout.
    bootstrap, seed
        Number and seed of the draws.

    Returns
    -------
    DataFrame
        One row per well and class, sorted: `plate, well, class, n_cells` (of the well),
        `n_predicted`, `n_uncertain`, `predicted_share`, `share` (corrected for the classifier's
        errors), `low`, `high` (of the population that the cells were drawn from), `imaged_low`,
        `imaged_high` (of the imaged cells), `share_emq`, `limit_of_detection`, `culture`,
        `reference_wells` (that tell the errors of the class), `plate_reference_wells` (those on
        this plate), `n_out_of_fold`, `n_trained_on` (cells, see
        :mod:`nucprof.learn.out_of_fold`), `note`.

    Raises
    ------
    DataError
        If the model's errors are not known.
    """
    tables = [
        _of_plate(str(plate), cells, list(classes), known, bootstrap, seed)
        for plate, cells in predictions.groupby("plate", sort=True)
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _of_plate(
    plate: str, cells: pd.DataFrame, classes: list[str], known: Known, bootstrap: int, seed: int
) -> pd.DataFrame:
    references = _references(plate, cells, classes, known)
    prior = np.full(len(classes), 1 / len(classes)) if known.prior is None else known.prior
    here = {reference.well for reference in references if reference.plate == _HERE}
    pure = {reference.well for reference in references if reference.of_one_class}
    of_all = _estimator(references, bootstrap, seed)
    rows = []
    for well, own in cells.groupby("well", sort=True):
        key = (plate, str(well))
        used, estimator = references, of_all
        if key in here & pure and len(here) < ENOUGH_WELLS:
            others = [reference for reference in references if reference.well != key]
            if _hold_all(others):
                used, estimator = others, _estimator(others, bootstrap, seed)
        rows += _rows(key, own, classes, known, prior, used, estimator)
    return pd.DataFrame(rows)


def _references(
    plate: str, cells: pd.DataFrame, classes: list[str], known: Known
) -> list[_Reference]:
    """Reference wells by which the wells of a plate are judged."""
    numbers: dict[str, int] = {plate: _HERE} if plate in known.seen_plates else {}
    found = []
    for well in known.unseen_wells:
        matrix, name = np.asarray(well["confusion_matrix"]), str(well.get("plate", ""))
        if matrix.shape != (len(classes), len(classes)):
            raise DataError("the model's confusion matrices do not fit its classes; train it again")
        number = numbers.setdefault(name, len(numbers) + (_HERE not in numbers.values()))
        found.append(_Reference((name, str(well.get("well", ""))), matrix, number))
    if any(reference.plate == _HERE for reference in found):
        # Held-out wells of the kind that the classifier is for tell more than monocultures.
        return found
    unseen = cells[cells["source"] != TRAINED_ON] if "source" in cells else cells
    for well, own in unseen.groupby("well", sort=True):
        culture = (known.references or {}).get((plate, str(well)))
        if culture in classes:
            matrix = np.zeros((len(classes), len(classes)), dtype=int)
            matrix[classes.index(culture)] = _count(own, classes)
            found.append(_Reference((plate, str(well)), matrix, _HERE))
    return found


def _estimator(references: Sequence[_Reference], bootstrap: int, seed: int) -> CompositionEstimator:
    return CompositionEstimator(
        [reference.counts for reference in references],
        [reference.plate for reference in references],
        _HERE,
        bootstrap=bootstrap,
        seed=seed,
    )


def _hold_all(references: Sequence[_Reference]) -> bool:
    total = sum(reference.counts.sum(axis=1) for reference in references)
    return bool(np.all(total > 0))


def _count(cells: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    return np.array([int((cells["most_likely"] == name).sum()) for name in classes])


def _rows(
    key: Well,
    cells: pd.DataFrame,
    classes: Sequence[str],
    known: Known,
    prior: np.ndarray,
    references: Sequence[_Reference],
    estimator: CompositionEstimator,
) -> list[dict[str, Any]]:
    counts = _count(cells, classes)
    found = estimator.estimate(counts)
    probabilities = cells[[f"p_{name}" for name in classes]].to_numpy(dtype=float)
    emq = most_likely_shares(probabilities, prior)
    least = limit_of_detection(
        estimator.drawn, estimator.rates, found.adjusted, len(cells), seed=estimator.seed
    )
    source = cells["source"] if "source" in cells else pd.Series("", index=cells.index)
    rows = []
    for i, name in enumerate(classes):
        telling = [reference for reference in references if reference.counts[i].sum()]
        on_plate = sum(reference.plate == _HERE for reference in telling)
        notes = [] if on_plate else [NO_REFERENCE]
        if len(telling) < FEW_WELLS:
            notes.append(f"{len(telling)} reference wells, fewer than {FEW_WELLS}")
        rows.append({
            "plate": key[0], "well": key[1], "class": name,
            "n_cells": len(cells), "n_predicted": counts[i],
            "n_uncertain": int((cells["predicted"] != cells["most_likely"]).sum()),
            "predicted_share": found.naive[i], "share": found.adjusted[i],
            "low": found.low[i], "high": found.high[i],
            "imaged_low": found.imaged_low[i], "imaged_high": found.imaged_high[i],
            "share_emq": emq[i], "limit_of_detection": least[i],
            "culture": (known.cultures or {}).get(key, ""),
            "reference_wells": len(telling), "plate_reference_wells": on_plate,
            "n_out_of_fold": int((source == OUT_OF_FOLD).sum()),
            "n_trained_on": int((source == TRAINED_ON).sum()),
            "note": "; ".join(notes),
        })  # fmt: skip
    return rows


def cautions(composition: pd.DataFrame) -> list[str]:
    """What a user must know before believing the intervals, a line for each thing."""
    lines = []
    without = composition[composition["plate_reference_wells"] == 0]["plate"].unique()
    if len(without):
        lines.append(
            f"no reference wells on plate(s) {', '.join(without)}: whether the classifier errs "
            "there as it did where it was trained is not known, and the intervals only allow for "
            "an ordinary difference between plates; give the plate a layout that names wells of "
            "one class"
        )
    few = composition[composition["reference_wells"] < FEW_WELLS]
    if len(few):
        least = few.groupby("class")["reference_wells"].min()
        listed = ", ".join(f"{name} {n}" for name, n in least.items())
        lines.append(
            f"fewer than {FEW_WELLS} reference wells tell the errors of: {listed}; how much wells "
            "differ is then an assumption, not a measurement"
        )
    seen = composition.drop_duplicates(["plate", "well"])
    seen = seen[seen["n_trained_on"] > MOST_TRAINED_ON * seen["n_cells"]]
    if len(seen):
        lines.append(
            f"{int(seen['n_trained_on'].sum())} cells of {len(seen)} wells, e.g. "
            f"{seen['plate'].iloc[0]}/{seen['well'].iloc[0]}, were predicted by a model that was "
            "trained on their well: their composition looks surer than it is"
        )
    return lines
