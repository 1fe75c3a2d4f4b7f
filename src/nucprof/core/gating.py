"""Cutoffs of marker intensities, for every plate or for all, and cells that filters remove.

A marker belongs to the monoculture in which its median is highest; its cutoff separates that
monoculture from the others best. If plates were exposed differently, one cutoff cannot be valid for
all of them, so every plate that has the monocultures gets its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from nucprof.core.cutoffs import Calls, Controls, CutoffQuality
from nucprof.core.markers import (
    UNDEFINED,
    BoolArray,
    FloatArray,
    Rule,
    TextArray,
    assign_markers,
    markers_of,
)
from nucprof.errors import DataError

__all__ = [
    "UNDEFINED",
    "Cutoffs",
    "MarkerCells",
    "Per",
    "Sides",
    "find_cutoffs",
    "find_rules",
    "find_sides",
    "given_cutoff",
    "one_per_plate",
    "outside",
]

Per = Literal["auto", "plate", "project"]


@dataclass(frozen=True, eq=False)
class MarkerCells:
    """All cells, with the data that gating needs; one row per cell.

    Attributes
    ----------
    values : dict
        Marker -> ``(N,)`` mean intensity, NaN where it is missing.
    cultures, plates, wells : (N,) str
        Culture ("" where the layout names none), plate, and plate with well.
    """

    values: dict[str, FloatArray]
    cultures: TextArray
    plates: TextArray
    wells: TextArray

    def __len__(self) -> int:
        return len(self.cultures)

    @cached_property
    def plate_names(self) -> list[str]:
        """The plates, sorted."""
        return sorted(set(self.plates))

    def monocultures(self, mixed: str) -> list[str]:
        """The layout's cultures, the mixed one left out, sorted."""
        return sorted(set(self.cultures) - {"", mixed})

    def where(self, chosen: BoolArray) -> MarkerCells:
        """Some of the cells."""
        values = {marker: column[chosen] for marker, column in self.values.items()}
        return MarkerCells(values, *(a[chosen] for a in (self.cultures, self.plates, self.wells)))

    def of_markers(self, markers: list[str]) -> MarkerCells:
        """The cells with some of the markers."""
        values = {marker: self.values[marker] for marker in markers}
        return MarkerCells(values, self.cultures, self.plates, self.wells)

    def plate(self, name: str) -> MarkerCells:
        """The cells of one plate."""
        return self.where(self.plates == name)

    def has(self, marker: str) -> bool:
        """Whether any cell has a value of the marker."""
        return not bool(np.isnan(self.values[marker]).all())


@dataclass(frozen=True)
class Sides:
    """The monocultures that carry a marker, and those that do not."""

    carrying: tuple[str, ...]
    lacking: tuple[str, ...]

    def controls(self, cells: MarkerCells, marker: str) -> Controls:
        """Their cells, those without a value left out."""
        values = cells.values[marker]
        carries = np.isin(cells.cultures, self.carrying)
        chosen = (carries | np.isin(cells.cultures, self.lacking)) & ~np.isnan(values)
        return Controls(values[chosen], carries[chosen], cells.wells[chosen])


def find_rules(cells: MarkerCells, monocultures: list[str]) -> dict[str, Rule]:
    """Class -> its marker, from the medians of the monocultures.

    Every plate that has all monocultures is evaluated by itself: exposures may differ.

    Raises
    ------
    DataError
        There are fewer than two monocultures, no one-to-one match, or plates that disagree.
    """
    if len(monocultures) < 2:
        raise DataError(
            f"The layout names {len(monocultures)} monocultures "
            f"({', '.join(monocultures) or 'none'}); finding cutoffs needs two. Give "
            "[gate.classes] and [gate.cutoffs], or the layout."
        )
    answers = {}
    for name in cells.plate_names:
        part = cells.plate(name)
        if set(monocultures) <= set(part.cultures) and all(map(part.has, part.values)):
            answers[name] = assign_markers(part.values, part.cultures, monocultures)
    if not answers:
        return assign_markers(cells.values, cells.cultures, monocultures)
    (first, rules), *others = answers.items()
    for name, answer in others:
        if answer != rules:
            raise DataError(
                f"gate: the plates disagree on the markers: {first} says {_listed(rules)}, {name} "
                f"says {_listed(answer)}. Check their layouts and channels, or give [gate.classes]."
            )
    return rules


def _listed(rules: Mapping[str, Rule]) -> str:
    return ", ".join(f"{name} = {rule}" for name, rule in sorted(rules.items()))


def find_sides(rules: Mapping[str, Rule], monocultures: list[str]) -> dict[str, Sides]:
    """For every marker the monocultures that carry it, and those that do not.

    If no monoculture is known to carry a marker, none is known to lack it either.
    """
    sides = {}
    for marker in markers_of(rules):
        carrying = [name for name, rule in rules.items() if rule == Rule(marker)]
        if not carrying:  # only the cell line without the marker is a class: the others carry it
            carrying = [m for m in monocultures if rules.get(m) != Rule(marker, carries=False)]
        own = tuple(name for name in monocultures if name in carrying)
        others = tuple(name for name in monocultures if name not in own)
        sides[marker] = Sides(own, others if own else ())
    return sides


def _require_controls(
    marker: str, sides: Sides, rules: Mapping[str, Rule], monocultures: list[str]
) -> None:
    if sides.carrying and sides.lacking:
        return
    name = next(name for name, rule in rules.items() if rule.marker == marker)
    if not sides.carrying and rules[name].carries:
        raise DataError(
            f"gate: class '{name}' has no monoculture in the layout (there are: "
            f"{', '.join(monocultures) or 'none'}), so its cutoff cannot be found; give one: "
            f"--cutoff {marker}=NUMBER."
        )
    raise DataError(
        f"gate: the layout has one monoculture, '{', '.join(monocultures)}', so there is nothing "
        f"to separate it from; give its cutoff: --cutoff {marker}=NUMBER."
    )


@dataclass(frozen=True, eq=False)
class Cutoffs:
    """Cutoffs and their quality.

    Attributes
    ----------
    values : dict
        Marker -> plate -> cutoff; NaN where the plate has no values of the marker.
    quality : dict
        Marker -> plate -> quality on its monocultures; "" is that of all plates together.
    """

    values: dict[str, dict[str, float]]
    quality: dict[str, dict[str, CutoffQuality]]

    def of_cells(self, marker: str, cells: MarkerCells) -> FloatArray:
        """The cutoff that applies to each cell, ``(N,)``."""
        plates, place = np.unique(cells.plates.astype(str), return_inverse=True)
        return np.array([self.values[marker][str(name)] for name in plates])[place]

    def summary(self, marker: str) -> float:
        """The one cutoff, or the median of those of the plates; NaN where there is none."""
        known = [value for value in self.values[marker].values() if not np.isnan(value)]
        return float(np.median(known)) if known else float("nan")


def given_cutoff(given: Mapping[str, float], plate: str, marker: str) -> float | None:
    """The cutoff that the user gives for a plate, or for all plates; None if there is none."""
    return given.get(f"{plate}/{marker}", given.get(marker))


def find_cutoffs(
    cells: MarkerCells, rules: Mapping[str, Rule], given: Mapping[str, float], *,
    per_plate: bool, mixed: str,
) -> Cutoffs:  # fmt: skip
    """Find the cutoffs that are not given, and evaluate all cutoffs on held-out cells.

    Parameters
    ----------
    cells : MarkerCells
    rules : mapping
        Class -> its rule.
    given : mapping
        Marker -> cutoff of all plates, or ``plate/marker`` -> cutoff of one.
    per_plate : bool
        Whether cutoffs are found for every plate by itself, see :func:`one_per_plate`.
    mixed : str
        The layout's name of mixed wells.

    Raises
    ------
    DataError
        There is no monoculture to find a cutoff from.
    """
    monocultures = cells.monocultures(mixed)
    values: dict[str, dict[str, float]] = {}
    quality: dict[str, dict[str, CutoffQuality]] = {}
    for marker, sides in find_sides(rules, monocultures).items():
        fixed = {p: given_cutoff(given, p, marker) for p in cells.plate_names}
        sought = [plate for plate, cutoff in fixed.items() if cutoff is None]
        if sought:
            _require_controls(marker, sides, rules, monocultures)
        groups = [[p] for p in cells.plate_names if per_plate or fixed[p] is not None]
        groups += [sought] if sought and not per_plate else []
        judged: list[Calls] = []
        values[marker], quality[marker] = {}, {}
        for plates in groups:
            own = sides.controls(cells.where(np.isin(cells.plates, plates)), marker)
            cutoff, calls = fixed[plates[0]], Calls.none()
            if cutoff is not None:
                calls = Calls(own, own.values > cutoff, None)
            elif per_plate and not cells.plate(plates[0]).has(marker):
                cutoff = float("nan")
            else:
                # plates without the monocultures share a cutoff with those that have them
                whole = own.has_both or per_plate
                controls = own if whole else sides.controls(cells, marker)
                cutoff, calls = controls.cutoff(), controls.held_out_calls()
            values[marker] |= dict.fromkeys(plates, cutoff)
            quality[marker] |= dict.fromkeys(plates, CutoffQuality.of([calls]))
            judged.append(calls)
        quality[marker][""] = CutoffQuality.of(judged)
    return Cutoffs(values, quality)


def one_per_plate(
    cells: MarkerCells, rules: Mapping[str, Rule], given: Mapping[str, float], *,
    per: Per, mixed: str,
) -> bool:  # fmt: skip
    """Whether every plate has cutoffs of its own.

    ``auto``: if every plate has the monocultures from which cutoffs are found.

    Raises
    ------
    DataError
        ``plate`` is requested, and a plate lacks these monocultures.
    """
    sought = [
        (name, marker, sides)
        for marker, sides in find_sides(rules, cells.monocultures(mixed)).items()
        for name in cells.plate_names
        if given_cutoff(given, name, marker) is None
    ]
    if per == "project" or len(cells.plate_names) == 1 or not sought:
        return False
    for name, marker, sides in sought:
        part = cells.plate(name)
        if part.has(marker) and not sides.controls(part, marker).has_both:
            if per == "auto":
                return False
            raise DataError(
                f"gate.per = plate: plate {name} does not hold the monocultures that the "
                f"cutoff of {marker} needs ({_named(sides.carrying)} and "
                f"{_named(sides.lacking)}); use --per project, or give --cutoff "
                f"{name}/{marker}=NUMBER."
            )
    return True


def _named(names: tuple[str, ...]) -> str:
    return " or ".join(names) or "another one"


def outside(
    columns: Mapping[str, FloatArray], filters: Mapping[str, tuple[float | None, float | None]]
) -> BoolArray:
    """Cells that a filter removes: a feature below its low, above its high, or missing."""
    gone = np.zeros(len(next(iter(columns.values()))), dtype=bool)
    for name, (low, high) in filters.items():
        inside = ~np.isnan(columns[name])
        if low is not None:
            inside &= columns[name] >= low
        if high is not None:
            inside &= columns[name] <= high
        gone |= ~inside
    return gone
