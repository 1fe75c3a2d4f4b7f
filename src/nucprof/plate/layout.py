"""The layout of a plate: which culture grows in which well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from nucprof.plate.keys import WellKey, row_letters
from nucprof.plate.words import several, some

_MIXED_WORDS = ("coculture", "cocultures", "mixedculture", "mixed", "mix", "kokultur")
_EMPTY, _NO_CULTURE = ".", "?"


@dataclass(frozen=True)
class Layout:
    """Culture by well; wells that the layout leaves empty are not in it.

    ``unread`` are the plates in the file that the project does not have.
    """

    cultures: Mapping[WellKey, str]
    unread: tuple[str, ...] = ()

    def culture(self, well: WellKey) -> str | None:
        """The culture of a well, None where the layout has none."""
        return self.cultures.get(well)

    def with_mixed_called(self, name: str) -> Layout:
        """The layout with its mixed culture renamed to ``name`` if it is spelt differently.

        A different spelling differs in case, hyphens or spaces only; or, if no culture is called
        ``name``, it is a common word for mixed cultures.
        """
        if name in self.cultures.values():
            return self
        own = {plain(culture): culture for culture in self.cultures.values()}
        found = next((own[word] for word in (plain(name), *_MIXED_WORDS) if word in own), None)
        renamed = {well: name if c == found else c for well, c in self.cultures.items()}
        return replace(self, cultures=renamed)

    def strangers(self, imaged: Collection[WellKey]) -> list[str]:
        """One line if no well with images has a culture: it is the layout of another plate."""
        if not imaged or any(well in self.cultures for well in imaged):
            return []
        wells = some([str(well) for well in sorted(imaged)])
        return [
            f"no well with images ({wells}) has a culture; is it the layout of another plate, or "
            "are the file names read wrongly?"
        ]

    def doubts(self) -> list[str]:
        """What may be a slip of the pen, a line each.

        Plates that the project does not have, and cultures whose names differ in case, hyphens or
        spaces only.
        """
        lines = self._spellings()
        if self.unread:
            names = some([f"'{name}'" for name in self.unread])
            lines.insert(0, f"lines of plate {names} are not used: the project has no such plate")
        return lines

    def _spellings(self) -> list[str]:
        counts = Counter(self.cultures.values())
        by_plain: dict[str, list[str]] = {}
        for culture, _ in counts.most_common():
            by_plain.setdefault(plain(culture), []).append(culture)
        return [
            f"'{other}' ({several(counts[other], 'well')}): did you mean '{first}' "
            f"({several(counts[first], 'well')})?"
            for first, *others in by_plain.values()
            for other in others
        ]


def plain(name: str) -> str:
    """A name without case, spaces and punctuation, for comparing spellings."""
    return "".join(letter for letter in name.casefold() if letter.isalnum()) or name


def draw_plate(layout: Layout, imaged: Collection[WellKey] | None = None) -> list[str]:
    """Draw a layout as lines of text: a letter per culture, and what the letters mean.

    Parameters
    ----------
    layout : Layout
        The layout.
    imaged : collection of WellKey, optional
        Wells with images: a well without is drawn in a small letter, a well with images and no
        culture as ``?``.
    """
    wells = {*layout.cultures, *(imaged or ())}
    rows = sorted({well.row for well in wells}, key=lambda row: (len(row), row))
    columns = range(min(w.column for w in wells), 1 + max(w.column for w in wells))
    counts = Counter(layout.cultures.values())
    letters = _letters(list(counts))

    def mark(well: WellKey) -> str:
        culture = layout.culture(well)
        if culture is None:
            return _NO_CULTURE if well in wells else _EMPTY
        letter = letters[culture]
        return letter if imaged is None or well in imaged else letter.lower()

    width = len(str(columns[-1])) + 1
    lines = ["   " + "".join(f"{column:>{width}}" for column in columns)]
    lines += [
        f"{row:>3}" + "".join(f"{mark(WellKey(row, column)):>{width}}" for column in columns)
        for row in rows
    ]
    lines.append(", ".join(f"{letters[c]} = {c} ({several(n, 'well')})" for c, n in counts.items()))
    if imaged is not None:
        without = sum(well not in imaged for well in layout.cultures)
        unknown = sum(well not in layout.cultures for well in imaged)
        if without:
            lines.append(f"small letter: no images ({several(without, 'well')})")
        if unknown:
            lines.append(f"?: images, but no culture in the layout ({several(unknown, 'well')})")
    return lines


def _letters(cultures: list[str]) -> dict[str, str]:
    """A capital letter per culture: one of its own letters if that is free."""
    letters: dict[str, str] = {}
    for culture in cultures:
        own = [letter for letter in culture.upper() if letter.isascii() and letter.isalpha()]
        free = [x for x in (*own, *map(row_letters, range(1, 27))) if x not in letters.values()]
        letters[culture] = free[0] if free else "#"
    return letters
