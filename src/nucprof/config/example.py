"""``nucprof.toml.example``: every key, its description, unit and default, from the models."""

from __future__ import annotations

import json
import sys
import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from nucprof.config.project import Project
from nucprof.config.setting import Section

_WIDTH = 100
_HEAD = """\
# A nucprof project file with every key. Only [project], [[plates]] and [channels] are required: all
# other keys show their default; delete those that you do not change. Keys without default are
# commented out.
# Precedence: command line > environment (NUCPROF_SEGMENT__PMIN=2) > this file > default.
# Relative paths are relative to this file. Made from the settings models; do not edit by hand.

[project]
name = "astro-shsy5y"
{project}
[[plates]]                    # one or more plates or replicates
name = "rep1"
cell_painting = "rep1/CP"     # folder of .nd2 / .tif fields, or of one file per channel
layout = "rep1/layout.xlsx"   # sheet "Culture": row letters down, column numbers across; or .csv
[plates.ground_truth]         # none, one or several imaging rounds
EdU_BrdU = "rep1/GT"

[channels]
cell_painting = ["DAPI", "FITC", "Cy3", "Cy5"]   # in the order of the files
nuclei = "DAPI"
[channels.ground_truth]
EdU_BrdU = ["EdU", "BrdU"]    # a round may or may not repeat the nuclear stain
"""
_WRITTEN_BY_HAND = ("project", "plates", "channels")


def example() -> str:
    """The text of ``nucprof.toml.example``."""
    project_model = Project.model_fields["project"].annotation
    assert isinstance(project_model, type)
    assert issubclass(project_model, BaseModel)
    general = {k: f for k, f in project_model.model_fields.items() if k != "name"}
    text = _HEAD.format(project="".join(_lines(key, field) for key, field in general.items()))
    for name, field in Project.model_fields.items():
        if name not in _WRITTEN_BY_HAND:
            assert isinstance(field.annotation, type)
            text += _section(name, field.annotation)
    return text


def _section(name: str, model: type[BaseModel]) -> str:
    title = (model.__doc__ or "").splitlines()[0]
    text = f"\n# {title}\n[{name}]\n"
    nested = {}
    for key, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            nested[f"{name}.{key}"] = field.annotation
        else:
            text += _lines(key, field)
    return text + "".join(_section(inner, of) for inner, of in nested.items())


def _lines(key: str, field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    about = field.description or ""
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "unit" in extra:
        about += f" ({extra['unit']})"
    choices = _choices(field.annotation)
    if choices:
        about += f"; one of: {', '.join(choices)}"
    value = f"# {key} =" if default is None else f"{key} = {_toml(default)}"
    line = f"{value:<29} # {about}"
    if len(line) <= _WIDTH:
        return line + "\n"
    return _wrapped(about) + value + "\n"


def _wrapped(about: str) -> str:
    import textwrap

    return "".join(f"# {line}\n" for line in textwrap.wrap(about, _WIDTH - 2))


def _choices(annotation: Any) -> list[str]:
    if typing.get_origin(annotation) is typing.Literal:
        return [str(argument) for argument in typing.get_args(annotation)]
    if typing.get_origin(annotation) in (types.UnionType, typing.Union, list):
        return [c for inner in typing.get_args(annotation) for c in _choices(inner)]
    return []


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Path):
        return json.dumps(value.as_posix())
    if isinstance(value, dict):
        return "{}"
    return json.dumps(value)


if __name__ == "__main__":
    sys.stdout.write(example())
