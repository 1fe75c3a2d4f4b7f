"""Simulated wells whose composition is known, for the coverage of its interval.

Two kinds of classifier are simulated. *positions*: a cell of class y lies at `z = apart * e_y` plus
noise of standard deviation 1, plus its well's and its plate's shift, and is called by its largest
coordinate; `apart` 1.2, 2.6, 4 are classifiers that are right for 80, 97, 99.8% of two classes.
*rates*: the error rates of every class in every well are drawn by themselves (Dirichlet), so that
nothing is shared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from nucprof.learn.composition import CompositionEstimator
from nucprof.learn.composition.prior_shift import most_likely_shares

RATES = np.array([[0.95, 0.05], [0.12, 0.88]])
ALIKE = 60.0


@dataclass(frozen=True)
class Regime:
    """How wells, plates and classifier are."""

    name: str
    wells: int = 8
    """Reference wells where the errors were learnt; monocultures: of each class."""
    mono: bool = False
    tau: float = 0.2
    """Standard deviation of a well's shift, in those of a cell."""
    apart: float = 2.6
    classes: int = 2
    cells: int = 1000
    rare: float | None = None
    """Share of the last class; None: all compositions alike."""
    plate_shift: float | None = None
    """Standard deviation of the shift of a new plate; None: the same plate."""
    on_plate: int = 0
    """Monoculture wells of each class on the new plate."""
    rates: bool = False
    told: str = ""
    """What the output says, where intervals are not to be relied on."""


FEW, NO_REFERENCE = "fewer than 4 wells", "no reference on the plate"
REGIMES = (
    Regime("1 reference well", wells=1, told=FEW),
    Regime("2 reference wells", wells=2, told=FEW),
    Regime("3 reference wells", wells=3, told=FEW),
    Regime("4 reference wells", wells=4),
    Regime("8 reference wells"),
    Regime("20 reference wells", wells=20),
    Regime("3 wells that differ much", wells=3, tau=0.5, told=FEW),
    Regime("4 wells that differ much", wells=4, tau=0.5),
    Regime("8 wells that differ much", tau=0.5),
    Regime("20 wells that differ much", wells=20, tau=0.5),
    Regime("8 wells that do not differ", tau=0.0),
    Regime("200 cells a well", cells=200),
    Regime("2000 cells a well", cells=2000),
    Regime("4 monocultures of each class", wells=4, mono=True),
    Regime("4 monocultures, differ much", wells=4, mono=True, tau=0.5),
    Regime("weak classifier (80%)", apart=1.2),
    Regime("strong classifier (99.8%)", apart=4.0),
    Regime("3 classes", classes=3),
    Regime("3 classes, differ much", classes=3, tau=0.5),
    Regime("5 classes", classes=5),
    Regime("class absent", rare=0.0),
    Regime("class of 1%", rare=0.01),
    Regime("class of 5%", rare=0.05),
    Regime("class of 1%, strong classifier", rare=0.01, apart=4.0),
    Regime("class of 5%, differ much", rare=0.05, tau=0.5),
    Regime("class of 2% of 3", rare=0.02, classes=3),
    Regime("independent rates, 4 wells", wells=4, rates=True),
    Regime("independent rates, 12 wells", wells=12, rates=True),
    Regime("plate shift 0.25, 4 a class on it", plate_shift=0.25, on_plate=4),
    Regime("plate shift 0.5, 4 a class on it", plate_shift=0.5, on_plate=4),
    Regime("plate shift 1, 4 a class on it", plate_shift=1.0, on_plate=4),
    Regime("plate shift 0.5, 3 classes, 4 on it", plate_shift=0.5, on_plate=4, classes=3),
    Regime("plate shift 0.5, class of 2%", plate_shift=0.5, on_plate=4, rare=0.02),
    Regime("plate shift 0.5, no well on it", plate_shift=0.5, told=NO_REFERENCE),
)


@dataclass(frozen=True)
class Coverage:
    """Of one regime: means over simulated wells, of the last class."""

    population: float
    imaged: float
    width: float
    imaged_width: float
    bias: float
    error: float
    emq_error: float


def simulate(
    regime: Regime, shares: np.ndarray, n: int, shift: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One well: true classes `(n,)`, and probabilities `(n, K)` that hold at equal shares."""
    true = rng.choice(len(shares), n, p=shares)
    if regime.rates:
        rates = np.array([rng.dirichlet(row * ALIKE) for row in RATES])
        called = (rng.random(n) < rates[true, 1]).astype(int)
        return true, (RATES / RATES.sum(axis=0)).T[called]
    seen = rng.normal(size=(n, len(shares))) + regime.apart * np.eye(len(shares))[true]
    seen += rng.normal(0, regime.tau, len(shares)) + shift
    return true, softmax(regime.apart * seen, axis=1)


def references(
    regime: Regime, wells: int, mono: bool, shift: np.ndarray, rng: np.random.Generator
) -> list[np.ndarray]:
    """Confusion matrices of reference wells of 300 cells."""
    classes = regime.classes
    found = []
    for number in range(wells * (classes if mono else 1)):
        shares = np.eye(classes)[number % classes] if mono else np.full(classes, 1 / classes)
        true, likely = simulate(regime, shares, 300, shift, rng)
        matrix = np.zeros((classes, classes), dtype=int)
        np.add.at(matrix, (true, likely.argmax(axis=1)), 1)
        found.append(matrix)
    return found


def cover(
    regime: Regime, *, experiments: int, wells: int, bootstrap: int, seed: int = 0
) -> Coverage:
    """Simulate experiments of some wells each, and ask how often intervals hold the truth."""
    rng = np.random.default_rng(seed)
    rows, last, classes = [], regime.classes - 1, regime.classes
    none = np.zeros(classes)
    for number in range(experiments):
        known = references(regime, regime.wells, regime.mono, none, rng)
        plates = [0] * len(known)
        shift = none if regime.plate_shift is None else rng.normal(0, regime.plate_shift, classes)
        known += references(regime, regime.on_plate, True, shift, rng)
        plates += [1] * (len(known) - len(plates))
        plate = 0 if regime.plate_shift is None else 1
        estimator = CompositionEstimator(known, plates, plate, bootstrap=bootstrap, seed=number)
        for _ in range(wells):
            shares = rng.dirichlet(np.ones(classes))
            if regime.rare is not None:
                shares = np.append(np.full(last, (1 - regime.rare) / last), regime.rare)
            true, likely = simulate(regime, shares, regime.cells, shift, rng)
            found = estimator.estimate(np.bincount(likely.argmax(axis=1), minlength=classes))
            actual = (true == last).mean()
            emq = most_likely_shares(likely, np.full(classes, 1 / classes))
            rows.append((
                found.low[last] <= shares[last] <= found.high[last],
                found.imaged_low[last] - 1e-9 <= actual <= found.imaged_high[last] + 1e-9,
                found.high[last] - found.low[last],
                found.imaged_high[last] - found.imaged_low[last],
                found.adjusted[last] - shares[last],
                abs(found.adjusted[last] - shares[last]),
                abs(emq[last] - shares[last]),
            ))  # fmt: skip
    return Coverage(*np.mean(rows, axis=0))
