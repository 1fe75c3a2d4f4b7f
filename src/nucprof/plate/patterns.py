"""Names that microscopes give their files, read into field keys.

Each pattern is a regular expression over the file's stem with the groups ``row`` and ``column``
(or ``well``), and optional ones: ``site``, ``channel``, ``z`` (focal plane) and ``t`` (time point).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nucprof.errors import ProjectError, UserError
from nucprof.plate.keys import FieldKey, WellKey, row_letters

_ROW = r"(?P<row>[A-Z]{1,2})"
GROUPS = ("row", "column", "well", "site", "channel", "z", "t")


def _tags(**tags: str) -> str:
    """Tagged numbers such as ``_s1_w2_z3``, in any order and each at most once."""
    end = r"(?=_|$|[0-9A-F]{8}-)"  # MetaXpress writes an identifier right after the last number
    every = rf"_(?:{'|'.join(tags.values())})\d+?{end}"
    ahead = "".join(
        rf"(?:(?=(?:{every})*?_(?:{tag})(?P<{group}>\d+?){end}))?" for group, tag in tags.items()
    )
    return rf"{ahead}(?:{every})+"


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
        numbers = [site, groups.get("z") or "1", groups.get("t") or "1"]
        try:
            well = WellKey.parse(groups.get("well") or row + groups.get("column", ""))
        except UserError:
            return None
        if not all(text.isdecimal() for text in numbers):
            return None
        key = FieldKey(well.row, well.column, int(site))
        return ParsedName(key, groups.get("channel") or None, *map(int, numbers[1:]))


@dataclass(frozen=True)
class ParsedName:
    """What a file's name says: its field and, perhaps, channel, focal plane and time point."""

    key: FieldKey
    channel: str | None
    z: int = 1
    t: int = 1


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
            r"(?:^|_)(?P<well>[A-Z]{1,2}\d{2,3})(?=(?:_[szt]\d+)*_w\d)"
            rf"{_tags(site='s', channel='w', z='z', t='t')}(?:[0-9A-F-]{{36}})?$",
            re.IGNORECASE,
        ),
        "plate_A01_s1_w1",
    ),
    NamePattern(
        "imagexpress-merged",
        re.compile(
            r"(?:^|_)(?P<well>[A-Z]{1,2}\d{2,3})(?=(?:_[zt]\d+)*_s\d)"
            rf"{_tags(site='s', z='z', t='t')}$",
            re.IGNORECASE,
        ),
        "plate_A01_s1",
    ),
    NamePattern(
        "tagged",
        re.compile(
            r"(?:^|_)(?P<well>[A-Z]{1,2}\d{2,3})(?=(?:_[a-z]+\d+)*_c(?:h|hannel)?\d)"
            rf"{_tags(site='s|f|site|field', channel='c|ch|channel', z='z', t='t')}$",
            re.IGNORECASE,
        ),
        "plate_A01_s1_c1_z1_t1",
    ),
    NamePattern(
        "harmony",
        re.compile(
            r"^r(?P<row>\d{2})c(?P<column>\d{2})f(?P<site>\d{2,4})p(?P<z>\d{2,3})-ch(?P<channel>\d+)"
            r"(?:sk(?P<t>\d+))?(?:fk\d+)?(?:fl\d+)?$"
        ),
        "r01c02f03p01-ch1sk1fk1fl1",
    ),
    NamePattern(
        "cellvoyager",
        re.compile(
            r"(?:^|_)(?P<well>[A-Z]{1,2}\d{2})_T(?P<t>\d{4})F(?P<site>\d{3})L\d{2}A\d{2}"
            r"Z(?P<z>\d{2,3})C(?P<channel>\d{2})$"
        ),
        "plate_A01_T0001F001L01A01Z01C01",
    ),
    NamePattern(
        "incell",
        re.compile(
            r"^(?P<row>[A-Z]{1,2}) - (?P<column>\d{1,2})\(fld (?P<site>\d+)"
            r"(?: wv (?P<channel>[^()]+?)(?: - [^()]+?)?)?"
            r"(?: z (?P<z>\d+))?(?: time (?P<t>\d+)[^()]*)?\)$"
        ),
        "A - 01(fld 1 wv DAPI - DAPI)",
    ),
    NamePattern(
        "well",
        re.compile(
            r"^(?:Well[ _]?)?(?P<well>[A-P]\d{1,2}|[A-Z]{1,2}\d{2,3})"
            r"(?:[ _-]+(?:s|f|site|field|fld|pos|point)?[ _]?(?P<site>\d{1,4}))?$"
        ),
        "B02",
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
    unknown = groups - set(GROUPS)
    if unknown:
        raise ProjectError(
            f"rename.pattern has unknown groups {sorted(unknown)}; known are {', '.join(GROUPS)}."
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
