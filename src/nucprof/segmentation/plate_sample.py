"""What is measured once per plate, on some of its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from nucprof.core.sample import evenly_spaced

#: Fields measured per plate.
FIELDS = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


def measure_sample(
    plates: Sequence[Mapping[str, Item]],
    measure: Callable[[Item], Result],
    spread: Callable[[Callable[[Item], Result], Sequence[Item]], Sequence[Result]],
) -> list[dict[str, Result]]:
    """Measure evenly spaced fields of every plate, those of all plates at once.

    Parameters
    ----------
    plates : sequence of mapping
        Field -> what `measure` needs to know, for all fields of each plate.
    measure : callable
        Measures one field.
    spread : callable
        Applies a function to items, in worker processes.

    Returns
    -------
    list of dict
        Field -> result, for the measured fields of each plate.
    """
    chosen = [evenly_spaced(sorted(fields), FIELDS) for fields in plates]
    items = [fields[name] for fields, own in zip(plates, chosen, strict=True) for name in own]
    results = iter(spread(measure, items) if items else [])
    return [dict(zip(own, results, strict=False)) for own in chosen]
