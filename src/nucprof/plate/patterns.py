"""Names that microscopes give their files, read into field keys.

Each pattern is a regular expression over the file's stem with the groups ``row`` and ``column``
(or ``well``), ``site`` and ``channel``, the last two optional.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nucprof.errors import ProjectError, UserError
from nucprof.plate.keys import FieldKey, WellKey, row_letters

_ROW = r"(?P<row>[A-Z]{1,2})"


@dataclass(frozen=True)
class NamePattern:
    """A named pattern of file names, with a name that it reads as an example."""

    name: str
    regex: re.Pattern[str]
    example: str

    def parse(self, stem: str) -> ParsedName | None:
        """Read a file's stem; None where it does not match, or its groups catch no well or site."""
        match = self.regex.search(stem)
        if match is None:
            return None
        groups = {name: text or "" for name, text in match.groupdict().items()}
        row = groups.get("row", "")
        if row.isdecimal():
            row = row_letters(int(row))
        site = groups.get("site") or "1"
        try:
            well = WellKey.parse(groups.get("well") or row + groups.get("column", ""))
        except UserError:
            return None
        if not site.isdecimal():
            return None
        key = FieldKey(well.row, well.column, int(site))
        return ParsedName(key, groups.get("channel") or None)


@dataclass(frozen=True)
class ParsedName:
    """What a file's name says: its field and, perhaps, a token for its channel."""

    key: FieldKey
    channel: str | None


BUILT_IN = (
    NamePattern(
        "field",
        re.compile(rf"^{_ROW}-(?P<column>\d{{2,4}})(?:-(?P<site>\d{{1,6}}))?$"),
        "B-02-01",
    ),
    NamePattern(
        "field-channel",
        re.compile(
            rf"^{_ROW}-(?P<column>\d{{2,4}})-(?P<site>\d{{1,6}})[_-](?P<channel>[A-Za-z]\w*)$"
        ),
        "B-02-01_DAPI",
    ),
    NamePattern(
        "nis-jobs",
        re.compile(
            r"Well(?P<well>[A-Z]{1,2}\d{1,4})_Point[A-Z]{1,2}\d{1,4}_(?P<site>\d+)"
            r"(?:_Channel(?P<channel>.+?))?(?:_Seq\d+.*)?$"
        ),
        "WellB02_PointB02_0001_ChannelDAPI,FITC_Seq0012",
    ),
    NamePattern(
        "imagexpress",
        re.compile(
            r"(?:^|_)(?P<well>[A-Z]{1,2}\d{2,3})(?:_s(?P<site>\d+))?_w(?P<channel>\d+)"
            r"(?:[0-9A-F-]{36})?$",
            re.IGNORECASE,
        ),
        "plate_A01_s1_w1",
    ),
    NamePattern(
        "imagexpress-merged",
        re.compile(r"(?:^|_)(?P<well>[A-Z]{1,2}\d{2,3})_s(?P<site>\d+)$", re.IGNORECASE),
        "plate_A01_s1",
    ),
    NamePattern(
        "harmony",
        re.compile(
            r"^r(?P<row>\d{2})c(?P<column>\d{2})f(?P<site>\d{2,4})p\d{2}-ch(?P<channel>\d+)"
            r"(?:sk\d+)?(?:fk\d+)?(?:fl\d+)?$"
        ),
        "r01c02f03p01-ch1sk1fk1fl1",
    ),
    NamePattern(
        "channel-first",
        re.compile(rf"^Channel(?P<channel>\d+)-\d+-{_ROW}-(?P<column>\d{{2,3}})$"),
        "Channel1-01-A-01",
    ),
)


def user_pattern(text: str) -> NamePattern:
    """Compile a user's regular expression; raises :class:`ProjectError` naming what it lacks."""
    try:
        regex = re.compile(text)
    except re.error as error:
        raise ProjectError(f"rename.pattern is not a regular expression: {error}.") from error
    groups = set(regex.groupindex)
    if not ("well" in groups or {"row", "column"} <= groups):
        raise ProjectError(
            "rename.pattern needs the groups (?P<row>...) and (?P<column>...), or (?P<well>...)."
        )
    unknown = groups - {"row", "column", "well", "site", "channel"}
    if unknown:
        raise ProjectError(
            f"rename.pattern has unknown groups {sorted(unknown)}; "
            "known are row, column, well, site, channel."
        )
    return NamePattern("user", regex, text)


def choose_pattern(stems: Sequence[str], pattern: str = "auto") -> NamePattern:
    """Choose the pattern for a folder: the user's, a named one, or the one that reads most names.

    Raises
    ------
    ProjectError
        No built-in pattern reads a single name.
    """
    named = {p.name: p for p in BUILT_IN}
    if pattern in named:
        return named[pattern]
    if pattern != "auto":
        return user_pattern(pattern)
    counts = {p: sum(p.parse(stem) is not None for stem in stems) for p in BUILT_IN}
    best = max(BUILT_IN, key=lambda p: counts[p])
    if counts[best] == 0:
        example = f", e.g. '{stems[0]}'" if stems else ""
        known = ", ".join(p.example for p in BUILT_IN)
        raise ProjectError(
            f"No built-in pattern reads these file names{example}. Known are: {known}. "
            "Give rename.pattern a regular expression with the groups row and column (or well), "
            "site and channel."
        )
    return best


def channel_aliases(token: str) -> tuple[str, ...]:
    """Spellings under which a user may name a numbered channel token in ``channel_map``."""
    if not token.isdigit():
        return (token,)
    number = str(int(token))
    return (token, number, *(f"{word}{number}" for word in ("Channel", "channel", "ch", "w", "C")))
