"""Files of corrections: the classes that people gave cells on review.

A row is an answer of one person about one cell. ``true_condition`` is a class, or ``undefined`` for
a cell that is not to be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nucprof.errors import UserError
from nucprof.io.grids import read_grid
from nucprof.io.tables import neutral, original
from nucprof.plate.keys import parse_cell_key

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("plate", "ROI_img_name", "true_condition", "was", "who", "when")
"""Columns of a file, in their order. ``was`` and ``when`` may be absent or empty."""
_NEEDED = ("plate", "ROI_img_name", "true_condition", "who")
_MOST_ROWS = 200_000
_HOW = "Save it from the page that 'nucprof review' writes."


def read_corrections(paths: Sequence[Path]) -> pd.DataFrame:
    """Read the answers of all files, in their order.

    Parameters
    ----------
    paths : sequence of Path
        ``.csv`` or ``.xlsx`` files, e.g. one per person. The same answer may occur twice.

    Returns
    -------
    DataFrame
        :data:`COLUMNS`, text, one row per person and cell.

    Raises
    ------
    UserError
        A file is missing, lacks a column or a value, has a cell key that is none, or one person
        gave a cell two different classes.
    """
    import pandas as pd

    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for path in paths:
        for number, row in _rows(path):
            key = (row["plate"], row["ROI_img_name"], row["who"])
            before = rows.setdefault(key, row)
            if before["true_condition"] != row["true_condition"]:
                raise UserError(
                    f"{path}, line {number}: {row['who']} gave cell {key[1]} of plate {key[0]} two "
                    f"classes, '{before['true_condition']}' and '{row['true_condition']}'; delete "
                    "the wrong line."
                )
    return pd.DataFrame(list(rows.values()), columns=list(COLUMNS), dtype="str")


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    if not path.is_file():
        raise UserError(f"gate.corrections: there is no file {path}. {_HOW}")
    grid = read_grid(path, "corrections", what="table of corrections", most_rows=_MOST_ROWS)
    titles = {grid[place]: place[1] for place in grid if place[0] == 0}
    first = [text for (line, _), text in grid.items() if line == 0]
    twice = [name for name in COLUMNS if first.count(name) > 1]
    if twice:
        raise UserError(f"{path} has two columns '{twice[0]}'; delete one.")
    missing = [name for name in _NEEDED if name not in titles]
    if missing:
        raise UserError(f"{path} lacks the column '{missing[0]}' in its first line. {_HOW}")
    lines: dict[int, dict[str, str]] = {}
    names = {column: title for title, column in titles.items() if title in COLUMNS}
    for (line, column), text in grid.items():
        if line > 0 and column in names:
            lines.setdefault(line, dict.fromkeys(COLUMNS, ""))[names[column]] = original(text)
    found = [(line + 1, row) for line, row in sorted(lines.items())]
    for number, row in found:
        empty = [name for name in _NEEDED if not row[name]]
        if empty:
            raise UserError(f"{path}, line {number}: '{empty[0]}' is empty; fill it in.")
        try:
            parse_cell_key(row["ROI_img_name"])
        except UserError as error:
            raise UserError(f"{path}, line {number}: {error}") from None
    return found


def corrections_text(table: pd.DataFrame) -> str:
    """A file's text; no spreadsheet program takes a name for a formula."""
    text: str = (
        table[list(COLUMNS)].map(neutral).to_csv(index=False, lineterminator="\n", encoding="utf-8")
    )
    return text
