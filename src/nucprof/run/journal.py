"""Journals: one line per finished job, appended as it finishes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nucprof.io.files import write_text
from nucprof.refusals import naming
from nucprof.run.places import Places
from nucprof.stages.base import Entry

_STATUSES = ("done", "excluded", "failed")
_ENTRY = TypeAdapter(Entry)


def append(path: Path, entry: Entry, places: Places) -> None:
    """Append a finished job; the line is on disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path), path.open("a+b") as file:
        if file.tell() and not _ends_whole(path):
            file.write(b"\n")  # an incomplete line of a killed run must not join this one
        file.write(_line(entry, places).encode())


def read(path: Path, record: type, places: Places) -> dict[tuple[str, str], Entry]:
    """Read a journal: the newest entry of every job.

    An incomplete or unreadable line is ignored: its job is done again.

    Parameters
    ----------
    path : Path
    record : type
        Of the stage's records.
    places : Places
        The folders to which paths are relative.
    """
    entries: dict[tuple[str, str], Entry] = {}
    if not path.is_file():
        return entries
    records: TypeAdapter[Any] = TypeAdapter(record)
    for line in path.read_bytes().splitlines():
        try:
            entry = _ENTRY.validate_python(json.loads(line))
            if entry.status not in _STATUSES:
                continue
            held = entry.record
            entry = replace(
                entry,
                record=None if held is None else records.validate_python(held),
                inputs=_read_paths(entry.inputs, places),
                outputs=_read_paths(entry.outputs, places),
            )
        except (json.JSONDecodeError, UnicodeDecodeError, TypeError, ValidationError):
            continue
        entries[entry.key] = entry
    return entries


def rewrite(path: Path, entries: Iterable[Entry], places: Places) -> None:
    """Replace a journal by these entries, dropping superseded lines."""
    write_text(path, "".join(_line(entry, places) for entry in entries))


def _line(entry: Entry, places: Places) -> str:
    written = replace(
        entry,
        inputs={places.write(Path(path)): held for path, held in entry.inputs.items()},
        outputs={places.write(Path(path)): held for path, held in entry.outputs.items()},
    )
    return json.dumps(asdict(written), separators=(",", ":"), ensure_ascii=False) + "\n"


def _read_paths(held: Mapping[str, Any], places: Places) -> dict[str, Any]:
    return {str(places.read(path)): value for path, value in held.items()}


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
