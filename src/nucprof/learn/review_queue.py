"""Which cells a person should look at first.

A queue ranks cells, and then spreads them: over wells and plates, and without crops that show
nearly the same pixels.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from nucprof.core.markers import UNDEFINED
from nucprof.errors import DataError, UserError
from nucprof.plate.columns import CELL, KEY, PLATE, WELL_KEY
from nucprof.plate.keys import parse_cell_key

KINDS = ("uncertain", "disagree", "random", "class:NAME", "B-02-01_0001")
CLASS = "class:"
#: Cells of consecutive ranks among which the wells take turns where the rank matters most.
BLOCK = 20
#: Crops that share more than this part of their area show nearly the same.
MOST_SHARED = 0.75

Opinions = Mapping[str, pd.DataFrame]
"""Classifier -> probabilities by a model that has not seen the cell's well: rows by (plate, cell),
a column per class."""


def opinion(predictions: pd.DataFrame) -> pd.DataFrame:
    """The mean over all seeds of a classifier's probabilities, from its `predictions.csv`.

    Returns
    -------
    DataFrame
        Indexed by `plate`, `ROI_img_name`, one column per class.
    """
    columns = [name for name in predictions if name.startswith("p_")]
    means = predictions.groupby(["plate", "ROI_img_name"])[columns].mean()
    return means.set_axis([name.removeprefix("p_") for name in columns], axis=1)


def queue(
    kind: str, cells: pd.DataFrame, opinions: Opinions, *, size: int, seed: int
) -> pd.DataFrame:
    """The cells of a queue in the order in which they are served.

    Parameters
    ----------
    kind
        One of :data:`KINDS`: `uncertain`, `disagree`, `random`, `class:` and a class, or the key of
        one cell (`B-02-01_0001`, of one plate `rep1/B-02-01_0001`).
    cells
        Cells that can be shown: plate, well, cell key, `label` (the class they have now),
        `Metadata_Center_X`, `Metadata_Center_Y` (pixels).
    opinions
        What classifiers say; needed by `uncertain` and `disagree`.
    size
        Side of a crop, pixels.
    seed
        Of the random order.

    Returns
    -------
    DataFrame
        Rows of `cells`, with the column `score`: :func:`uncertainty` or :func:`contradiction`
        (above 0 for a contradiction), missing where the queue has no rank.

    Raises
    ------
    UserError
        There is no such queue, class or cell.
    DataError
        A queue needs a classifier, and none was trained.
    """
    if kind == "uncertain":
        ranked = _ranked(cells, uncertainty(opinions))
        return spread(ranked, size, block=None)
    if kind == "disagree":
        ranked = _ranked(cells, contradiction(cells, opinions))
        return spread(ranked, size, block=BLOCK)
    if kind == "random":
        return spread(_shuffled(cells, seed), size, block=None)
    if kind.startswith(CLASS):
        return spread(_shuffled(_of_class(cells, kind.removeprefix(CLASS)), seed), size, block=None)
    return _one_cell(cells, kind)


def _of_class(cells: pd.DataFrame, name: str) -> pd.DataFrame:
    own = cells[cells["label"] == name]
    if not len(own):
        found = ", ".join(sorted(cells["label"].unique()))
        raise UserError(f"--queue class:{name}: no cell to review is of this class; {found} are.")
    return own


def _one_cell(cells: pd.DataFrame, text: str) -> pd.DataFrame:
    plate, _, key = text.rpartition("/")
    try:
        field, label = parse_cell_key(key)
    except UserError:
        raise UserError(
            f"--queue {text}: there is no such queue; queues are {', '.join(KINDS)} (a cell)."
        ) from None
    own = cells[cells[CELL] == f"{field}_{label:04d}"]
    own = own[own[PLATE] == plate] if plate else own
    if not len(own):
        raise UserError(f"--queue {text}: there is no such cell, or it was dropped or reviewed.")
    return own.assign(score=np.nan)


def _shuffled(cells: pd.DataFrame, seed: int) -> pd.DataFrame:
    return cells.sample(frac=1, random_state=seed).assign(score=np.nan)


def _ranked(cells: pd.DataFrame, score: pd.Series) -> pd.DataFrame:
    """The cells that have a score, highest first."""
    if not len(score):
        raise DataError(
            "this queue needs a trained classifier: run nucprof train rf PROJECT first, or use "
            "--queue random"
        )
    scored = cells.assign(score=score.reindex(pd.MultiIndex.from_frame(cells[KEY])).to_numpy())
    scored = scored.dropna(subset="score")
    return scored.sort_values(["score", *KEY], ascending=[False, True, True])


def uncertainty(opinions: Opinions) -> pd.Series:
    """1 minus the margin between the two likeliest classes, of the mean of all classifiers.

    The margin (Scheffer et al. 2001) tells two competing classes from one class that is merely
    unlikely. 1 is a tie, 0 is certainty.
    """
    if not opinions:
        return pd.Series(dtype=float)
    mean = pd.concat(opinions.values()).groupby(level=[0, 1]).mean()
    top = np.sort(mean.to_numpy(dtype=float), axis=1)
    return pd.Series(1 - (top[:, -1] - top[:, -2]), index=mean.index)


def contradiction(cells: pd.DataFrame, opinions: Opinions) -> pd.Series:
    """How certainly a cell's class, the forest and the network contradict each other.

    A class and the classifiers contradict each other by the margin with which the classifiers
    prefer another one (mean over the classifiers, so that cells that both contradict come first).
    Each class's probability is taken relative to its mean over the cells that have this class, as
    in confident learning (Northcutt et al. 2021, eq. 2): a class that is hard to learn, or learned
    from wrong labels, has lower probabilities throughout. Two classifiers contradict each other by
    the smaller of the margins with which each prefers its own class to the other's.

    Returns
    -------
    Series
        By (plate, cell); above 0 for a contradiction, at most about 2. Cells without an opinion or
        without a class are absent.
    """
    if not opinions:
        return pd.Series(dtype=float)
    label = cells.set_index(KEY)["label"]
    label = label[label != UNDEFINED]
    against = [_against_label(likely, label) for likely in opinions.values()]
    score = pd.concat(against).groupby(level=[0, 1]).mean()
    if len(opinions) == 2:
        score = score.combine(_between(*opinions.values()).reindex(score.index), _larger)
    return score


def _larger(a: float, b: float) -> float:
    return float(np.nanmax([a, b]))


def _against_label(likely: pd.DataFrame, label: pd.Series) -> pd.Series:
    """Margin of the likeliest other class over the label's, relative to the classes' means."""
    likely = likely.loc[likely.index.isin(label.index)]
    own = label.reindex(likely.index)
    likely, own = likely[own.isin(likely.columns)], own[own.isin(likely.columns)]
    if not len(likely):
        return pd.Series(dtype=float, index=likely.index)
    values = likely.to_numpy(dtype=float)
    place = likely.columns.get_indexer(own)
    is_own = place[:, None] == np.arange(values.shape[1])
    usual = np.where(is_own, values, 0).sum(axis=0) / np.maximum(is_own.sum(axis=0), 1)
    relative = values - usual
    other = np.where(is_own, -np.inf, relative).max(axis=1)
    return pd.Series(other - relative[is_own], index=likely.index)


def _between(first: pd.DataFrame, second: pd.DataFrame) -> pd.Series:
    """The smaller margin of two classifiers for their own class over the other's class."""
    shared = first.index.intersection(second.index)
    names = sorted({*first.columns} & {*second.columns})
    a = first.loc[shared, names].to_numpy(dtype=float)
    b = second.loc[shared, names].to_numpy(dtype=float)
    rows, of_a, of_b = np.arange(len(shared)), a.argmax(axis=1), b.argmax(axis=1)
    margin = np.minimum(a[rows, of_a] - a[rows, of_b], b[rows, of_b] - b[rows, of_a])
    return pd.Series(margin, index=shared)


def spread(ranked: pd.DataFrame, size: int, *, block: int | None) -> pd.DataFrame:
    """Let wells take turns, and put crops that show nearly the same as an earlier one at the end.

    Parameters
    ----------
    ranked
        Cells in order: plate, well, cell key and centre.
    size
        Side of a crop, pixels.
    block
        The wells take turns within so many cells of consecutive ranks; None: within all.
    """
    part = np.arange(len(ranked)) // (block or max(len(ranked), 1))
    turn = ranked.assign(part=part).groupby([*WELL_KEY, "part"]).cumcount().to_numpy()
    ranked = ranked.iloc[np.lexsort((np.arange(len(ranked)), turn, part))]
    again = _shown_before(ranked, size)
    return pd.concat([ranked[~again], ranked[again]]).reset_index(drop=True)


def _shown_before(cells: pd.DataFrame, size: int) -> np.ndarray:
    """Whether a crop shares more than three quarters of its area with an earlier one, per cell."""
    fields = cells[PLATE] + "/" + cells[CELL].str.rsplit("_", n=1).str[0]
    centres = cells[["Metadata_Center_Y", "Metadata_Center_X"]].to_numpy(dtype=float)
    again = np.zeros(len(cells), dtype=bool)
    shown: dict[str, list[np.ndarray]] = {}
    for row, (field, centre) in enumerate(zip(fields, centres, strict=True)):
        earlier = shown.setdefault(field, [])
        if earlier:
            left = np.clip(1 - np.abs(np.array(earlier) - centre) / size, 0, None)
            again[row] = bool((left.prod(axis=1) > MOST_SHARED).any())
        if not again[row]:
            earlier.append(centre)
    return again


def reasons(cells: pd.DataFrame, opinions: Opinions) -> list[str]:
    """What classifiers say of each cell, e.g. ``forest: astro 83%, network: neuro 60%``."""
    keys = list(cells[KEY].itertuples(index=False, name=None))
    texts: list[list[str]] = [[] for _ in keys]
    for name, likely in opinions.items():
        known = likely.reindex(pd.MultiIndex.from_tuples(keys, names=likely.index.names))
        for said, row in zip(texts, known.to_numpy(dtype=float), strict=True):
            if not np.isnan(row).all():
                said.append(f"{name}: {likely.columns[int(row.argmax())]} {row.max():.0%}")
    return [", ".join(said) for said in texts]
