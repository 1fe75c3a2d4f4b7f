"""Plate layouts from users: a map of the plate, or a list of wells."""

from __future__ import annotations

import re
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

_ROW = re.compile("[A-Za-z]{1,2}")
_MOST_COLUMNS = 9999  # more than any plate has; a larger number is not a column
_WELL_TITLES = ("well", "wells", "wellid", "wellname", "position", "metadatawell", "kavität")
_ROW_TITLES, _COLUMN_TITLES = ("row", "zeile", "reihe"), ("column", "col", "spalte")
_CULTURE_TITLES = (
    "culture", "target", "celltype", "celltypes", "cellline", "cells", "class", "condition",
    "content", "sample", "metadatatarget", "kultur", "zelltyp",
)  # fmt: skip


Cells = list[tuple[str, str, str]]
"""Row, column and culture, as written."""


def read_layout(path: Path) -> Layout:
    """Read which culture grows in which well.

    Parameters
    ----------
    path : Path
        ``.xlsx`` (its only sheet, or the one called "Culture") or text (``.csv``, ``.tsv``): a map
        with row letters down and column numbers across, with or without titles above, or a list
        with a column of wells (or of rows and columns) and one of cultures.

    Raises
    ------
    UserError
        The file cannot be read, has neither form, or names a well twice or an impossible well.
    """
    grid = read_grid(path, SHEET)
    if not grid:
        raise UserError(f"{path} names no well with a culture. {FORMS}")
    cells = _read_list(grid) or _read_map(grid)
    cultures: dict[WellKey, str] = {}
    for row, column, culture in cells:
        well = _well(path, row, column)
        fault = fault_of_class(culture)
        if fault:
            raise UserError(f"{path}: well {well}: {fault}, or leave the well empty.")
        if cultures.setdefault(well, culture) != culture:
            raise UserError(
                f"{path}: well {well} is named twice, '{cultures[well]}' and '{culture}'; keep one "
                "layout in the sheet."
            )
    if not cultures:
        raise UserError(f"{path} names no well with a culture. {FORMS}")
    return Layout(cultures)


def _read_list(grid: Grid) -> Cells | None:
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
        named = (i for i in range(top + 1, height) if (i, culture) in grid)
        return [(*_place(grid, i, well, row, column), grid[i, culture]) for i in named]
    return None


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


def _first(titles: dict[str, int], known: tuple[str, ...]) -> int | None:
    return next((titles[title] for title in known if title in titles), None)


def _read_map(grid: Grid) -> Cells:
    """Read a map of the plate, from the corner with most row letters and column numbers."""
    top, left = _corner(grid)
    height, width = 1 + max(r for r, _ in grid), 1 + max(c for _, c in grid)
    found: Cells = []
    inside = False
    for i in range(top + 1, height):
        label = grid.get((i, left), "")
        if inside and not any((i, c) in grid for c in range(left, width)):
            inside = False  # notes may follow after an empty row
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


def _corner(grid: Grid) -> tuple[int, int]:
    """The cell above the row letters and left of the column numbers; (0, 0) if there is none."""
    letters: dict[int, list[int]] = {}
    for (row, column), text in grid.items():
        if _ROW.fullmatch(text):
            letters.setdefault(column, []).append(row)
    best, most = (0, 0), 0
    for top in sorted({row for row, _ in grid}):
        titles = sorted((c, text) for (r, c), text in grid.items() if r == top)
        numbers = [(c, int(float(text))) for c, text in titles if _number(text)]
        for left, rows in letters.items():
            across = [n for c, n in numbers if c > left]
            below = sum(row > top for row in rows)
            if across != sorted(set(across)) or len(across) * below <= most:
                continue
            best, most = (top, left), len(across) * below
    return best


def _number(text: str) -> bool:
    return text.removesuffix(".0").isdecimal() and 1 <= int(float(text)) <= _MOST_COLUMNS


def _well(path: Path, row: str, column: str) -> WellKey:
    number = column.removesuffix(".0")
    if _ROW.fullmatch(row) and number.isdecimal() and 1 <= int(number) <= _MOST_COLUMNS:
        return WellKey(row.upper(), int(number))
    raise UserError(
        f"{path}: row '{row}', column '{column}' is not a well; rows are letters (A, B, "
        f"... AF), columns are numbers (1, 2, ... 48). {FORMS}"
    )
