"""Plate layouts from users: a map of the plate, or a list of wells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from nucprof.errors import UserError
from nucprof.io.grids import Grid, read_grid
from nucprof.plate.keys import WellKey, row_letters
from nucprof.plate.layout import Layout, plain
from nucprof.plate.names import fault_of_class

SHEET = "Culture"
FORMS = (
    "A layout is a map of the plate (row letters down, column numbers across: ',1,2' over "
    "'A,astro,neuro') or a list ('well,culture' over 'A01,astro'), as .xlsx or .csv."
)

_ROW = re.compile(r"(?:(?:row|zeile|reihe)[ ._-]+)?([A-Za-z]{1,2})", re.IGNORECASE)
_COLUMN = re.compile(r"(?:(?:column|col|spalte)[ ._-]*)?(\d{1,4})(?:\.0)?", re.IGNORECASE)
_WELL = re.compile(r"([A-Za-z]{1,2})[ _-]?(\d{1,4})")
_NOTHING = ("-", "–", "—", "n/a", "#n/a", "empty", "leer", "blank")
_WELL_TITLES = (
    "well", "wells", "wellid", "wellname", "position", "metadatawell", "kavität", "vertiefung",
)  # fmt: skip
_ROW_TITLES, _COLUMN_TITLES = ("row", "zeile", "reihe"), ("column", "col", "spalte")
_PLATE_TITLES = (
    "plate", "plateid", "platename", "plateno", "platenumber", "platebarcode", "metadataplate",
    "platte", "plattenname", "plattennr", "plattennummer",
)  # fmt: skip
_CULTURE_TITLES = (
    "culture", "target", "celltype", "celltypes", "cellline", "cells", "class", "condition",
    "content", "sample", "metadatatarget", "kultur", "zelltyp", "zelllinie",
)  # fmt: skip


Cells = list[tuple[str, str, str]]
"""Row, column and culture, as written."""


def read_layout(path: Path, plate: str = "", plates: Collection[str] = ()) -> Layout:
    """Read which culture grows in which well.

    Parameters
    ----------
    path : Path
        ``.xlsx`` (its only sheet, or the one called "Culture") or text (``.csv``, ``.tsv``): a map
        with row letters down and column numbers across, with or without titles above, or a list
        with a column of wells (or of rows and columns) and one of cultures. Empty cells, ``-``,
        ``n/a``, ``empty``, ``leer`` and ``blank`` are no culture.
    plate : str
        In a list with a column of several plates, whose lines are read; spellings may differ in
        case, hyphens and spaces.
    plates : collection of str
        The names of all plates of the project.

    Raises
    ------
    UserError
        The file cannot be read, has neither form, does not name the plate, or names a well twice
        or an impossible well.
    """
    grid = read_grid(path, SHEET)
    if not grid:
        raise UserError(f"{path} names no well with a culture. {FORMS}")
    found = _read_list(grid)
    unread: tuple[str, ...] = ()
    if found is None:
        cells = _read_untitled_list(path, grid) or _read_map(grid)
    else:
        if plate:
            found, unread = _of_plate(path, found, plate, plates)
        cells = [line.cell for line in found]
    cultures: dict[WellKey, str] = {}
    for row, column, culture in cells:
        if culture.casefold() in _NOTHING:
            continue
        well = _well(path, row, column)
        fault = fault_of_class(culture)
        if fault:
            raise UserError(f"{path}: well {well}: {fault}, or leave the well empty.")
        if cultures.setdefault(well, culture) != culture:
            raise UserError(
                f"{path}: well {well} is named twice, '{cultures[well]}' and '{culture}'; keep one "
                "layout in the sheet. A list of several plates needs a column titled 'plate'."
            )
    if not cultures:
        raise UserError(f"{path} names no well with a culture. {FORMS}")
    return Layout(cultures, unread)


@dataclass(frozen=True)
class _Line:
    """A line of a list: its number in the file, its plate as written, and its well."""

    number: int
    plate: str
    cell: tuple[str, str, str]

    @property
    def has_culture(self) -> bool:
        """Whether it names a well and a culture: it is neither a note nor an empty well."""
        row, column, culture = self.cell
        well = _ROW.fullmatch(row) and _column_number(column)
        return bool(well) and culture.casefold() not in _NOTHING


def _read_list(grid: Grid) -> list[_Line] | None:
    """Read a list of wells; None if no row has the titles of a list."""
    height, width = 1 + max(r for r, _ in grid), 1 + max(c for _, c in grid)
    for top in range(height):
        titles = {plain(grid[top, c]): c for c in range(width) if (top, c) in grid}
        well, culture = _first(titles, _WELL_TITLES), _first(titles, _CULTURE_TITLES)
        row, column = _first(titles, _ROW_TITLES), _first(titles, _COLUMN_TITLES)
        if well is not None and culture is None and len(titles) == 2:
            culture = next(c for c in titles.values() if c != well)
        if culture is None or (well is None and (row is None or column is None)):
            continue
        plates = _first(titles, _PLATE_TITLES)
        if plates in (well, row, column, culture):
            plates = None
        return [
            _Line(
                i + 1,
                "" if plates is None else grid.get((i, plates), ""),
                (*_place(grid, i, well, row, column), grid[i, culture]),
            )
            for i in range(top + 1, height)
            if (i, culture) in grid
        ]
    return None


def _of_plate(
    path: Path, lines: list[_Line], plate: str, plates: Collection[str]
) -> tuple[list[_Line], tuple[str, ...]]:
    """The lines of one plate, and the names of plates in the list that the project lacks.

    A list that names one plate, by a name that the project does not use, is a list of this plate.
    """
    known = {name: name for name in (plate, *plates)}
    loosely = {plain(name): name for name in reversed(known)}
    names = list(dict.fromkeys(line.plate for line in lines if line.plate and line.has_culture))
    plate_of = {name: known.get(name, loosely.get(plain(name))) for name in names}
    if len(names) < 2 and set(plate_of.values()) <= {plate, None}:
        return lines, ()
    unnamed = next((line for line in lines if not line.plate and line.has_culture), None)
    own = [line for line in lines if line.plate and plate_of.get(line.plate) == plate]
    fault = ""
    if not own:
        fault = f"none is called '{plate}'"
    elif unnamed and len(names) > 1:
        fault = f"line {unnamed.number} names none"
    if fault:
        raise UserError(
            f"{path} is a list of {', '.join(names)}, and {fault}; write the names that the plates "
            "have in the project file into each line of its column of plates."
        )
    return own, tuple(name for name in names if plate_of[name] is None)


def _place(
    grid: Grid, i: int, well: int | None, row: int | None, column: int | None
) -> tuple[str, str]:
    """Row and column of a line of a list, from its well or its two columns."""
    if well is not None:
        text = grid.get((i, well), "")
        match = re.fullmatch(r"([A-Za-z]*)[ _-]?(\d*)", text)
        return (match[1], match[2]) if match else (text, "")
    assert row is not None
    assert column is not None
    letters = grid.get((i, row), "")
    if letters.isdecimal():
        letters = row_letters(int(letters))
    return letters, grid.get((i, column), "")


def _read_untitled_list(path: Path, grid: Grid) -> Cells | None:
    """Read a list whose titles are unknown or missing: a column of wells, and one beside it.

    None if the grid is a map, or no column has wells.
    """
    if _corner(grid)[1]:
        return None
    wells = Counter(column for (_, column), text in grid.items() if _WELL.fullmatch(text))
    if not wells or max(wells.values()) < 2:
        return None
    own = max(wells, key=lambda column: wells[column])
    lines = [row for (row, column), text in grid.items() if column == own and _WELL.fullmatch(text)]
    others = sorted({column for row, column in grid if row in lines and column != own})
    if len(others) != 1:
        titles = [grid.get((min(lines) - 1, column), f"column {column + 1}") for column in others]
        raise UserError(
            f"{path}: which column has the cultures, {', '.join(titles)}? Give it the title "
            "'culture', and the one with the wells the title 'well'."
        )
    first = min(lines)
    named = sorted(row for row, column in grid if column == own and row >= first)
    return [(*_place(grid, i, own, None, None), grid.get((i, others[0]), "-")) for i in named]


def _first(titles: dict[str, int], known: tuple[str, ...]) -> int | None:
    return next((titles[title] for title in known if title in titles), None)


def _read_map(grid: Grid) -> Cells:
    """Read a map of the plate, from the corner with most row letters and column numbers."""
    (top, left), _ = _corner(grid)
    height, width = 1 + max(r for r, _ in grid), 1 + max(c for _, c in grid)
    filled = {c for r, c in grid if r >= top}
    # notes may follow after an empty column, and after an empty row
    width = next((c for c in range(left + 1, width) if c not in filled), width)
    found: Cells = []
    inside = False
    for i in range(top + 1, height):
        label = grid.get((i, left), "")
        if inside and not any((i, c) in grid for c in range(left, width)):
            inside = False
            continue
        if _ROW.fullmatch(label):
            inside = True
        elif found and not inside:
            continue
        found += [
            (label, grid.get((top, c), ""), grid[i, c])
            for c in range(left + 1, width)
            if (i, c) in grid
        ]
    return found


def _corner(grid: Grid) -> tuple[tuple[int, int], int]:
    """The cell above the row letters and left of the column numbers, and the wells below it.

    (0, 0) and 0 if there is none.
    """
    letters: dict[int, list[int]] = {}
    for (row, column), text in grid.items():
        if _ROW.fullmatch(text):
            letters.setdefault(column, []).append(row)
    best, most = (0, 0), 0
    for top in sorted({row for row, _ in grid}):
        titles = sorted((c, text) for (r, c), text in grid.items() if r == top)
        numbers = [(c, n) for c, text in titles if (n := _column_number(text))]
        for left, rows in letters.items():
            across = [n for c, n in numbers if c > left]
            below = sum(row > top for row in rows)
            if across != sorted(set(across)) or len(across) * below <= most:
                continue
            best, most = (top, left), len(across) * below
    return best, most


def _column_number(text: str) -> int:
    """A column's number, 0 if the text is none."""
    match = _COLUMN.fullmatch(text)
    return int(match[1]) if match else 0


def _well(path: Path, row: str, column: str) -> WellKey:
    letters, number = _ROW.fullmatch(row), _column_number(column)
    if letters and number:
        return WellKey(letters[1].upper(), number)
    named = f"row '{row}', column '{column}'" if column else f"'{row}'"
    raise UserError(
        f"{path}: {named} is not a well; rows are letters (A, B, "
        f"... AF), columns are numbers (1, 2, ... 48). {FORMS}"
    )
