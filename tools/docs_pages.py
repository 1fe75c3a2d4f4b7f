"""Pages of the documentation that are made from the code when the site is built (a mkdocs hook).

Commands and options are read from the command line itself, settings from their models, so neither
can differ from the program. The change log and the measurements are files of the repository.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import annotated_types
import typer.main
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from nucprof.cli.app import build_app
from nucprof.cli.flags import describe_type, flag_name, section_model, settings_of, unit_of
from nucprof.config import Project, Section

REPOSITORY = Path(__file__).parents[1]
MEASURED = REPOSITORY / "benchmarks"
GENERAL = ("project", "plates", "channels")
LIMITS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages to the files of the site; mkdocs calls this."""
    from mkdocs.structure.files import File

    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    for path in MEASURED.glob("*.png"):
        files.append(File.generated(config, f"measured/{path.name}", abs_src_path=str(path)))
    return files


def pages() -> dict[str, str]:
    """Every generated page, by its path below ``docs``."""
    return {
        "reference/commands.md": commands_page(),
        "reference/settings.md": settings_page(),
        "changes.md": (REPOSITORY / "CHANGELOG.md").read_text("utf-8"),
        **{
            f"measured/{path.stem.replace('README', 'index')}.md": path.read_text("utf-8")
            for path in MEASURED.glob("*.md")
        },
    }


def commands_page() -> str:
    """All commands with their arguments and options, from the command line itself."""
    text = """\
# Commands

`nucprof COMMAND --help` prints the same on your machine. `PROJECT` is the project file; without it,
the commands that need one read `project.toml` in the current folder. Options under *Settings*
override the key of the same name in the project file for this run; `--save` writes them into the
file.

Exit status: 0 done; 1 some fields failed; 2 an error in your input or command; 3 a bug in nucprof.

"""
    return text + "".join(_commands(typer.main.get_command(build_app()), "nucprof"))


def _commands(command: Any, name: str) -> Iterator[str]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield f"## {name}\n\n{command.help.strip()}\n\n{_usage(command, name)}{_options(command)}"
        return
    for word, child in inner.items():
        yield from _commands(child, f"{name} {word}")


def _usage(command: Any, name: str) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    words = [_argument(p) for p in arguments]
    text = f"```text\n{' '.join([name, *words, '[OPTIONS]'])}\n```\n\n"
    for parameter, word in zip(arguments, words, strict=True):
        text += f"- `{word}`: {parameter.help or ''}{_default(parameter)}\n"
    return text + "\n"


def _argument(parameter: Any) -> str:
    word = parameter.metavar or parameter.name.upper()
    return word if parameter.required or word.startswith("[") else f"[{word}]"


def _options(command: Any) -> str:
    panels: dict[str, list[Any]] = {}
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.name != "help":
            panels.setdefault(parameter.rich_help_panel or "Options", []).append(parameter)
    text = ""
    for panel, parameters in panels.items():
        title = panel.replace("\\", "")
        text += f"**{title}**\n\n| option | meaning |\n|---|---|\n"
        text += "".join(_option(parameter) for parameter in parameters) + "\n"
    return text


def _option(parameter: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    metavar = "" if parameter.is_flag or not parameter.metavar else f" `{parameter.metavar}`"
    repeat = " (may be repeated)" if parameter.multiple else ""
    about = (parameter.help or "").replace("\\[", "[")
    return f"| {_cell(names + metavar)} | {_cell(about + _default(parameter) + repeat)} |\n"


def _default(parameter: Any) -> str:
    default = parameter.default
    if default in (None, False, [], "") or callable(default) or parameter.is_eager:
        return ""
    return f" [default: {default}]"


def settings_page() -> str:
    """All keys of the project file, from the models."""
    text = """\
# Settings

Every key of the project file. Only `[project]`, `[[plates]]` and `[channels]` are required. An
unknown key is an error that names the nearest valid key. Precedence: command line, then environment
(`NUCPROF_SEGMENT__PMIN=2`), then file, then default. Relative paths are relative to the project
file, also those given as flags. `nucprof.toml.example` in the repository shows the same keys as a
file.

"""
    for name, field in Project.model_fields.items():
        model = _item_model(field)
        text += _section(name, model, repeated=name == "plates")
        for inner in _subsections(model):
            text += _section(f"{name}.{inner}", section_model(Project, f"{name}.{inner}"))
    return text


def _item_model(field: FieldInfo) -> type[BaseModel]:
    annotation: Any = field.annotation
    return getattr(annotation, "__args__", (annotation,))[0]


def _subsections(model: type[BaseModel]) -> list[str]:
    return [
        key
        for key, field in model.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    ]


def _section(name: str, model: type[BaseModel], *, repeated: bool = False) -> str:
    title = f"[[{name}]]" if repeated else f"[{name}]"
    about = (model.__doc__ or "").strip().splitlines()[0]
    flags = "" if name in GENERAL else " flag |"
    text = f"## {title} {{ #{name.replace('.', '-')} }}\n\n{about}\n\n"
    text += (
        f"| key | values | default |{flags} meaning |\n|---|---|---|{'---|' if flags else ''}---|\n"
    )
    for key, field in settings_of(model).items():
        flag = f" `{flag_name(key, field)}` |" if flags else ""
        unit = unit_of(field)
        about = f"{field.description or ''}{f' ({unit})' if unit else ''}"
        text += f"| `{key}` | {_cell(_values(field))} | {_shown(field)} |{flag} {_cell(about)} |\n"
    return text + "\n"


def _values(field: FieldInfo) -> str:
    many = getattr(field.annotation, "__origin__", None)
    kind = {list: "list of ", dict: "table of "}.get(many, "")
    annotation = field.annotation
    if many is dict:
        annotation = annotation.__args__[1]  # type: ignore[union-attr]
    words = describe_type(annotation).split("|")
    plain = {"INTEGER": "integer", "NUMBER": "number", "TEXT": "text", "PATH": "path"}
    shown = ", ".join(
        "`true`, `false`" if w == "BOOL" else plain.get(w, f"`{w}`") for w in dict.fromkeys(words)
    )
    return kind + shown + _limits(field)


def _limits(field: FieldInfo) -> str:
    found = [
        f" {sign} {getattr(limit, name)}"
        for limit in field.metadata
        if isinstance(limit, annotated_types.BaseMetadata)
        for name, sign in LIMITS.items()
        if hasattr(limit, name)
    ]
    return "".join(found)


def _shown(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if default is None:
        return "see meaning"
    if default == [] or default == {}:
        return "empty"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _cell(text: str) -> str:
    """A text as one cell of a Markdown table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
