"""Journals: one line per finished job, appended as it finishes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from nucprof.io.files import is_fingerprint, is_there, write_text
from nucprof.io.state import fault_of
from nucprof.plate.keys import is_field
from nucprof.plate.names import fault_of_name
from nucprof.refusals import naming
from nucprof.run.places import Places
from nucprof.stages.base import Entry

_STATUSES = ("done", "excluded", "failed")
_ENTRY = TypeAdapter(Entry)
_LABELS = re.compile(r"(\d{1,10}(-\d{1,10})?(,\d{1,10}(-\d{1,10})?)*)?")
_BEGIN = b'{"plate":"'  # how every line begins


def append(path: Path, entry: Entry, places: Places) -> None:
    """Append a finished job; the line is on disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path), path.open("a+b") as file:
        if file.tell() and not _ends_whole(path):
            file.write(b"\n")  # an incomplete line of a killed run must not join this one
        file.write(_line(entry, places).encode(errors="backslashreplace"))


@dataclass(frozen=True)
class Journal:
    """What a journal holds: the newest entry of every job, and what is wrong with other lines."""

    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def read(path: Path, record: type, places: Places) -> Journal:
    """Read a journal.

    A line that does not fit is left out and named: its job is done again. The incomplete line of a
    killed run is left out without a word.

    Parameters
    ----------
    path : Path
    record : type
        Of the stage's records.
    places : Places
        The folders to which paths are relative.
    """
    found = Journal()
    if not is_there(path):
        return found
    records: TypeAdapter[Any] = TypeAdapter(record)
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            entry = _read_line(line, records, places)
        except (UnicodeDecodeError, TypeError, ValueError) as error:
            if not (isinstance(error, json.JSONDecodeError) and line.startswith(_BEGIN)):
                found.faults.append(f"line {number}: {fault_of(error)}")
            continue
        found.entries[entry.key] = entry
    return found


def _read_line(line: bytes, records: TypeAdapter[Any], places: Places) -> Entry:
    entry = _ENTRY.validate_python(json.loads(line))
    held = entry.record
    entry = replace(
        entry,
        record=None if held is None else records.validate_python(held),
        inputs=_read_paths(entry.inputs, places),
        outputs=_read_paths(entry.outputs, places),
    )
    _refuse_misfit(entry, places)
    return entry


def _refuse_misfit(entry: Entry, places: Places) -> None:
    """Raise a ValueError that names the key whose value no stage can have written."""
    if entry.status not in _STATUSES:
        raise ValueError(f"status: '{entry.status}' is none of {', '.join(_STATUSES)}")
    if entry.plate and fault_of_name(entry.plate):
        raise ValueError(f"plate: '{entry.plate}' is no plate")
    if entry.field and not is_field(entry.field):
        raise ValueError(f"field: '{entry.field}' is no field")
    labels = [("objects", entry.objects or ""), *(("dropped", ids) for *_, ids in entry.dropped)]
    for key, ids in labels:
        if not _LABELS.fullmatch(ids):
            raise ValueError(f"{key}: '{ids[:40]}' is no list of labels")
    for path in entry.outputs:
        if not Path(path).is_relative_to(places.results):
            raise ValueError(f"outputs: {path} is not below the results")
    for key, files in (("inputs", entry.inputs), ("outputs", entry.outputs)):
        for path, known in files.items():
            if known is not None and not is_fingerprint(known):
                raise ValueError(f"{key}: {path} has no size, time and hash")


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
