"""Fields of a file that holds several positions, by the positions' own names or by order."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace

from nucprof.io.images import ImageInfo, Position
from nucprof.plate.keys import FieldKey, WellKey
from nucprof.plate.patterns import BUILT_IN, NamePattern, ParsedName

IN_FILE = NamePattern("positions", re.compile(r"(?!)"), "the wells that the files themselves name")
"""No file name is read: the positions inside the files say their wells."""


@dataclass(frozen=True)
class Named:
    """One position of a file and what it is."""

    position: int
    parsed: ParsedName


def name_positions(
    info: ImageInfo, parsed: ParsedName | None, pattern: NamePattern
) -> list[Named] | None:
    """Give every position of a file its field; None where nothing says the well.

    Parameters
    ----------
    info : ImageInfo
        What the file holds.
    parsed : ParsedName or None
        What the file's name says.
    pattern : NamePattern
        The pattern of the file names; positions may be named by it, too.

    Notes
    -----
    The name of a file with one position counts more than the position's. Of several positions,
    their own wells count, unless the file's name says another one ("P1" may be a position, not a
    well); otherwise sites are numbered by order in the well of the file's name.
    """
    if len(info.positions) == 1 and parsed is not None:
        return [Named(0, parsed)]
    inside = [_read(position, pattern) for position in info.positions]
    keys = [key for key in inside if key is not None]
    agree = parsed is None or any(key.well == parsed.key.well for key in keys)
    if len(keys) == len(inside) and agree:
        channel = parsed.channel if parsed is not None else None
        return [Named(i, ParsedName(key, channel)) for i, key in enumerate(_by_site(keys))]
    if parsed is None:
        return None
    return [
        Named(i, replace(parsed, key=replace(parsed.key, site=i + 1)))
        for i in range(len(info.positions))
    ]


def _read(position: Position, pattern: NamePattern) -> FieldKey | None:
    if position.well:
        well = WellKey.parse(position.well)
        return FieldKey(well.row, well.column, position.site or 1)
    for known in (pattern, *BUILT_IN):
        parsed = known.parse(position.name)
        if parsed is not None:
            return parsed.key
    return None


def _by_site(keys: list[FieldKey]) -> list[FieldKey]:
    """The keys as they are; by their order in the well where positions of a well have one name."""
    if len(set(keys)) == len(keys):
        return keys
    seen: Counter[WellKey] = Counter()
    numbered = []
    for key in keys:
        seen[key.well] += 1
        numbered.append(replace(key, site=seen[key.well]))
    return numbered
