"""Propose a pattern for file names that no built-in pattern reads."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nucprof.errors import ProjectError
from nucprof.plate.keys import row_letters
from nucprof.plate.patterns import user_pattern

_WORD = re.compile(r"[^\W_]+")
_PART = re.compile(r"\d+|[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+")  # RowB02: Row, B, 02
_TAGS = {
    "site": ("s", "f", "fov", "site", "field", "fld", "pos", "position", "point", "xy"),
    "z": ("z", "slice", "plane", "stack"),
    "t": ("t", "time", "tp", "timepoint"),
    "channel": ("c", "ch", "d", "channel", "chan", "w", "wv", "wave"),
}
_GROUPS_OF_WELLS = (
    "plate", "plt", "barcode", "rep", "replicate", "exp", "experiment", "run", "batch", "donor",
)  # fmt: skip
"""Words before the number of a plate or of a repeat, which is never the number of a field."""

_ROWS = {row_letters(n) for n in range(1, 33)}
_STAINS = re.compile(
    r"dapi|hoechst|dna|draq|gfp|fitc|rfp|yfp|cfp|mcherry|tritc|texas|cy\d|alexa|af\d{3}|edu|brdu|"
    r"actin|phalloidin|tubulin|mito|syto|wga|cona|bf|brightfield|phase",
    re.IGNORECASE,
)
_MOST_CHANNELS = 10


@dataclass(frozen=True)
class Part:
    """One part of the names: its text in every name, and its role."""

    texts: tuple[str, ...]
    role: str = ""

    @property
    def varies(self) -> bool:
        """Whether the names differ in it."""
        return len(set(self.texts)) > 1

    @property
    def numbers(self) -> bool:
        """Whether it is a number in every name."""
        return all(text.isdecimal() for text in self.texts)

    @property
    def letters(self) -> bool:
        """Whether it is the letter of a row in every name."""
        return all(text.upper() in _ROWS for text in self.texts)

    @property
    def separates(self) -> bool:
        """Whether it lies between words."""
        return not any(any(c.isalnum() for c in text) for text in self.texts)

    @property
    def regex(self) -> str:
        """The part as a regular expression."""
        if self.role:
            inside = r"\d+" if self.numbers else r"[A-Za-z]{1,2}" if self.role == "row" else ".+?"
            return f"(?P<{self.role}>{inside})"
        if not self.varies:
            return re.escape(self.texts[0]).replace(r"\ ", " ").replace(r"\-", "-")
        return r"[\W_]+" if self.separates else r"\d+" if self.numbers else ".+?"


@dataclass(frozen=True)
class Proposal:
    """A pattern for names, and the parts it was made of."""

    pattern: str
    parts: tuple[Part, ...]

    def reads(self, stems: Sequence[str]) -> int:
        """Number of names that the pattern reads."""
        pattern = user_pattern(self.pattern)
        return sum(pattern.parse(stem) is not None for stem in stems)

    def varying(self) -> list[str]:
        """The parts that vary, their roles, and some of their values."""
        lines = []
        for part in self.parts:
            if part.varies and not part.separates:
                values = sorted(set(part.texts))
                shown = ", ".join(values[:4]) + (" ..." if len(values) > 4 else "")
                lines.append(f"{part.role or 'not used'}: {shown} ({len(values)} values)")
        return lines


def propose_pattern(stems: Sequence[str]) -> Proposal:
    """Propose a pattern that reads the largest group of similar names.

    Names are cut into words and numbers. Row and column are a letter and a number next to
    each other; a number after a tag such as ``s``, ``ch``, ``z`` or ``t`` has the role of the tag;
    other parts that distinguish files become site (a number) or channel (a word).

    Raises
    ------
    ProjectError
        Nothing in the names looks like a well.
    """
    groups = Counter(len(_WORD.findall(stem)) for stem in stems)
    most = groups.most_common(1)[0][0]
    found = _propose([stem for stem in stems if len(_WORD.findall(stem)) == most], most)
    if len(groups) > 1 and min(groups):
        # channels such as TRITC and "Alexa 488", doses such as 0.5 and 10: what follows the common
        # words, or what is before them, is one word
        for rest_first in (False, True):
            with contextlib.suppress(ProjectError):
                other = _propose(stems, min(groups), rest_first)
                found = max(found, other, key=lambda p: p.reads(stems))
    return found


def merged(proposals: Sequence[Proposal]) -> Proposal:
    """One proposal for the names of several folders, which may differ in a date or a plate's name.

    The first one is returned if the names are not alike.
    """
    first = proposals[0]
    roles = [[part.role for part in one.parts] for one in proposals]
    if not first.parts or any(own != roles[0] for own in roles):
        return first
    parts = tuple(
        Part(tuple(text for part in column for text in part.texts), column[0].role)
        for column in zip(*(one.parts for one in proposals), strict=True)
    )
    return Proposal("^" + "".join(part.regex for part in parts) + "$", parts)


def _propose(stems: Sequence[str], count: int, rest_first: bool = False) -> Proposal:
    """Propose a pattern for names of at least `count` words; the last, or first, is the rest."""
    parts = _parts(stems, count, rest_first)
    parts = _name_well(parts, stems)
    parts = _name_tagged(parts, varying=True)
    parts = _name_rest(parts)
    parts = _name_tagged(parts, varying=False)
    pattern = "^" + "".join(part.regex for part in parts) + "$"
    user_pattern(pattern)  # checks that the proposal is valid
    return Proposal(pattern, tuple(parts))


def _parts(stems: Sequence[str], count: int, rest_first: bool) -> list[Part]:
    """Cut names into columns of words; split these further if all names allow."""
    spans = [[match.span() for match in _WORD.finditer(stem)] for stem in stems]
    if rest_first:
        spans = [[(own[0][0], own[-count][1]), *own[len(own) - count + 1 :]] for own in spans]
    else:
        spans = [[*own[: count - 1], (own[count - 1][0], own[-1][1])] for own in spans]
    columns: list[Part] = []
    for i in range(count + 1):
        gaps = tuple(
            stem[own[i - 1][1] if i else 0 : own[i][0] if i < count else len(stem)]
            for stem, own in zip(stems, spans, strict=True)
        )
        if any(gaps):
            columns.append(Part(gaps))
        if i < count:
            columns += _split(
                [stem[slice(*own[i])] for stem, own in zip(stems, spans, strict=True)]
            )
    return columns


def _split(words: Sequence[str]) -> list[Part]:
    """Cut words into letters and numbers; stains (EdU and BrdU, Cy3 and Cy5) stay whole."""
    pieces = [_PART.findall(word) for word in words]
    shapes = {tuple(piece.isdecimal() for piece in found) for found in pieces}
    stains = len(set(words)) > 1 and all(_STAINS.match(word) for word in words)
    if len(shapes) > 1 or stains:
        return [Part(tuple(words))]
    return [Part(texts) for texts in zip(*pieces, strict=True)]


def _name_well(parts: list[Part], stems: Sequence[str]) -> list[Part]:
    """Find row and column: the best pair of a letter and a number, or tagged numbers."""
    tagged = _after_tags(parts, {"row": ("r", "row"), "column": ("c", "col", "column")})
    best: tuple[int, dict[int, str]] = (0, tagged if len(tagged) == 2 else {})
    for i, letters in enumerate(parts):
        j = i + 1 + (i + 1 < len(parts) and parts[i + 1].separates)
        if j >= len(parts) or not parts[j].numbers:
            continue
        if not letters.letters or any(not 1 <= int(text) <= 48 for text in parts[j].texts):
            continue
        if _is_tag(parts, i):
            continue
        score = (
            1
            + 8 * letters.varies
            + 4 * all(text.isupper() for text in letters.texts)
            + 2 * all(len(text) == 2 for text in parts[j].texts)
            + 1 * parts[j].varies
        )
        if score > best[0] and (score > 5 or not best[1]):
            best = (score, {i: "row", j: "column"})
    if not best[1]:
        shown = "', '".join(sorted(stems)[:5])
        raise ProjectError(
            f"No built-in pattern reads these file names, e.g. '{shown}', and nothing in them "
            "looks like a well. Rename the files, or give a regular expression with the groups row "
            "and column (or well): --pattern '(?P<row>[A-H])(?P<column>[0-9]+)_(?P<site>[0-9]+)'."
        )
    return [replace(part, role=best[1].get(i, "")) for i, part in enumerate(parts)]


def _is_tag(parts: Sequence[Part], i: int) -> bool:
    """Whether a letter is a tag in a chain of them, as L or C in ``T0001F001L01A01Z01C01``."""
    if parts[i].varies:
        return False
    text = parts[i].texts[0]
    chained = [
        k
        for k in (i - 2, i + 2)
        if 0 <= k < len(parts) - 1
        and parts[min(k, i) + 1].numbers
        and parts[k].letters
        and parts[k].texts[0].isupper() == text.isupper()
    ]
    known = any(text.casefold() in words for words in _TAGS.values())
    return len(chained) + known > 1


def _after_tags(
    parts: Sequence[Part], tags: dict[str, tuple[str, ...]], varying: bool = False
) -> dict[int, str]:
    """Numbers that follow a tag, by their place; each role is assigned once."""
    found: dict[int, str] = {}
    for i, part in enumerate(parts):
        j = i + 1 + (i + 1 < len(parts) and parts[i + 1].separates)
        if part.varies or part.role or j >= len(parts) or parts[j].role:
            continue
        if varying and not parts[j].varies:
            continue
        for role, words in tags.items():
            fits = parts[j].numbers or (role == "row" and parts[j].letters)
            if fits and part.texts[0].casefold() in words and role not in found.values():
                found[j] = role
                break
    return found


def _name_tagged(parts: list[Part], *, varying: bool) -> list[Part]:
    """Assign roles to the numbers after tags, to those that vary before those that do not."""
    missing = {r: words for r, words in _TAGS.items() if all(part.role != r for part in parts)}
    roles = _after_tags(parts, missing, varying)
    return [replace(part, role=part.role or roles.get(i, "")) for i, part in enumerate(parts)]


def _name_rest(parts: list[Part]) -> list[Part]:
    """Assign roles to words that are stains, and to other parts needed to distinguish the files."""
    named = list(parts)

    def free(numbers: bool) -> list[int]:
        return [
            i
            for i, part in enumerate(named)
            if part.varies
            and not part.role
            and not part.separates
            and part.numbers == numbers
            and not (numbers and _after_group_of_wells(named, i))
        ]

    def missing(role: str) -> bool:
        return all(part.role != role for part in named)

    for i in free(numbers=False):
        if missing("channel") and any(_STAINS.search(text) for text in named[i].texts):
            named[i] = replace(named[i], role="channel")
    for role, numbers in (("site", True), ("channel", False)):
        choices = [
            i for i in free(numbers) if numbers or len(set(named[i].texts)) <= _MOST_CHANNELS
        ]
        if missing(role) and choices and not _unique(named):
            # the part that leaves fewest duplicates, then the one with fewest values
            best = min(
                choices,
                key=lambda i: (
                    _doubles([*named, replace(named[i], role=role)]),
                    len({*named[i].texts}),
                ),
            )
            named[best] = replace(named[best], role=role)
    return named


def _after_group_of_wells(parts: Sequence[Part], i: int) -> bool:
    """Whether a number follows the word for a plate or a repeat, directly or after a separator."""
    before = [part for part in parts[max(0, i - 2) : i] if not part.separates]
    return bool(before) and before[-1].texts[0].casefold() in _GROUPS_OF_WELLS


def _doubles(parts: Sequence[Part]) -> int:
    """Number of names that no part with a role distinguishes from another name."""
    folded = ([text.casefold() for text in part.texts] for part in parts if part.role)
    rows = list(zip(*folded, strict=True))
    return len(rows) - len(set(rows))


def _unique(parts: Sequence[Part]) -> bool:
    return _doubles(parts) == 0
