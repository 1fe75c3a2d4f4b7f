"""Which class carries which marker, and the class of a cell, given its positive markers.

A class is written as its marker, ``EdU``, or as ``!EdU`` for a cell line without one (one marker,
two cell lines: ``neuro = "EdU", astro = "!EdU"``). A cell is of a class when its class's marker is
positive (of a ``!`` class: is not) and every other class's marker is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nucprof.errors import DataError

UNDEFINED = "undefined"
NOT = "!"

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
TextArray = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Rule:
    """A class's marker, and whether its cells carry it."""

    marker: str
    carries: bool = True

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Read ``EdU`` or ``!EdU``."""
        return cls(text.removeprefix(NOT).strip(), not text.startswith(NOT))

    def __str__(self) -> str:
        return self.marker if self.carries else NOT + self.marker


def read_rules(classes: Mapping[str, str]) -> dict[str, Rule]:
    """Read class -> marker, e.g. ``{"neuro": "EdU", "astro": "!EdU"}``.

    Raises
    ------
    DataError
        Two classes cannot be distinguished, or a class is called ``undefined``.
    """
    rules = {name: Rule.parse(text) for name, text in classes.items()}
    if UNDEFINED in rules:
        raise DataError(f"a class cannot be called '{UNDEFINED}', which means: without a class")
    without = [name for name, rule in rules.items() if not rule.carries]
    if len(without) > 1:
        raise DataError(
            f"'{without[0]}' and '{without[1]}' are both without a marker, so their cells "
            "cannot be distinguished; give all but one class a marker of its own"
        )
    seen: dict[Rule, str] = {}
    for name, rule in rules.items():
        if rule in seen:
            raise DataError(
                f"'{seen[rule]}' and '{name}' have the same marker {rule.marker}, so their cells "
                f"cannot be distinguished; give each a marker of its own, or write "
                f"{name}={NOT}{rule.marker} if it is the line without it"
            )
        seen[rule] = name
    return rules


def markers_of(rules: Mapping[str, Rule]) -> list[str]:
    """The markers of all classes, each once."""
    return list(dict.fromkeys(rule.marker for rule in rules.values()))


def classify(
    values: Mapping[str, FloatArray],
    cutoffs: Mapping[str, float | FloatArray],
    rules: Mapping[str, Rule],
) -> TextArray:
    """Class of every cell, or ``undefined``.

    Parameters
    ----------
    values : mapping
        Marker -> ``(N,)`` intensities. A cell that lacks one of its markers' values (NaN) is
        undefined.
    cutoffs : mapping
        Marker -> cutoff, one number or ``(N,)``; positive is ``>``.
    rules : mapping
        Class -> its rule.
    """
    markers = markers_of(rules)
    positive = {marker: values[marker] > cutoffs[marker] for marker in markers}
    number = np.sum(list(positive.values()), axis=0)
    known = ~np.any([np.isnan(values[marker]) for marker in markers], axis=0)
    called: TextArray = np.full(len(known), UNDEFINED, dtype=object)
    for name, rule in rules.items():
        alone = positive[rule.marker] & (number == 1) if rule.carries else number == 0
        called[alone & known] = name
    return called


def medians(
    values: Mapping[str, FloatArray], cultures: TextArray, names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Median by marker and monoculture, missing values left out; NaN where there are no others."""

    def median(column: FloatArray) -> float:
        column = column[~np.isnan(column)]
        return float(np.median(column)) if column.size else float("nan")

    return {
        marker: {name: median(column[cultures == name]) for name in names}
        for marker, column in values.items()
    }


def assign_markers(
    values: Mapping[str, FloatArray], cultures: TextArray, names: Sequence[str]
) -> dict[str, Rule]:
    """Find which marker belongs to which monoculture: the one in which its median is highest.

    With two monocultures and one marker, the other monoculture is the line without it.

    Parameters
    ----------
    values : mapping
        Marker -> ``(N,)`` mean intensities.
    cultures : (N,) str
        Culture of each cell.
    names : sequence of str
        The monocultures; each gets one marker.

    Raises
    ------
    DataError
        There is no one-to-one match; the message holds the table of medians.
    """
    table = medians(values, cultures, names)
    best = {
        marker: max(names, key=lambda name: np.nan_to_num(row[name], nan=-np.inf))
        for marker, row in table.items()
    }
    if len(best) == 1 and len(names) == 2:
        (marker,) = best
        return {name: Rule(marker, carries=name == best[marker]) for name in names}
    if sorted(best.values()) != sorted(names):
        raise DataError(
            "The markers do not match the monocultures one to one: "
            + "; ".join(f"{marker} is highest in {name}" for marker, name in best.items())
            + f".\n{format_medians(table, names)}\n"
            'Say which class has which marker ([gate.classes], e.g. astro = "EdU"; the line '
            'without a marker is "!EdU"), and give [gate.cutoffs].'
        )
    return {name: Rule(marker) for marker, name in best.items()}


def format_medians(table: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> str:
    """The table of medians as text, markers down, monocultures across."""
    width = max([len("median"), *(len(marker) for marker in table)])
    columns = [max(len(name), 9) for name in names]
    head = " ".join(f"{name:>{w}}" for name, w in zip(names, columns, strict=True))
    lines = [f"{'median':<{width}} {head}"]
    for marker, row in table.items():
        cells = " ".join(f"{row[name]:>{w}.1f}" for name, w in zip(names, columns, strict=True))
        lines.append(f"{marker:<{width}} {cells}")
    return "\n".join(lines)
