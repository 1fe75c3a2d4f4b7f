"""Flags made from the settings models: a flag is its key with ``_`` written ``-``."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.markup import escape

from nucprof.config import Section
from nucprof.errors import UserError


def section_model(model: type[BaseModel], dotted: str) -> type[BaseModel]:
    """The model of a dotted section name, e.g. ``train.rf`` of Project."""
    for part in dotted.split("."):
        annotation = model.model_fields[part].annotation
        assert isinstance(annotation, type)
        model = annotation
    return model


def settings_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The settings of the model itself, without subsections."""
    return {
        key: field
        for key, field in model.model_fields.items()
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, Section))
    }


def flag_name(key: str, field: FieldInfo) -> str:
    """The flag of a setting; a mapping has its own flag, given once per item."""
    extra = field.json_schema_extra
    name = extra.get("flag", key) if isinstance(extra, dict) else key
    return "--" + str(name).replace("_", "-")


def unit_of(field: FieldInfo) -> str:
    """The unit of a setting, or an empty text."""
    extra = field.json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


def help_of(field: FieldInfo) -> str:
    """Description, unit and default of a setting in one line."""
    unit = unit_of(field)
    default = field.get_default(call_default_factory=True)
    shown = f" [default: {default}]" if default not in (None, [], {}, "") else ""
    return f"{field.description or ''}{f' ({unit})' if unit else ''}{shown}"


def describe_type(annotation: Any) -> str:
    """The form of a value, for the help text and the example file."""
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is typing.Literal:
        return "|".join(str(argument) for argument in arguments)
    if origin in (types.UnionType, typing.Union):
        return "|".join(describe_type(a) for a in arguments if a is not type(None))
    if origin is typing.Annotated:
        return describe_type(arguments[0])
    if origin in (list, tuple):
        return describe_type(arguments[0])
    names = {bool: "BOOL", int: "INTEGER", float: "NUMBER", Path: "PATH", str: "TEXT"}
    return names.get(annotation, "TEXT")


def parameters_of(sections: Sequence[str], model: type[BaseModel]) -> list[inspect.Parameter]:
    """Typer parameters for all settings of some sections; each defaults to None (not given)."""
    parameters = []
    for dotted in sections:
        for key, field in settings_of(section_model(model, dotted)).items():
            parameters.append(_parameter(variable(dotted, key), key, field, dotted))
    return parameters


def variable(dotted: str, key: str) -> str:
    """Python name under which a command receives a setting."""
    return f"{dotted.replace('.', '__')}__{key}"


def _parameter(name: str, key: str, field: FieldInfo, section: str) -> inspect.Parameter:
    flag = flag_name(key, field)
    kind: Any
    origin = typing.get_origin(field.annotation)
    panel = escape(f"Settings of [{section}]")
    if field.annotation is bool:
        kind = bool | None
        flag = f"{flag}/--no-{flag[2:]}"
        option = typer.Option(None, flag, help=escape(help_of(field)), rich_help_panel=panel)
    else:
        kind = list[str] | None if origin in (list, dict) else str | None
        metavar = "KEY=VALUE" if origin is dict else describe_type(field.annotation)
        option = typer.Option(
            None, flag, help=escape(help_of(field)), metavar=metavar, rich_help_panel=panel
        )
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=kind)


def given(
    sections: Sequence[str], model: type[BaseModel], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Nested settings of the flags that were given."""
    nested: dict[str, Any] = {}
    for dotted in sections:
        for key, field in settings_of(section_model(model, dotted)).items():
            value = values.get(variable(dotted, key))
            if value is None or value == [] or value == ():
                continue
            if typing.get_origin(field.annotation) is dict:
                value = _mapping(flag_name(key, field), value)
            put(nested, f"{dotted}.{key}", value)
    return nested


def _mapping(flag: str, items: Sequence[str]) -> dict[str, str]:
    mapping: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not (key and equals):
            raise UserError(f"{flag} {item}: expected KEY=VALUE, e.g. {flag} EdU=600.")
        if mapping.setdefault(key, value) != value:
            raise UserError(f"{flag} {item}: {key} has another value before; give it once.")
    return mapping


def put(nested: dict[str, Any], dotted: str, value: Any) -> None:
    """Set a value in a nested mapping by its dotted name."""
    *parents, last = dotted.split(".")
    for parent in parents:
        nested = nested.setdefault(parent, {})
    nested[last] = value
