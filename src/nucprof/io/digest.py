"""Hashes of what decides a result: values in a canonical form, and the contents of files.

A value at its default is hashed like a missing value. So an upgrade that adds a setting keeps
results; a changed default needs a higher stage version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_DECIDES = "decides"
#: Metadata of a dataclass field that only affects where or how fast a job runs: it is not hashed.
WHERE_IT_RUNS: Mapping[str, bool] = {_DECIDES: False}


def canonical(value: Any, place: Callable[[Path], str] = Path.as_posix) -> Any:
    """Turn a value into plain JSON values.

    Parameters
    ----------
    value
        JSON values, paths, sequences, mappings, dataclasses, settings models. Of a dataclass or a
        model, only the fields that decide a result and differ from their default count.
    place
        How a path is written, e.g. relative to the project.

    Raises
    ------
    TypeError
        The value has no canonical form.
    """
    if isinstance(value, BaseModel):
        return {key: canonical(item, place) for key, item in decided(value).items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {
            each.name: canonical(getattr(value, each.name), place)
            for each in fields(value)
            if each.metadata.get(_DECIDES, True) and not _is_default(each, value)
        }
    if isinstance(value, Mapping):
        return {str(key): canonical(item, place) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [canonical(item, place) for item in value]
    if isinstance(value, Path):
        return place(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} cannot be part of a definition")


def digest(value: Any, place: Callable[[Path], str] = Path.as_posix) -> str:
    """Hash of a value's canonical form."""
    text = json.dumps(canonical(value, place), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def decided(settings: BaseModel) -> dict[str, Any]:
    """The settings of a section that decide a result, by name, without those at their default."""
    return {
        key: getattr(settings, key)
        for key, info in type(settings).model_fields.items()
        if decides(info)
        and in_force(info, settings)
        and getattr(settings, key) != info.get_default(call_default_factory=True)
    }


def decides(info: FieldInfo) -> bool:
    """Whether a setting decides a result, by its declaration."""
    return bool(_extra(info).get(_DECIDES, True))


def in_force(info: FieldInfo, settings: BaseModel) -> bool:
    """Whether a setting applies, given the other settings of its section."""
    when: Mapping[str, Sequence[Any]] = _extra(info).get("when", {})
    return all(getattr(settings, key) in values for key, values in when.items())


def _extra(info: FieldInfo) -> Mapping[str, Any]:
    return info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}


def _is_default(each: Field[Any], owner: Any) -> bool:
    if each.default is not MISSING:
        return bool(getattr(owner, each.name) == each.default)
    if each.default_factory is not MISSING:
        return bool(getattr(owner, each.name) == each.default_factory())
    return False


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if _HAS_DIGEST else _digest(file)


_HAS_DIGEST = hasattr(hashlib, "file_digest")  # Python 3.11


def _digest(file: Any) -> str:
    found = hashlib.sha256()
    while block := file.read(1 << 20):
        found.update(block)
    return found.hexdigest()
