"""Keys of fields and cells: parsed and formatted here, and nowhere else.

A field is ``B-02-01`` (row, column, site); a cell is its field and its label, ``B-02-01_0001``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from nucprof.errors import UserError

#: The name of the Cell Painting round.
CP_ROUND = "CP"

_FIELD = re.compile(r"^(?P<row>[A-Za-z]{1,2})-(?P<column>\d{1,4})(?:-(?P<site>\d{1,6}))?$")
_WELL = re.compile(r"^(?P<row>[A-Za-z]{1,2})-?(?P<column>\d{1,4})$")
_CELL = re.compile(r"^(?P<field>[A-Za-z]{1,2}-\d+-\d+)_(?P<label>\d+)$")


@dataclass(frozen=True, order=True)
class WellKey:
    """A well: row letters (upper case) and column number."""

    row: str
    column: int

    def __str__(self) -> str:
        return f"{self.row}{self.column:02d}"

    @classmethod
    def parse(cls, text: str) -> WellKey:
        """Parse ``B02``, ``b2`` or ``B-02``; raises :class:`UserError`."""
        match = _WELL.match(text.strip())
        if match is None:
            raise UserError(f"'{text}' is not a well; a well is written like B02 or AA03.")
        return cls(match["row"].upper(), int(match["column"]))


@dataclass(frozen=True, order=True)
class FieldKey:
    """A field of view within a plate; its text is the file stem ``B-02-01``."""

    row: str
    column: int
    site: int = 1

    def __str__(self) -> str:
        return f"{self.row}-{self.column:02d}-{self.site:02d}"

    @property
    def well(self) -> WellKey:
        """The well that the field lies in."""
        return WellKey(self.row, self.column)

    @classmethod
    def parse(cls, text: str) -> FieldKey:
        """Parse ``B-02-01``; a name without a site is site 1. Raises :class:`UserError`."""
        match = _FIELD.match(text.strip())
        if match is None:
            raise UserError(
                f"'{text}' is not a field; a field is written row-column-site, like B-02-01."
            )
        return cls(match["row"].upper(), int(match["column"]), int(match["site"] or 1))


def is_field(text: str) -> bool:
    """Whether a text is a field's key as tables and files have it, ``B-02-01``."""
    match = _FIELD.match(text)
    return match is not None and str(FieldKey.parse(text)) == text


def row_letters(number: int) -> str:
    """Turn a row number into its letters: 1 is A, 26 Z, 27 AA."""
    letters = ""
    while number > 0:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def cell_key(field: FieldKey | str, label: int) -> str:
    """Format the key of a cell: the field and the label, padded to at least 4 digits."""
    return f"{field}_{label:04d}"


def parse_cell_key(text: str) -> tuple[FieldKey, int]:
    """Parse ``B-02-01_0001`` into field and label; raises :class:`UserError`."""
    match = _CELL.match(text)
    if match is None:
        raise UserError(f"'{text}' is not a cell key; one is written like B-02-01_0001.")
    return FieldKey.parse(match["field"]), int(match["label"])


@dataclass(frozen=True)
class FieldSelector:
    """Wells or fields selected by a user (``B02``, ``C-03-01``, ``rep1/B02``)."""

    texts: tuple[str, ...]

    def __post_init__(self) -> None:
        for text in self.texts:
            self._split(text)

    @staticmethod
    def _split(text: str) -> tuple[str | None, WellKey | FieldKey]:
        plate, _, name = text.rpartition("/")
        key = FieldKey.parse(name) if name.count("-") == 2 else WellKey.parse(name)
        return (plate or None), key

    def unmatched(self, fields: list[tuple[str, FieldKey]]) -> list[str]:
        """Names that match none of the fields ``(plate, key)``."""
        return [t for t in self.texts if not any(self._matches(t, p, k) for p, k in fields)]

    def matches(self, plate: str, key: FieldKey) -> bool:
        """Whether the field is selected."""
        return any(self._matches(text, plate, key) for text in self.texts)

    def _matches(self, text: str, plate: str, key: FieldKey) -> bool:
        wanted_plate, wanted = self._split(text)
        if wanted_plate not in (None, plate):
            return False
        return key == wanted if isinstance(wanted, FieldKey) else key.well == wanted
