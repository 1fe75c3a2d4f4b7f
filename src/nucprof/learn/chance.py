"""How far chance alone gets: labels change places between wells that could have held them.

Cells of a well share medium, staining and focus, so a classifier that has learned which well a cell
is from looks as if it knew the class whenever wells of one class happen to be alike. Shuffling the
labels of single cells hides this; shuffling those of whole wells shows it (Good 2005, "Permutation,
Parametric and Bootstrap Tests of Hypotheses", on restricted exchangeability).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import gammaln

from nucprof.learn.scores import macro_f1, table_of

Codes = NDArray[np.int64]

REACH = 0.95
DRAWS = 999


@dataclass(frozen=True)
class Exchange:
    """Which labels are exchangeable if the classes do not differ.

    A *unit* carries one label; units of one *block* may exchange theirs. Wells of a single class
    are units, and their plate is the block. A well of several classes is a block whose cells are
    the units. Where every plate holds a single class, whole plates are the units.
    """

    unit: Codes
    """`(n,)` unit of every cell."""
    label: Codes
    """`(U,)` class of every unit, 0 to K - 1."""
    block: Codes
    """`(U,)` block of every unit."""

    @classmethod
    def of(cls, plates: NDArray, wells: NDArray, labels: Codes) -> Exchange:
        """From plate, well and class of every cell, all `(n,)`."""
        cells = pd.DataFrame({"plate": plates, "well": wells, "label": labels})
        plate = cells.groupby("plate", sort=True).ngroup().to_numpy()
        well = cells.groupby(["plate", "well"], sort=True).ngroup().to_numpy()
        classes_in = cells.groupby(well)["label"].nunique().to_numpy()
        if plate.max() > 0 and (cells.groupby(plate)["label"].nunique() == 1).all():
            unit, block = plate, np.zeros_like(plate)
        else:
            pure = classes_in[well] == 1
            unit = np.where(pure, well, len(classes_in) + np.arange(len(cells)))
            block = np.where(pure, plate, plate.max() + 1 + well)
        _, first, unit = np.unique(unit, return_index=True, return_inverse=True)
        return cls(unit, labels[first], block[first])

    def count(self, *, renamed: bool) -> float:
        """Number of different arrangements of the labels; infinite where it exceeds a float.

        With `renamed`, arrangements that differ only in the names of the classes count once.
        """
        _, block = np.unique(self.block, return_inverse=True)
        table = np.zeros((block.max() + 1, self.label.max() + 1))
        np.add.at(table, (block, self.label), 1)
        ways = gammaln(table.sum(axis=1) + 1).sum() - gammaln(table + 1).sum()
        if renamed:
            _, alike = np.unique(table, axis=1, return_counts=True)
            ways -= gammaln(alike + 1).sum()
        return float(np.round(np.exp(ways))) if ways < 700 else float("inf")

    def shuffled(self, rng: np.random.Generator) -> Codes:
        """A random arrangement: `(U,)` labels, exchanged within blocks."""
        out = np.empty_like(self.label)
        place = np.argsort(self.block, kind="stable")
        out[place] = self.label[np.lexsort((rng.random(len(self.label)), self.block))]
        return out

    def every(self, *, renamed: bool) -> Iterator[Codes]:
        """All arrangements but the true one; see :meth:`count`."""
        places = [np.flatnonzero(self.block == block) for block in np.unique(self.block)]
        orders = [list(_orders(np.bincount(self.label[place]))) for place in places]
        seen = {self._name(self.label, renamed)}
        for chosen in product(*orders):
            out = np.empty_like(self.label)
            for place, labels in zip(places, chosen, strict=True):
                out[place] = labels
            name = self._name(out, renamed)
            if name not in seen:
                seen.add(name)
                yield out

    @staticmethod
    def _name(labels: Codes, renamed: bool) -> bytes:
        """Equal for arrangements that count once: classes numbered as they first occur."""
        if renamed:
            _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
            labels = np.argsort(np.argsort(first))[inverse]
        return labels.astype(np.int64).tobytes()


def _orders(counts: NDArray) -> Iterator[Codes]:
    """All orders of labels that hold class k `counts[k]` times."""
    common = int(counts.argmax())
    others = [int(k) for k in np.flatnonzero(counts) if k != common]

    def fill(order: Codes, classes: list[int]) -> Iterator[Codes]:
        if not classes:
            yield order
            return
        free = np.flatnonzero(order == common).tolist()
        for places in combinations(free, int(counts[classes[0]])):
            filled = order.copy()
            filled[list(places)] = classes[0]
            yield from fill(filled, classes[1:])

    yield from fill(np.full(int(counts.sum()), common), others)


@dataclass(frozen=True)
class Chance:
    """What a figure is when labels are exchanged, the true arrangement included."""

    p_value: float
    """Share of the arrangements whose figure is at least the true one's."""
    p_value_min: float
    """The smallest possible: one over the number of arrangements looked at."""
    mean: float
    reach: float
    """95% of the arrangements stay at or below this."""
    arrangements: int


def permutation_test(
    figure: Callable[[Codes], float],
    exchange: Exchange,
    *,
    renamed: bool,
    draws: int,
    seed: int,
) -> Chance:
    """Compare a figure of the true labels with that of exchanged ones.

    The p-value is exact, with `draws` random arrangements as with all of them (Phipson and Smyth
    2010, "Permutation p-values should never be zero"), if the labels of a block are exchangeable.

    Parameters
    ----------
    figure
        Of labels `(n,)`; larger is better. It must treat all labels alike: nothing in it may have
        been chosen by the true ones.
    exchange
        Which labels may change places.
    renamed
        The figure does not depend on which class has which name, so that such arrangements are one.
    draws
        Random arrangements; where there are no more than these, all are taken.
    seed
        Of the arrangements.
    """
    if exchange.count(renamed=renamed) <= draws + 1:
        others = list(exchange.every(renamed=renamed))
    else:
        rng = np.random.default_rng(seed)
        others = [exchange.shuffled(rng) for _ in range(draws)]
    found = np.array([figure(own[exchange.unit]) for own in [exchange.label, *others]])
    # Sums in another order may differ in the last bit.
    return Chance(
        p_value=float((found >= found[0] - 1e-9).mean()),
        p_value_min=1 / len(found),
        mean=float(found.mean()),
        reach=float(np.quantile(found, REACH, method="higher")),
        arrangements=len(found),
    )


def chance_of_predictions(
    predictions: pd.DataFrame, classes: list[str], *, draws: int = DRAWS, seed: int = 0
) -> Chance:
    """Exchange the labels of tested cells; their predictions stay.

    Exact for a model that was fitted to other cells. Under cross-validation the predictions depend
    on the labels of all cells, and the model must be fitted again for every arrangement.

    Parameters
    ----------
    predictions
        `plate, well, true_condition, predicted` of one run's tested cells.
    classes
        Class names.
    draws, seed
        See :func:`permutation_test`.
    """
    number = {name: k for k, name in enumerate(classes)}
    truth = predictions["true_condition"].map(number).to_numpy(dtype=np.int64)
    guess = predictions["predicted"].map(number).to_numpy(dtype=np.int64)
    exchange = Exchange.of(predictions["plate"].to_numpy(), predictions["well"].to_numpy(), truth)
    return permutation_test(
        lambda labels: float(macro_f1(table_of(labels, guess, len(classes)))),
        exchange,
        renamed=False,
        draws=draws,
        seed=seed,
    )
