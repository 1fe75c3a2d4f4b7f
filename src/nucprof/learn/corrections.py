"""What people's answers about single cells amount to: one class per cell, and how well they agree.

A cell has the class that most people gave it. Where no class has most votes, people disagree, and
the cell is ``undefined``: it is not trained on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from nucprof.core.markers import UNDEFINED
from nucprof.errors import DataError
from nucprof.io.corrections import read_corrections
from nucprof.plate.columns import CELL, CORRECTED, KEY, PLATE

_KEY = ["plate", "ROI_img_name"]
ANSWER = "true_condition"


def checked_corrections(
    paths: Sequence[Path], cells: pd.DataFrame, classes: Collection[str]
) -> pd.DataFrame:
    """Read all answers; every one must be about a cell of the project and name a class of it.

    Parameters
    ----------
    paths
        The files, see :func:`~nucprof.io.corrections.read_corrections`.
    cells
        All cells of the project: `Metadata_Plate`, `Metadata_ROI_img_name`.
    classes
        The classes; `undefined` is always allowed.

    Raises
    ------
    DataError
        An answer is about an unknown cell, or names an unknown class.
    UserError
        A file is wrong.
    """
    table = read_corrections(paths)
    named = ", ".join(map(str, paths))
    known = pd.MultiIndex.from_frame(cells[KEY])
    strangers = ~pd.MultiIndex.from_frame(table[_KEY]).isin(known)
    if strangers.any():
        row = table[strangers].iloc[0]
        raise DataError(
            f"{named}: {strangers.sum()} answer(s) are about cells that this project does not "
            f"have, e.g. {row['ROI_img_name']} of plate {row['plate']}. After a new segmentation, "
            "cells have other names: review them again, or delete these lines."
        )
    unknown = ~table[ANSWER].isin([*classes, UNDEFINED])
    if unknown.any():
        raise DataError(
            f"{named}: unknown class '{table[ANSWER][unknown].iloc[0]}' (of cell "
            f"{table['ROI_img_name'][unknown].iloc[0]}); classes are "
            f"{', '.join([*classes, UNDEFINED])}."
        )
    return table


def votes(answers: pd.DataFrame) -> pd.DataFrame:
    """One row per cell: the class that most people gave it, without one `undefined`.

    Returns
    -------
    DataFrame
        `Metadata_Plate`, `Metadata_ROI_img_name`, `corrected`, in key order.
    """
    counts = answers.groupby([*_KEY, ANSWER], sort=True).size().rename("votes").reset_index()
    most = counts.groupby(_KEY)["votes"].transform("max")
    first = counts[counts["votes"] == most]
    tied = first.duplicated(_KEY, keep=False)
    first = first.assign(**{ANSWER: first[ANSWER].where(~tied, UNDEFINED)})
    chosen = first.drop_duplicates(_KEY)[[*_KEY, ANSWER]]
    return chosen.set_axis([PLATE, CELL, CORRECTED], axis=1).reset_index(drop=True)


def add_corrections(cells: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """The cells with the column `corrected`, missing where nobody answered; rows stay in order."""
    return cells.merge(votes(answers), on=KEY, how="left", validate="one_to_one")


@dataclass(frozen=True)
class Pair:
    """How two people agree on the cells that both have answered.

    `kappa` is Cohen's (1960): the agreement beyond chance, as a share of what is possible beyond
    chance. It is NaN where chance alone agrees, that is if both gave every cell the same class.
    """

    first: str
    second: str
    cells: int
    agreement: float
    kappa: float


@dataclass(frozen=True)
class Agreement:
    """Answers, compared with the gate and with each other.

    Attributes
    ----------
    cells : int
        Cells with an answer.
    answers : dict
        Person -> cells answered.
    changed, excluded, disputed : int
        Cells whose class differs from the gate's; of these those that are `undefined` because
        people excluded them, and because they disagree.
    pairs : list of Pair
        Of all who share a cell.
    """

    cells: int
    answers: dict[str, int]
    changed: int
    excluded: int
    disputed: int
    pairs: list[Pair]

    @property
    def with_gate(self) -> float:
        """Share of the answered cells whose class is the gate's."""
        return 1 - self.changed / self.cells if self.cells else float("nan")


def compare(answers: pd.DataFrame, gated: pd.DataFrame, column: str) -> Agreement:
    """Compare answers with the classes in a column of `gated` (keyed by plate and cell)."""
    chosen = votes(answers).merge(gated[[*KEY, column]], on=KEY, how="inner")
    changed = chosen[chosen[CORRECTED] != chosen[column].fillna(UNDEFINED)]
    given = answers.groupby(_KEY)[ANSWER].agg(lambda own: set(own) != {UNDEFINED})
    lost = changed[changed[CORRECTED] == UNDEFINED]
    disputed = int(given.loc[pd.MultiIndex.from_frame(lost[KEY])].sum()) if len(lost) else 0
    return Agreement(
        cells=len(chosen),
        answers={str(name): int(n) for name, n in answers.groupby("who").size().items()},
        changed=len(changed),
        excluded=len(lost) - disputed,
        disputed=disputed,
        pairs=_pairs(answers),
    )


def _pairs(answers: pd.DataFrame) -> list[Pair]:
    wide = answers.pivot(index=_KEY, columns="who", values=ANSWER)
    found = []
    for first, second in combinations(sorted(wide.columns), 2):
        both = wide[[first, second]].dropna()
        if len(both):
            a, b = both[first].to_numpy(dtype=str), both[second].to_numpy(dtype=str)
            found.append(Pair(first, second, len(both), float((a == b).mean()), _kappa(a, b)))
    return found


def _kappa(a: np.ndarray, b: np.ndarray) -> float:
    from sklearn.metrics import cohen_kappa_score

    if len({*a, *b}) < 2:
        return float("nan")
    return float(cohen_kappa_score(a, b))


def agreement_lines(agreement: Agreement) -> list[str]:
    """The agreement in words, a line each."""
    if not agreement.cells:
        return ["corrections: no cell is reviewed yet"]
    people = ", ".join(f"{name} {n}" for name, n in agreement.answers.items())
    lost = ", ".join(
        f"{n} {what}"
        for n, what in ((agreement.excluded, "excluded"), (agreement.disputed, "disputed"))
        if n
    )
    lines = [
        f"corrections: {agreement.cells} cells reviewed ({people}), {agreement.with_gate:.1%} "
        f"agree with the gate, {agreement.changed} changed"
        + (f" (of these {lost})" if lost else "")
    ]
    for pair in agreement.pairs:
        kappa = "not defined" if np.isnan(pair.kappa) else f"{pair.kappa:.2f}"
        lines.append(
            f"{pair.first} and {pair.second} agree on {pair.agreement:.1%} of {pair.cells} cells "
            f"(Cohen's kappa {kappa})"
        )
    return lines
