"""One workbook for people without Python: wells, composition, metrics, settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nucprof.config import Project
from nucprof.errors import ResultMissing, UserError
from nucprof.io.digest import canonical
from nucprof.io.files import atomic
from nucprof.io.tables import neutral_texts
from nucprof.plate.columns import LAYOUT, PLATE, WELL
from nucprof.project.export.tables import CellTable, cell_table, one_vocabulary
from nucprof.project.reader import ProjectResults
from nucprof.stages.base import layouts

_MOST_ROWS = 1_048_575  # of a sheet, below its header
_SHOWN = "0.000"
_LOOKED_AT = 500  # rows whose texts decide the width of a column


def write(results: ProjectResults, path: Path) -> list[str]:
    """Write ``results.xlsx``; a sheet whose stage has not run is left out, and named."""
    sheets = {"wells": _wells(results)}
    missing = []
    for name, read in (
        ("cells", _cells),
        ("composition", lambda r: one_vocabulary(r.composition())),
        ("metrics", _metrics),
    ):
        try:
            sheets[name] = read(results)
        except ResultMissing as error:
            missing.append(f"no sheet '{name}': {error}")
    sheets["settings"] = _settings(results)
    with atomic(path) as temporary, pd.ExcelWriter(temporary, engine="openpyxl") as book:
        for name, table in sheets.items():
            _write_sheet(book, name, table)
    return [f"sheets: {', '.join(sheets)}", *missing]


def _write_sheet(book: pd.ExcelWriter, name: str, table: pd.DataFrame) -> None:
    if len(table) > _MOST_ROWS:
        raise UserError(
            f"The sheet '{name}' would have {len(table)} rows, Excel holds {_MOST_ROWS}; use "
            "--to csv."
        )
    neutral_texts(table).to_excel(book, sheet_name=name, index=False, freeze_panes=(1, 0))
    sheet = book.sheets[name]
    for number, column in enumerate(table.columns, start=1):
        values = table[column]
        if is_float := pd.api.types.is_float_dtype(values):
            for (cell,) in sheet.iter_rows(min_row=2, min_col=number, max_col=number):
                cell.number_format = _SHOWN  # the value keeps all its digits
        texts = [str(column), *([] if is_float else map(str, values[:_LOOKED_AT].dropna()))]
        letters = sheet.cell(1, number).column_letter
        sheet.column_dimensions[letters].width = max(10, min(40, max(map(len, texts)) + 2))
    sheet.auto_filter.ref = sheet.dimensions


def _wells(results: ProjectResults) -> pd.DataFrame:
    """Culture by well, and cells: segmented, kept, dropped by reason, of every class."""
    cells = results.cells
    by_well = cells.groupby([PLATE, WELL], sort=True)
    counts = by_well.size().rename("segmented").to_frame()
    counts["kept"] = by_well["status"].agg(lambda status: int((status == "kept").sum()))
    dropped = cells[cells["status"] != "kept"]
    counts = counts.join(_counted(dropped, dropped["reason"], "dropped: "))
    try:
        known = cell_table(results, ground_truth=False).cells
    except ResultMissing:  # the features have not been measured
        known = cells
    for column, prefix in (
        ("Metadata_true_condition", "true: "),
        ("Metadata_predicted", "predicted: "),
    ):
        if column in known:
            counts = counts.join(_counted(known, known[column], prefix))
    counts = counts.fillna(0).astype(int)
    cultures = _cultures(results.project)
    counts.insert(0, LAYOUT, [cultures.get(well) for well in counts.index])
    return counts.reset_index()


def _cultures(project: Project) -> dict[tuple[str, str], str]:
    """The culture of every well, from the layouts."""
    return {
        (plate, str(well)): culture
        for plate, layout in layouts(project).items()
        for well, culture in layout.cultures.items()
    }


def _counted(cells: pd.DataFrame, values: pd.Series, prefix: str) -> pd.DataFrame:
    return pd.crosstab([cells[PLATE], cells[WELL]], values).add_prefix(prefix)


def _cells(results: ProjectResults) -> pd.DataFrame:
    """Metadata and classes of every cell, without features."""
    table: CellTable = cell_table(results, ground_truth=False)
    return table.cells[table.metadata].sort_values([PLATE, WELL], kind="stable")


def _metrics(results: ProjectResults) -> pd.DataFrame:
    """The metrics of both classifiers with their intervals; the forest's also on the split."""
    rows: list[tuple[str, str, Any]] = []
    for method in ("rf", "cnn"):
        try:
            metrics = results.metrics(method)
        except ResultMissing:
            continue
        rows += [(method, *row) for row in _numbers(metrics)]
        if on_split := metrics.get("split"):
            rows += [(f"{method}, split", *row) for row in _numbers(on_split)]
    if not rows:
        raise ResultMissing("no classifier has been trained; run: nucprof train rf PROJECT")
    return pd.DataFrame(rows, columns=["classifier", "metric", "value"])


def _numbers(metrics: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name and value of every metric that is a number or a word; an interval is two of them."""
    for key, value in metrics.items():
        if _is_plain(value):
            yield key, value
        elif key.endswith("_ci") and isinstance(value, Sequence):
            yield from zip((f"{key} low", f"{key} high"), value, strict=True)


def _settings(results: ProjectResults) -> pd.DataFrame:
    """Every setting by its dotted name."""
    rows: list[tuple[str, Any]] = []

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), inner)
        else:
            rows.append((prefix, value if _is_plain(value) else str(canonical(value))))

    walk("", results.project.model_dump(mode="json"))
    return pd.DataFrame(rows, columns=["setting", "value"])


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)
