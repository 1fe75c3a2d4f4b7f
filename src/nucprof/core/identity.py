"""Probability of each cell's class, and contamination of the monocultures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nucprof.core.cutoffs import Share, share_of
from nucprof.core.gating import MarkerCells
from nucprof.core.markers import FloatArray, Rule, TextArray, markers_of
from nucprof.core.mixture import fit_mixture, states_of

NO_MARKER = "no marker"
SEVERAL = "several markers"


@dataclass(frozen=True)
class Content:
    """Share of a monoculture's cells that are of a class, by the mixture."""

    plate: str
    culture: str
    is_class: str
    share: Share


@dataclass(frozen=True, eq=False)
class Identity:
    """Posteriors of the classes.

    Attributes
    ----------
    probability : dict
        Class -> ``(N,)``; NaN for cells that lack a value and on plates without a fit.
    contents : list of Content
        Per plate and monoculture.
    unfitted : list of str
        Plates on which no mixture could be fitted.
    """

    probability: dict[str, FloatArray]
    contents: list[Content]
    unfitted: list[str]

    def confidence(self, called: TextArray) -> FloatArray:
        """``(N,)`` probability that a call is right; for ``undefined``, that of being no class."""
        right: FloatArray = 1 - np.sum(list(self.probability.values()), axis=0)
        for name, chance in self.probability.items():
            right = np.where(called == name, chance, right)
        return right


def identify(
    cells: MarkerCells,
    cutoffs: Mapping[str, FloatArray],
    rules: Mapping[str, Rule],
    monocultures: list[str],
) -> Identity:
    """Fit every plate's mixture, from the calls of the cutoffs.

    Parameters
    ----------
    cells : MarkerCells
    cutoffs : mapping
        Marker -> ``(N,)`` cutoff of each cell.
    rules : mapping
        Class -> its rule.
    monocultures : list of str
    """
    markers = markers_of(rules)
    values = np.column_stack([cells.values[marker] for marker in markers])
    above = np.column_stack([cells.values[marker] > cutoffs[marker] for marker in markers])
    states = states_of(len(markers))
    state_of = {name: _state(rule, markers, states) for name, rule in rules.items()}
    posterior = np.full((len(cells), len(states)), np.nan)
    contents: list[Content] = []
    unfitted = []
    for plate in cells.plate_names:
        here = cells.plates == plate
        found = fit_mixture(values[here], above[here], cells.cultures[here])
        if found is None:
            unfitted.append(plate)
            continue
        posterior[here] = found
        for culture in monocultures:
            own = here & (cells.cultures == culture) & ~np.isnan(posterior[:, 0])
            shares = _by_class(posterior[own], state_of, states)
            contents += [
                Content(plate, culture, name, share_of(hits, cells.wells[own]))
                for name, hits in shares.items()
                if own.any()
            ]
    probability = {name: posterior[:, state] for name, state in state_of.items()}
    return Identity(probability, contents, unfitted)


def _state(rule: Rule, markers: list[str], states: np.ndarray) -> int:
    carried = np.array([rule.carries and marker == rule.marker for marker in markers])
    return int(np.flatnonzero((states == carried).all(axis=1))[0])


def _by_class(
    posterior: FloatArray, state_of: Mapping[str, int], states: np.ndarray
) -> dict[str, FloatArray]:
    """Posterior of every class, of no marker where that is no class, and of several markers."""
    shares = {name: posterior[:, state] for name, state in state_of.items()}
    if 0 not in state_of.values():
        shares[NO_MARKER] = posterior[:, 0]
    several = states.sum(axis=1) > 1
    if several.any():
        shares[SEVERAL] = posterior[:, several].sum(axis=1)
    return shares
