"""A command call: its project, its values, and the options that all stage commands share."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from nucprof.cli import flags
from nucprof.config import Project
from nucprof.plate.names import printable

_COMMON = "Run"
PROJECT_ARGUMENT = typer.Argument(Path("project.toml"), help="the project file")
PROJECT = inspect.Parameter(
    "project",
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    default=PROJECT_ARGUMENT,
    annotation=Path,
)


def run_option(
    name: str, default: Any, annotation: Any, help_text: str, *names: str
) -> inspect.Parameter:
    """A keyword option of a command, shown under "Run" in its help."""
    option = typer.Option(default, *names, help=help_text, rich_help_panel=_COMMON)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=annotation
    )


RUN_OPTIONS = (
    run_option(
        "fields",
        None,
        list[str] | None,
        "only these wells or fields, e.g. B02, C-03-01",
        "--fields",
    ),
    run_option("force", False, bool, "run again even what is up to date", "--force"),
    run_option("dry_run", False, bool, "only show what would be done, and why", "--dry-run"),
    run_option("keep_going", False, bool, "continue after a field has failed", "--keep-going"),
    run_option("workers", None, str | None, "processes, or auto", "--workers"),
    run_option("device", None, str | None, "auto, cpu, cuda, cuda:N or mps", "--device"),
    run_option("scheduler", None, str | None, "address of a Dask cluster", "--scheduler"),
    run_option(
        "json_log", None, Path | None, "append one JSON object per event to this file", "--json-log"
    ),
    run_option("quiet", False, bool, "print only warnings and errors", "--quiet"),
    run_option("verbose", False, bool, "print details and tracebacks", "-v", "--verbose"),
)


def can_ask() -> bool:
    """Whether there is a terminal on which a question can be answered."""
    return sys.stdin is not None and sys.stdin.isatty()


def say(line: str) -> None:
    """Print a line; names of files may hold any character."""
    print(printable(line))  # noqa: T201


@dataclass
class Call:
    """A command call: the values that every stage command and ``run-all`` share."""

    project: Path
    values: dict[str, Any]

    def flags(self, sections: Sequence[str]) -> dict[str, Any]:
        """Nested settings given as flags, including those of ``[execution]``."""
        nested = flags.given(sections, Project, self.values)
        for key in ("workers", "device", "scheduler"):
            if self.values.get(key) is not None:
                flags.put(nested, f"execution.{key}", self.values[key])
        return nested
