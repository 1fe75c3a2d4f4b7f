"""Parse the file names of microscopes into field keys.

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
_WELL_OF_IMAGEXPRESS = r"(?P<well>[A-Z]{1,2}\d{2,3})"


def _tags(**tags: str) -> str:
    """Tagged numbers such as ``_s1_w2_z3``, in any order and each at most once."""
    end = r"(?=_|$|[0-9A-F]{8}-)"  # MetaXpress writes an identifier directly after the last number
    every = rf"_(?:{'|'.join(tags.values())})\d+?{end}"
    ahead = "".join(
        rf"(?:(?=(?:{every})*?_(?:{tag})(?P<{group}>\d+?){end}))?" for group, tag in tags.items()
    )
    return rf"{ahead}(?:{every})+"


@dataclass(frozen=True)
class NamePattern:
    """A named pattern of file names, with a name that it reads as an example.

    ``first``: the number of the first row, column and place in a well.
    """

    name: str
    regex: re.Pattern[str]
    example: str
    first: int = 1

    @property
    def with_folders(self) -> bool:
        """Whether it reads the folders above a file, too."""
        return "/" in self.regex.pattern

    def parse(self, stem: str) -> ParsedName | None:
        """Read a file's stem; None if it does not match, or has no well or site."""
        match = self.regex.search(stem)
        if match is None:
            return None
        groups = {name: text or "" for name, text in match.groupdict().items()}
        row, column = groups.get("row", ""), groups.get("column", "")
        if row.isdecimal():
            row = row_letters(int(row) + 1 - self.first)
        if self.first != 1:
            column = str(int(column) + 1 - self.first)
        site = groups.get("site") or "1"
        if "x" in groups:  # places in a well, counted across and down
            site = str(int(groups["x"] + groups["y"]) + 1 - self.first)
        time = re.sub(r"[a-z_]", "", groups.get("t") or "1")  # 00d04h00m
        numbers = [site, groups.get("z") or "1", time]
        try:
            well = WellKey.parse(groups.get("well") or row + column)
        except UserError:
            return None
        if not all(text.isdecimal() for text in numbers):
            return None
        key = FieldKey(well.row, well.column, int(site))
        return ParsedName(key, _once(groups.get("channel", "")) or None, *map(int, numbers[1:]))


def _once(channel: str) -> str:
    """A channel whose excitation and emission have one name, ``DAPI - DAPI``, by that name."""
    excitation, _, emission = channel.partition(" - ")
    return excitation if excitation == emission else channel


@dataclass(frozen=True)
class ParsedName:
    """The content of a file name: field and, optionally, channel, focal plane and time point."""

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
            rf"(?:^|_){_WELL_OF_IMAGEXPRESS}(?=(?:_[szt]\d+)*_w\d)"
            rf"{_tags(site='s', channel='w', z='z', t='t')}(?:[0-9A-F-]{{36}})?$",
            re.IGNORECASE,
        ),
        "plate_A01_s1_w1",
    ),
    NamePattern(
        "imagexpress-folders",
        re.compile(
            r"^(?:.*/)?TimePoint_(?P<t>\d+)/(?:ZStep_(?P<z>\d+)/)?(?:[^/]*_)?"
            rf"{_WELL_OF_IMAGEXPRESS}(?=(?:_s\d+)?_w\d)"
            rf"{_tags(site='s', channel='w')}(?:[0-9A-F-]{{36}})?$",
            re.IGNORECASE,
        ),
        "TimePoint_1/plate_A01_s1_w1",
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
            r"^r(?P<row>\d{2})c(?P<column>\d{2})f(?P<site>\d{2,4})p(?P<z>\d{2,3})(?:rc\d+)?"
            r"-ch(?P<channel>\d+)(?:(?:sk|t)(?P<t>\d+))?(?:fk\d+)?(?:fl\d+)?$"
        ),
        "r01c02f03p01-ch1sk1fk1fl1",
    ),
    NamePattern(
        "columbus",
        re.compile(
            r"^(?P<row>\d{3})(?P<column>\d{3})-(?P<site>\d{1,4})"
            r"-(?P<t>\d{3})(?P<z>\d{3})(?P<channel>\d{3})$"
        ),
        "001002-3-001001001",
    ),
    NamePattern(
        "matrix-screener",
        re.compile(
            r"--U(?P<column>\d+)--V(?P<row>\d+)(?:--[JEO]\d+)*--X(?P<x>\d+)--Y(?P<y>\d+)"
            r"(?:--T(?P<t>\d+))?(?:--Z(?P<z>\d+))?(?:--C(?P<channel>\d+))?$"
        ),
        "image--L0000--S00--U00--V00--J08--E00--O00--X00--Y00--T0000--Z00--C00",
        first=0,
    ),
    NamePattern(
        "incucyte",
        re.compile(
            r"^(?:(?P<channel>.+)_)?(?P<well>[A-P]\d{1,2})_(?P<site>\d{1,3})"
            r"_(?P<t>\d\dd\d\dh\d\dm|\d{4}y\d\dm\d\dd_\d\dh\d\dm)$"
        ),
        "VID12_Phase_A1_1_00d04h00m",
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
            r"(?: wv (?P<channel>[^()]+?))?"
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
    """Compile a user's regular expression; :class:`ProjectError` names missing groups."""
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


def choose_pattern(
    stems: Sequence[str], pattern: str = "auto", below: Sequence[str] = ()
) -> NamePattern:
    """Choose the pattern for a folder: the user's, a named one, or the one that reads most names.

    Parameters
    ----------
    stems : sequence of str
        Names of the files.
    pattern : str
        The user's pattern, the name of one, or ``auto``.
    below : sequence of str
        The same names with the folders above them, for patterns that read these.

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
    names = {True: below, False: stems}
    counts = {p: sum(p.parse(n) is not None for n in names[p.with_folders]) for p in BUILT_IN}
    best = max(BUILT_IN, key=lambda p: (counts[p], p.with_folders))
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
