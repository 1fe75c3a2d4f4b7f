"""Cutoffs of marker intensities, for every plate or for all, and cells that filters remove.

A marker belongs to the monoculture in which its median is highest; its cutoff separates that
monoculture from the others best. Where plates were exposed differently one cutoff cannot serve them
all, so every plate that holds the monocultures gets its own.
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
    "one_per_plate",
    "outside",
]

Per = Literal["auto", "plate", "project"]


@dataclass(frozen=True, eq=False)
class MarkerCells:
    """All cells, with what gating needs to know of them; one row per cell.

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

    Every plate that holds all of them is asked, as exposures may differ between plates.

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

    Where no monoculture is known to carry it, none is known to lack it either.
    """
    sides = {}
    for marker in markers_of(rules):
        carrying = [name for name, rule in rules.items() if rule == Rule(marker)]
        if not carrying:  # only the line without it is a class: the others carry it
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
    """Cutoffs and how well they do.

    Attributes
    ----------
    values : dict
        Marker -> plate -> cutoff; NaN where the plate has no values of the marker.
    quality : dict
        Marker -> plate -> quality on its monocultures; "" is that of all plates together, the only
        one where plates share a cutoff.
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


def find_cutoffs(
    cells: MarkerCells, rules: Mapping[str, Rule], given: Mapping[str, float], *,
    per_plate: bool, mixed: str,
) -> Cutoffs:  # fmt: skip
    """Find the cutoffs that are not given, and judge all on cells that they have not seen.

    Parameters
    ----------
    cells : MarkerCells
    rules : mapping
        Class -> its rule.
    given : mapping
        Marker -> cutoff, the same for all plates.
    per_plate : bool
        Whether every plate has its own, see :func:`one_per_plate`.
    mixed : str
        The layout's word for mixed wells.

    Raises
    ------
    DataError
        There is no monoculture to find a cutoff from.
    """
    monocultures = cells.monocultures(mixed)
    values: dict[str, dict[str, float]] = {}
    quality: dict[str, dict[str, CutoffQuality]] = {}
    for marker, sides in find_sides(rules, monocultures).items():
        if marker not in given:
            _require_controls(marker, sides, rules, monocultures)
        parts = [cells.plate(p) for p in cells.plate_names] if per_plate else [cells]
        judged: list[Calls] = []
        values[marker], quality[marker] = {}, {}
        for part in parts:
            controls = sides.controls(part, marker)
            cutoff = float("nan")
            if marker in given:
                cutoff = given[marker]
                calls = Calls(controls, controls.values > cutoff, None)
            elif part.has(marker):
                cutoff, calls = controls.cutoff(), controls.held_out_calls()
            else:
                calls = Calls.none()
            values[marker] |= dict.fromkeys(part.plate_names, cutoff)
            judged.append(calls)
            if per_plate:
                quality[marker][part.plate_names[0]] = CutoffQuality.of([calls])
        quality[marker][""] = CutoffQuality.of(judged)
    return Cutoffs(values, quality)


def one_per_plate(
    cells: MarkerCells, rules: Mapping[str, Rule], given: Mapping[str, float], *,
    per: Per, mixed: str,
) -> bool:  # fmt: skip
    """Whether every plate has cutoffs of its own.

    ``auto``: where every plate holds the monocultures that they are found from.

    Raises
    ------
    DataError
        ``plate`` is asked for, and a plate does not hold them.
    """
    sought = {
        marker: sides
        for marker, sides in find_sides(rules, cells.monocultures(mixed)).items()
        if marker not in given
    }
    if per == "project" or len(cells.plate_names) == 1 or not sought:
        return False
    for name in cells.plate_names:
        part = cells.plate(name)
        for marker, sides in sought.items():
            carries = sides.controls(part, marker).carries
            if part.has(marker) and (carries.all() or not carries.any()):
                if per == "auto":
                    return False
                raise DataError(
                    f"gate.per = plate: plate {name} does not hold the monocultures that the "
                    f"cutoff of {marker} needs ({_named(sides.carrying)} and "
                    f"{_named(sides.lacking)}); use --per project, or give --cutoff "
                    f"{marker}=NUMBER."
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
