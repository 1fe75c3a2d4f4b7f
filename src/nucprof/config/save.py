"""Write settings into a project file, keeping its comments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit

from nucprof.io.files import write_text
from nucprof.plate.keys import CP_ROUND


def as_toml(settings: Mapping[str, Any]) -> str:
    """Settings by dotted name as TOML lines; None has no TOML form and is left out."""
    document = tomlkit.document()
    _put(document, settings)
    return tomlkit.dumps(document)


def save_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Write settings by dotted name into the project file, leaving everything else unchanged."""
    document = tomlkit.parse(path.read_text(encoding="utf-8-sig"))
    _put(document, settings)
    write_text(path, tomlkit.dumps(document))


def save_folders(path: Path, folders: Mapping[tuple[str, str], Path]) -> None:
    """Write the folders of images, by plate and round, into the project file.

    A folder below the project file's own is written relative to it.
    """
    document = tomlkit.parse(path.read_text(encoding="utf-8-sig"))
    root = path.resolve().parent
    for plate in document["plates"]:
        for (name, round_name), folder in folders.items():
            if plate["name"] != name:
                continue
            text = (folder.relative_to(root) if folder.is_relative_to(root) else folder).as_posix()
            if round_name == CP_ROUND:
                plate["cell_painting"] = text
            else:
                plate["ground_truth"][round_name] = text
    write_text(path, tomlkit.dumps(document))


def _put(document: Any, settings: Mapping[str, Any]) -> None:
    for dotted, value in settings.items():
        *sections, key = dotted.split(".")
        table = document
        for name in sections:
            if name not in table:
                table[name] = tomlkit.table()
            table = table[name]
        if value is None:
            table.pop(key, None)
        else:
            table[key] = _value(value)


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _value(item) for key, item in value.items()}
    if isinstance(value, list) and None in value:
        # TOML has no null: an open limit is written as in the flag, "160.0:".
        return ":".join("" if item is None else str(item) for item in value)
    return value
