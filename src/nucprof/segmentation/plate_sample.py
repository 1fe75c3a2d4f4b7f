"""What is measured once per plate, on some of its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any, TypeVar

from nucprof.core.sample import evenly_spaced
from nucprof.io.files import Fingerprint
from nucprof.plate.sources import Source

#: Fields measured per plate.
FIELDS = 8

Identity = list[tuple[list[Any], list[tuple[int, int, str]]]]
"""Of each image of a field: the plane that is read, and the fingerprints of its files."""

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


def identify(sources: Sequence[Source]) -> Identity:
    """What tells the images of a field from others under the same names."""
    return [
        (_plane(source), [astuple(Fingerprint.of(path)) for path in _image_files(source)])
        for source in sources
    ]


def are_replaced(known: Mapping[str, Identity], fields: Mapping[str, Sequence[Source]]) -> bool:
    """Whether most of a plate's measured fields are other images now.

    One field that was imaged again does not count, nor do fields that were added.

    Parameters
    ----------
    known : mapping
        Measured field -> what :func:`identify` returned.
    fields : mapping
        Field -> its images, for all fields of the plate.
    """
    present = [name for name in known if name in fields]
    same = sum(_is_same(known[name], fields[name]) for name in present)
    return not present or same < len(present) / 2


def _is_same(known: Identity, sources: Sequence[Source]) -> bool:
    if len(known) != len(sources):
        return False
    for (plane, fingerprints), source in zip(known, sources, strict=True):
        files = _image_files(source)
        if plane != _plane(source) or len(fingerprints) != len(files):
            return False
        if not all(Fingerprint(*f).matches(p) for f, p in zip(fingerprints, files, strict=True)):
            return False
    return True


def _plane(source: Source) -> list[Any]:
    return [source.plane, source.position, source.time, source.projection, source.zoom]


def _image_files(source: Source) -> list[Path]:
    return [path for path in (*source.planes, *source.parts) if path.is_file()]
