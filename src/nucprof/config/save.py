"""Write settings into a project file, keeping its comments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit

from nucprof.io.files import write_text
from nucprof.plate.keys import CP_ROUND


def as_toml(path: Path, settings: Mapping[str, Any]) -> str:
    """Settings by dotted name as TOML lines for the project file `path`.

    None has no TOML form and is left out.
    """
    document = tomlkit.document()
    _put(document, settings, path.resolve().parent)
    return tomlkit.dumps(document)


def save_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Write settings by dotted name into the project file, leaving everything else unchanged.

    A path below the project file's folder is written relative to it, so that a project can move.
    """
    document = tomlkit.parse(path.read_text(encoding="utf-8-sig"))
    _put(document, settings, path.resolve().parent)
    write_text(path.resolve(), tomlkit.dumps(document))


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
            text = _from(root, folder)
            if round_name == CP_ROUND:
                plate["cell_painting"] = text
            else:
                plate["ground_truth"][round_name] = text
    write_text(path.resolve(), tomlkit.dumps(document))


def _from(root: Path, path: Path) -> str:
    """A path as the project file in `root` names it."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _put(document: Any, settings: Mapping[str, Any], root: Path) -> None:
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
            table[key] = _value(value, root)


def _value(value: Any, root: Path) -> Any:
    if isinstance(value, Mapping):
        return {key: _value(item, root) for key, item in value.items()}
    if isinstance(value, str) and Path(value).is_relative_to(root):  # absolute, as root is
        return _from(root, Path(value))
    if isinstance(value, list) and None in value:
        # TOML has no null: an open limit is written as in the flag, "160.0:".
        return ":".join("" if item is None else str(item) for item in value)
    if isinstance(value, list):
        return [_value(item, root) for item in value]
    return value
