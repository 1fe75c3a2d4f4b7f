"""The gate as a whole: from marker intensities to classes, their certainty, and advice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nucprof.core.cutoffs import CutoffQuality, Share
from nucprof.core.gating import (
    Cutoffs,
    MarkerCells,
    Per,
    find_cutoffs,
    find_rules,
    given_cutoff,
    one_per_plate,
)
from nucprof.core.identity import Identity, identify
from nucprof.core.markers import (
    UNDEFINED,
    FloatArray,
    Rule,
    TextArray,
    classify,
    markers_of,
    medians,
)
from nucprof.core.stray_light import bleed_through, uneven_background, uneven_plates, unmix_cells
from nucprof.errors import DataError


@dataclass(frozen=True, eq=False)
class Gate:
    """Classes of all cells, with everything that they are based on.

    Attributes
    ----------
    cells : MarkerCells
        The intensities that the cutoffs apply to, corrected where that was asked for.
    rules : dict
        Class -> its rule.
    given : frozenset of (str, str)
        Plate and marker of every cutoff that was given.
    monocultures : list of str
    per_plate : bool
        Whether every plate has cutoffs of its own.
    cutoffs : Cutoffs
    called : (N,) str
        Class of every cell, or ``undefined``.
    identity : Identity
        Probabilities of the classes, and contents of the monocultures.
    notes : list of str
        Suggestions for the user.
    """

    cells: MarkerCells
    rules: dict[str, Rule]
    given: frozenset[tuple[str, str]]
    monocultures: list[str]
    per_plate: bool
    cutoffs: Cutoffs
    called: TextArray
    identity: Identity
    notes: list[str]

    def is_given(self, marker: str, plate: str = "") -> bool:
        """Whether a marker's cutoff was given: on a plate, or ("") on all of them."""
        plates = [plate] if plate else self.cells.plate_names
        return all((name, marker) in self.given for name in plates)

    @property
    def label_noise(self) -> float:
        """Expected share of wrong classes among the decided cells; NaN where it is not known."""
        right = self.identity.confidence(self.called)[self.called != UNDEFINED]
        right = right[~np.isnan(right)]
        return float(1 - right.mean()) if len(right) else float("nan")

    def class_of(self, marker: str) -> str:
        """The class that a marker was named for; the one that carries it comes first."""
        named = [name for name, rule in self.rules.items() if rule.marker == marker]
        return min(named, key=lambda name: not self.rules[name].carries)

    def report(self) -> dict[str, Any]:
        """Content of ``cutoffs.json``: class, cutoff and quality of every marker."""
        report: dict[str, Any] = {}
        for marker in markers_of(self.rules):
            quality = self.cutoffs.quality[marker]
            report[marker] = {
                "class": self.class_of(marker),
                "carries": self.rules[self.class_of(marker)].carries,
                **describe_cutoff(self.cutoffs.summary(marker), quality[""]),
                "given": self.is_given(marker),
                "medians": self._medians(self.cells, marker),
                "classes": {n: r.carries for n, r in self.rules.items() if r.marker == marker},
            }
            if not self.per_plate and len(self.cells.plate_names) > 1:
                report[marker]["uneven"] = "".join(uneven_plates(self.cells, [marker]))
            if self.per_plate:
                report[marker]["per_plate"] = {
                    plate: {
                        **describe_cutoff(self.cutoffs.values[marker][plate], quality[plate]),
                        "given": self.is_given(marker, plate),
                        "medians": self._medians(self.cells.plate(plate), marker),
                    }
                    for plate in self.cells.plate_names
                }
        return report

    def _medians(self, cells: MarkerCells, marker: str) -> dict[str, float | None]:
        table = medians({marker: cells.values[marker]}, cells.cultures, self.monocultures)
        return {name: _or_none(value) for name, value in table[marker].items()}


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value


def describe_cutoff(cutoff: float, quality: CutoffQuality) -> dict[str, Any]:
    """A cutoff and its quality, by their names in ``cutoffs.json``."""
    entry: dict[str, Any] = {"cutoff": _or_none(cutoff)}
    for name, share in (
        ("sensitivity", quality.sensitivity),
        ("specificity", quality.specificity),
    ):
        entry |= {
            name: _or_none(share.value),
            f"{name}_low": _or_none(share.low),
            f"{name}_high": _or_none(share.high),
        }
    sides: tuple[tuple[str, Share], ...] = (
        ("positive", quality.sensitivity),
        ("negative", quality.specificity),
    )
    for name, share in sides:
        entry |= {f"n_{name}": share.cells, f"wells_{name}": share.wells}
    return entry | {"held_out": quality.held_out}


def decide(
    cells: MarkerCells,
    *,
    rules: Mapping[str, Rule],
    given: Mapping[str, float],
    per: Per,
    mixed: str,
    unmixed: bool,
    background: Mapping[str, FloatArray],
) -> Gate:
    """Find the rules and cutoffs that are not given, and assign every cell its class.

    Parameters
    ----------
    cells : MarkerCells
        All cells, with all markers of the ground truth.
    rules : mapping
        Class -> its rule; empty: from the monocultures.
    given : mapping
        Marker -> cutoff, or ``plate/marker`` -> cutoff, for those that the user gives.
    per : {"auto", "plate", "project"}
        Whether cutoffs are per plate or per project.
    mixed : str
        The layout's name of mixed wells.
    unmixed : bool
        Whether bleed-through is removed.
    background : mapping
        Marker -> ``(N,)`` background of each cell's field if it is still in the values; markers
        that are not in it are not checked.

    Raises
    ------
    DataError
        There is no cell, no one-to-one match of markers and monocultures, no monoculture for a
        cutoff, a plate that lacks them where every plate must have its own, or channels that cannot
        be unmixed.
    """
    if not len(cells):
        raise DataError(
            "gate: no cell is left; check gate.filters, and how many cells earlier stages dropped"
        )
    monocultures = cells.monocultures(mixed)
    rules = dict(rules) or find_rules(cells, monocultures)
    markers = markers_of(rules)
    cells = cells.of_markers(markers)
    per_plate = one_per_plate(cells, rules, given, per=per, mixed=mixed)
    if unmixed:
        # measured alike whether cutoffs are found or given, so that a given one means the same
        alone: Per = "project" if per == "project" else "auto"
        measured = one_per_plate(cells, rules, {}, per=alone, mixed=mixed)
        cells = unmix_cells(cells, rules, per_plate=measured, mixed=mixed)
    cutoffs = find_cutoffs(cells, rules, given, per_plate=per_plate, mixed=mixed)
    fixed = {
        (plate, marker)
        for plate in cells.plate_names
        for marker in markers
        if given_cutoff(given, plate, marker) is not None
    }
    limits = {marker: cutoffs.of_cells(marker, cells) for marker in markers}
    notes = bleed_through(cells, rules, mixed)
    known = {m: background[m] for m in markers if m in background}
    notes += uneven_background(cells, known, rules, mixed)
    identity = identify(cells, limits, rules, monocultures)
    return Gate(
        cells=cells,
        rules=rules,
        given=frozenset(fixed),
        monocultures=monocultures,
        per_plate=per_plate or any(f"{plate}/{marker}" in given for plate, marker in fixed),
        cutoffs=cutoffs,
        called=classify(cells.values, limits, rules),
        identity=identity,
        notes=notes,
    )
