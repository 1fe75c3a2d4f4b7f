"""Tables: Parquet and CSV, read and written whole or field by field."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucprof.errors import UserError
from nucprof.io.damage import reading
from nucprof.io.files import atomic
from nucprof.plate.columns import OLD_NAMES

if TYPE_CHECKING:
    import pandas as pd

GROUP_ROWS = 5_000
"""Rows of a row group, some 10 MB of features: about seven fields of a dense culture."""

_AGAIN = "Is it damaged? Delete it; the stage that makes it writes it again."

_TEXT = (
    "plate",
    "well",
    "row",
    "round",
    "channel",
    "path",
    "ROI_img_name",
    "true_condition",
    "predicted",
    "part",
    "Metadata_Plate",
    "Metadata_Well",
    "Metadata_ROI_img_name",
    "Metadata_Target",
)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table atomically; the suffix chooses the format (``.csv`` or ``.parquet``)."""
    with atomic(path) as temporary:
        if path.suffix == ".csv":
            neutral_texts(table).to_csv(temporary, index=False, lineterminator="\n")
        else:
            table.to_parquet(temporary, index=False, write_page_checksum=True)


# What a spreadsheet program would run as a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def neutral(text: str) -> str:
    """A text as it is written to CSV: no spreadsheet program takes it for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def original(text: str) -> str:
    """The inverse of :func:`neutral`."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


def as_written(row: Mapping[str, str]) -> dict[str, str]:
    """A row of a ``.csv`` with its texts as they were before they were written."""
    return {name: original(text) if text else text for name, text in row.items()}


def neutral_texts(table: pd.DataFrame) -> pd.DataFrame:
    """The table with every text :func:`neutral`."""
    return _each_text(table, table.columns, neutral)


def _each_text(
    table: pd.DataFrame, columns: Iterable[str], change: Callable[[str], str]
) -> pd.DataFrame:
    """The table with every distinct text of these columns changed."""
    from pandas.api.types import is_object_dtype, is_string_dtype

    changed = {}
    for name in columns:
        column = table[name]
        if not (is_object_dtype(column) or is_string_dtype(column)):
            continue
        texts = [value for value in column.unique() if isinstance(value, str)]
        other = {text: change(text) for text in texts if change(text) != text}
        if other:
            changed[name] = column.replace(other)
    return table.assign(**changed) if changed else table


def read_table(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a ``.csv`` or ``.parquet`` table.

    Raises
    ------
    UserError
        The table is missing or damaged.
    """
    with _opened(path):
        table = _read(path, columns)
    return table.rename(columns=OLD_NAMES[path.name]) if path.name in OLD_NAMES else table


@contextmanager
def _opened(path: Path) -> Iterator[None]:
    """Turn what pandas and pyarrow raise for a missing or damaged table into one message."""
    if not path.is_file():
        raise UserError(f"There is no table {path}; run the stage that makes it.")
    with reading(path, UserError, _AGAIN):
        yield


def _read(path: Path, columns: list[str] | None) -> pd.DataFrame:
    import pandas as pd

    if path.suffix == ".csv":
        # A plate called 001 is not a number, a class called NA is not missing.
        table = pd.read_csv(
            path,
            usecols=columns,
            dtype=dict.fromkeys(_TEXT, str),
            keep_default_na=False,
            na_values=[""],
        )
        return _each_text(table, table.columns, original)
    # Opened here, since pyarrow holds a damaged table open while its error lives.
    with path.open("rb") as file:
        return pd.read_parquet(file, columns=columns, page_checksum_verification=True)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of a small ``.csv`` as text, without pandas, which takes long to import.

    Raises
    ------
    UserError
        The table is damaged.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [as_written(row) for row in csv.DictReader(file, strict=True)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is damaged ({error}). Delete it; the stage that makes it writes it again."
        ) from None


def count_rows(path: Path, columns: list[str]) -> dict[tuple[str, ...], int]:
    """Rows of a Parquet table by the values of some text columns, without pandas."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=columns)
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path} is damaged ({reason}). Delete it; the stage that makes it writes it again."
        ) from None
    found = table.group_by(columns).aggregate([([], "count_all")]).to_pylist()
    return {tuple(row[name] for name in columns): row["count_all"] for row in found}


def read_columns(path: Path) -> list[str]:
    """Column names of a Parquet table, without reading it."""
    import pyarrow.parquet as pq

    with _opened(path):
        return list(pq.read_schema(path).names)


def concatenate(
    paths: Iterable[Path],
    target: Path,
    complete: Callable[[pd.DataFrame], pd.DataFrame] = lambda part: part,
) -> int:
    """Write many Parquet tables of one schema as one; return its row count.

    ``complete`` adds columns that need the whole project. Only :data:`GROUP_ROWS` rows are in
    memory at a time; they become one row group, because with one group per field the metadata of
    thousands of fields would be larger than the values.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = 0
    writer: Any = None
    with atomic(target) as temporary:
        try:
            for group in _groups(map(read_table, paths)):
                table = pa.Table.from_pandas(complete(group), preserve_index=False)
                if writer is None:
                    writer = pq.ParquetWriter(temporary, table.schema, write_page_checksum=True)
                writer.write_table(table.cast(writer.schema))
                rows += table.num_rows
            if writer is None:
                raise UserError(f"No field is left from which to write {target.name} from.")
        finally:
            if writer is not None:
                writer.close()
    return rows


def _groups(parts: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Join tables of the same columns, in order, until there are enough rows for a row group."""
    held: list[pd.DataFrame] = []
    for part in parts:
        if held and list(part.columns) != list(held[0].columns):
            other = sorted({*part.columns} ^ {*held[0].columns})
            raise ValueError(f"tables cannot become one, as not all have {', '.join(other)}")
        held.append(part)
        if sum(map(len, held)) >= GROUP_ROWS:
            yield _joined(held)
            held = []
    if held:
        yield _joined(held)


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    # Tables without rows do not affect the types.
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
