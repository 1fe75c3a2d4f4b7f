"""Journals: one line per finished job, appended as it finishes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from nucprof.io.files import write_text
from nucprof.stages.base import Entry


def append(path: Path, entry: Entry) -> None:
    """Append a finished job; the line is on disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if file.tell() and not _ends_whole(path):
            file.write(b"\n")  # a torn line of a killed run must not swallow this one
        file.write(_line(entry).encode())


def read(path: Path) -> dict[tuple[str, str], Entry]:
    """Read a journal: the newest entry of every job. A torn line is ignored."""
    entries: dict[tuple[str, str], Entry] = {}
    if not path.is_file():
        return entries
    for line in path.read_bytes().splitlines():
        try:
            entry = Entry(**json.loads(line))
        except (json.JSONDecodeError, UnicodeDecodeError, TypeError):
            continue
        entries[entry.key] = entry
    return entries


def rewrite(path: Path, entries: Iterable[Entry]) -> None:
    """Replace a journal by these entries, dropping superseded lines."""
    write_text(path, "".join(_line(entry) for entry in entries))


def by_key(entries: Iterable[Entry]) -> Mapping[tuple[str, str], Entry]:
    """Entries by plate and field."""
    return {entry.key: entry for entry in entries}


def _line(entry: Entry) -> str:
    return json.dumps(asdict(entry), separators=(",", ":"), ensure_ascii=False) + "\n"


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
