"""One command per stage, made from the stage's declaration."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from nucprof.cli import flags
from nucprof.config import Project
from nucprof.stages import STAGES, Stage

_COMMON = "Run"
PROJECT = inspect.Parameter(
    "project",
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    default=typer.Argument(Path("project.toml"), help="the project file"),
    annotation=Path,
)


def _option(
    name: str, default: Any, annotation: Any, help_text: str, *names: str
) -> inspect.Parameter:
    option = typer.Option(default, *names, help=help_text, rich_help_panel=_COMMON)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=annotation
    )


RUN_OPTIONS = (
    _option(
        "fields",
        None,
        list[str] | None,
        "only these wells or fields, e.g. B02, C-03-01",
        "--fields",
    ),
    _option("force", False, bool, "do it again even where it is up to date", "--force"),
    _option("dry_run", False, bool, "say what would be done, and why; do nothing", "--dry-run"),
    _option("keep_going", False, bool, "go on after a field has failed", "--keep-going"),
    _option("workers", None, str | None, "processes, or auto", "--workers"),
    _option("device", None, str | None, "auto, cpu, cuda, cuda:N or mps", "--device"),
    _option("scheduler", None, str | None, "address of a Dask cluster", "--scheduler"),
    _option(
        "json_log", None, Path | None, "append one JSON object per event to this file", "--json-log"
    ),
    _option("quiet", False, bool, "print only warnings and errors", "--quiet"),
    _option("verbose", False, bool, "print details and tracebacks", "-v", "--verbose"),
)


@dataclass
class Call:
    """A command as called: what every stage command and ``run-all`` have in common."""

    project: Path
    values: dict[str, Any]

    def flags(self, sections: Sequence[str]) -> dict[str, Any]:
        """Nested settings given as flags, those of ``[execution]`` included."""
        nested = flags.given(sections, Project, self.values)
        for key in ("workers", "device", "scheduler"):
            if self.values.get(key) is not None:
                flags.put(nested, f"execution.{key}", self.values[key])
        return nested


def make_command(
    body: Callable[[Call], int], sections: Sequence[str], extra: Sequence[inspect.Parameter] = ()
) -> Callable[..., int]:
    """Make a function that Typer reads: the project, the sections' flags, the common options."""
    parameters = [PROJECT, *extra, *flags.parameters_of(sections, Project), *RUN_OPTIONS]

    def command(**values: Any) -> int:
        return body(Call(values.pop("project"), values))

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def stage_command(stage: Stage) -> Callable[..., int]:
    """The command of a stage."""
    extra = [_option("save", False, bool, "write the flags given into the project file", "--save")]
    if stage.name.startswith("train") or stage.name == "predict":
        extra.append(
            _option("name", "default", str, "name under which the results are kept", "--name")
        )
    if stage.name == "rename":
        extra.append(
            _option("undo", False, bool, "give moved files their old names back", "--undo")
        )

    if stage.name == "segment":
        extra.append(
            _option(
                "preview",
                None,
                int | None,
                "segment this many fields aside and draw their outlines, to choose settings",
                "--preview",
            )
        )

    def body(call: Call) -> int:
        from nucprof.cli.running import run_stage_command

        return run_stage_command(stage, call)

    return make_command(body, stage.sections, extra)


def run_all_command() -> Callable[..., int]:
    """The ``run-all`` command."""
    names = ", ".join(stage.name for stage in STAGES)
    extra = [
        _option("first", None, str | None, f"first stage to run: {names}", "--from"),
        _option("last", None, str | None, "last stage to run", "--until"),
    ]

    def body(call: Call) -> int:
        from nucprof.cli.running import run_all

        return run_all(call)

    return make_command(body, (), extra)
