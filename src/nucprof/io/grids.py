"""Sheets and text files as grids of text, from any spreadsheet program."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from nucprof.errors import UserError
from nucprof.io.damage import reading

Grid = Mapping[tuple[int, int], str]
"""Text by row and column, from 0, without empty cells."""

_MOST_BYTES = 5_000_000
_MOST_UNPACKED_BYTES = 100_000_000
_MOST_MERGED = 100_000  # cells; the library keeps an object for each
_OLE = b"\xd0\xcf\x11\xe0"  # Excel's old format, and any Office file with a password
_MERGED = re.compile(rb"""mergeCell\s[^>]*?ref=["']\$?([A-Z]+)\$?(\d+):\$?([A-Z]+)\$?(\d+)["']""")
_MOST_ROWS, _MOST_COLUMNS = 5_000, 200  # a long table of three 1536-well plates fits


def read_grid(path: Path, sheet: str, *, what: str = "layout", most_rows: int = _MOST_ROWS) -> Grid:
    """Read a ``.xlsx`` sheet or a ``.csv``, ``.tsv`` or ``.txt`` file.

    Parameters
    ----------
    path : Path
        The file. Text may be UTF-8 or UTF-16 (with its mark) or Latin-1, separated by commas,
        semicolons or tabs.
    sheet : str
        The sheet, if there are several.
    what : str
        What the table is, for messages.
    most_rows : int
        A text in a later row is refused.

    Raises
    ------
    UserError
        The file cannot be read, is too large, or has several sheets and none of that
        name.
    """
    with reading(path, UserError, f"Save the {what} as .xlsx or .csv, without a password."):
        if path.stat().st_size > _MOST_BYTES:
            most = _MOST_BYTES // 10**6
            raise UserError(f"{path} is larger than {most} MB; check that it is a {what}.")
        grid = _workbook(path, sheet, what, most_rows) if _is_zip(path) else _text(path, what)
    for row, column in grid:
        if row >= most_rows or column >= _MOST_COLUMNS:
            raise UserError(
                f"{path}: '{grid[row, column]}' is in row {row + 1}, column {column + 1}, far "
                f"from any {what}; delete it."
            )
    return grid


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4)
    if head == _OLE and path.suffix.lower() != ".xls":
        raise UserError(
            f"{path} has a password, or is in Excel's old format; save it as .xlsx or .csv, "
            "without a password."
        )
    if head == _OLE or path.suffix.lower() == ".xls":
        raise UserError(f"{path} is in Excel's old format; save it as .xlsx or .csv.")
    return head == b"PK\x03\x04"  # the name does not count: a .csv may be called .xlsx


def _workbook(path: Path, name: str, what: str, most_rows: int) -> Grid:
    import openpyxl

    _check_archive(path, what)
    book = openpyxl.load_workbook(path, data_only=True)
    try:
        named = {sheet.title.strip().casefold(): sheet for sheet in book.worksheets}
        if len(named) > 1 and name.casefold() not in named:
            raise UserError(
                f"{path} has {len(named)} sheets ({', '.join(book.sheetnames)}); name the one with "
                f'the {what} "{name}".'
            )
        return _sheet(named.get(name.casefold()) or book.worksheets[0], most_rows)
    finally:
        book.close()


def _check_archive(path: Path, what: str) -> None:
    """Refuse a workbook of another program, and one that would fill the memory."""
    with ZipFile(path) as archive:
        if "content.xml" in archive.namelist():
            raise UserError(f"{path} is an OpenDocument table; save the {what} as .xlsx or .csv.")
        if sum(member.file_size for member in archive.infolist()) > _MOST_UNPACKED_BYTES:
            most = _MOST_UNPACKED_BYTES // 10**6
            raise UserError(f"{path} unpacks to more than {most} MB; check that it is a {what}.")
        for name in archive.namelist():
            if name.startswith("xl/worksheets/") and name.endswith(".xml"):
                for merged in _MERGED.finditer(archive.read(name)):
                    _check_merged(path, what, *(part.decode() for part in merged.groups()))


def _check_merged(path: Path, what: str, left: str, top: str, right: str, bottom: str) -> None:
    from openpyxl.utils import column_index_from_string as column

    cells = (column(right) - column(left) + 1) * (int(bottom) - int(top) + 1)
    if cells > _MOST_MERGED:
        raise UserError(
            f"{path}: {left}{top} to {right}{bottom} are merged into one cell, larger than any "
            f"{what}; split it."
        )


def _sheet(sheet: Any, most_rows: int) -> Grid:
    # Only existing cells: with one stray cell in the last row, rows() would fill the memory.
    cells = {(c.row - 1, c.column - 1): _cell(c.value) for c in sheet._cells.values()}
    for merged in sheet.merged_cells.ranges:
        text = cells.get((merged.min_row - 1, merged.min_col - 1), "")
        for row in range(merged.min_row - 1, min(merged.max_row, most_rows)):
            for column in range(merged.min_col - 1, min(merged.max_col, _MOST_COLUMNS)):
                cells[row, column] = text
    return {place: text for place, text in cells.items() if text}


def _cell(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else _clean(str(value))


def _text(path: Path, what: str) -> Grid:
    text = _decode(path.read_bytes())
    if "\0" in text:
        raise UserError(f"{path} is not a text file; save the {what} as .xlsx or .csv.")
    delimiter = max(",;\t", key=text.count)
    rows = csv.reader(io.StringIO(text), delimiter=delimiter)
    cells = {(i, j): _clean(value) for i, row in enumerate(rows) for j, value in enumerate(row)}
    return {place: text for place, text in cells.items() if text}


def _decode(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")  # Excel's "CSV" in western Europe


def _clean(text: str) -> str:
    """Text without leading, trailing and repeated spaces, including non-breaking ones."""
    return " ".join(text.split())
