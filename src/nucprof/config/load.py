"""Reading the project file: parsed, merged with environment and flags, and checked."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

from nucprof.config import checks
from nucprof.config.project import ENV_PREFIX, Project
from nucprof.errors import ProjectError
from nucprof.plate.names import require_text
from nucprof.refusals import explain

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def load_project(
    path: Path, flags: Mapping[str, Any] | None = None, *, check_folders: bool = True
) -> Project:
    """Read a project file and merge it with the environment and ``flags``.

    Parameters
    ----------
    path : Path
        The project file.
    flags : mapping, optional
        Nested values from the command line, e.g. ``{"segment": {"pmin": 2}}``.
    check_folders : bool
        Whether the folders and layouts that the file names must exist.

    Raises
    ------
    ProjectError
        One message that names the file and every wrong key.
    """
    values = read_toml(path)
    try:
        environment = _environment()
        project = Project(**merge(values, environment, flags or {}))
    except ValidationError as error:
        faults: dict[str, list[str]] = {}  # a value that may be of two kinds has two faults
        for item in error.errors():
            key, fault = _explain(dict(item), path, values, flags or {})
            faults.setdefault(key, []).append(fault)
        lines = (
            f"{key}: {' Or: '.join(dict.fromkeys(each))}".removesuffix(": ")
            for key, each in faults.items()
        )
        raise ProjectError("\n".join(lines)) from None
    except SettingsError as error:
        names = ", ".join(sorted(n for n in os.environ if n.upper().startswith(ENV_PREFIX)))
        raise ProjectError(f"The environment ({names}) is wrong: {error}.") from None
    file = path.resolve()
    require_text(file, "The path of the project file,")
    project = _absolute(project, file.parent).at(file)
    checks.check_names(project, path)
    if check_folders:
        checks.check_folders(project, path)
    return project


def _environment() -> dict[str, Any]:
    """Settings from the environment, e.g. ``NUCPROF_SEGMENT__PMIN``."""

    class Sections(BaseSettings, Project):  # only the fields are needed, to find nested ones
        model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_nested_delimiter="__")

    return EnvSettingsSource(Sections)()


def merge(*trees: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested mappings; later ones win, key by key."""
    merged: dict[str, Any] = {}
    for tree in trees:
        for key, value in tree.items():
            both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            merged[key] = merge(merged[key], value) if both else value
    return merged


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file; raises :class:`ProjectError` for a missing or broken one."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ProjectError(f"{path} is no file but a device or a pipe; name a project file.")
    try:
        if path.stat().st_size > _LARGEST:
            raise ProjectError(f"{path} is larger than any project file; name another.")
        # editors of Windows begin a file with a mark
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ProjectError(
            f"There is no project file {path}. Make one with: nucprof init --cp FOLDER"
        ) from None
    except OSError as error:
        raise ProjectError(str(explain(error) or error)) from None
    except UnicodeDecodeError as error:
        raise ProjectError(f"{path} cannot be read: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ProjectError(f"{path} is not valid TOML: {error}.") from None


_LARGEST = 10_000_000  # bytes
_MOST_SHOWN = 200
"""Characters of a wrong value that a message shows."""

# The names that pydantic gives to the branches of a union, after the key.
_BRANCH = re.compile(r"(literal|constrained|function|list|dict|tuple)[\[-]|(int|float|str|bool)$")


def _explain(
    error: dict[str, Any], path: Path, values: Mapping[str, Any], flags: Mapping[str, Any]
) -> tuple[str, str]:
    """Where a wrong value is, with its key, and what is wrong with it."""
    loc = [part for part in error["loc"] if isinstance(part, str | int)]
    while len(loc) > 1 and _BRANCH.match(str(loc[-1])):
        loc.pop()
    key = _dotted(loc)
    if error["type"] == "extra_forbidden":
        known = _known_keys(loc[:-1])
        near = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known keys here: {', '.join(known)}."
        return f"{_source(loc, path, values, flags)}: unknown key '{key}'; {hint}", ""
    if error["type"] == "missing":
        return f"{path}: '{key}' is missing; see nucprof.toml.example.", ""
    shown = _short(repr(error.get("input")))
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{_source(loc, path, values, flags)}: '{key}' = {shown}", f"{message}."


def _short(text: str) -> str:
    """The beginning of a long value."""
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]} ..."


def _dotted(loc: Sequence[str | int]) -> str:
    text = ""
    for part in loc:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _known_keys(loc: Sequence[str | int]) -> list[str]:
    model: Any = Project
    for part in loc:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        model = getattr(annotation, "__args__", (annotation,))[0]
    return list(model.model_fields)


def _source(
    loc: Sequence[str | int], path: Path, values: Mapping[str, Any], flags: Mapping[str, Any]
) -> str:
    def holds(tree: Any) -> bool:
        for part in loc:
            in_list = isinstance(tree, list) and isinstance(part, int) and part < len(tree)
            if in_list or (isinstance(tree, Mapping) and part in tree):
                tree = tree[part]
            else:
                # the location of a branch of a union is deeper than the input
                return tree is not values and tree is not flags and not isinstance(tree, Mapping)
        return True

    if holds(flags):
        return "command line"
    variable = ENV_PREFIX + "__".join(str(part) for part in loc).upper()
    for name in os.environ:
        if variable.startswith(name.upper()) and name.upper().startswith(ENV_PREFIX):
            return f"environment variable {name}"
    return str(path)


def _absolute(project: Project, root: Path) -> Project:
    def full(path: Path | None) -> Path | None:
        if path is None:
            return None
        if "\0" in str(path):
            raise ProjectError(f"{root}: the path {str(path)!r} holds a NUL character; remove it.")
        require_text(path, "The path")  # from the environment
        return Path(os.path.normpath(root / path.expanduser()))

    plates = [
        plate.model_copy(
            update={
                "cell_painting": full(plate.cell_painting),
                "layout": full(plate.layout),
                "ground_truth": {name: full(p) for name, p in plate.ground_truth.items()},
            }
        )
        for plate in project.plates
    ]

    def sect(section: BaseModel, *keys: str) -> BaseModel:
        return section.model_copy(update={key: full(getattr(section, key)) for key in keys})

    corrections = [full(path) for path in project.gate.corrections]
    train = project.train.model_copy(update={"cnn": sect(project.train.cnn, "pretrained")})
    return project.model_copy(
        update={
            "plates": plates,
            "project": sect(project.project, "output"),
            "segment": sect(project.segment, "path"),
            "gate": project.gate.model_copy(update={"corrections": corrections}),
            "train": train,
            "embed": sect(project.embed, "map"),
            "predict": sect(project.predict, "model"),
            "execution": sect(project.execution, "models_dir"),
        }
    )
