"""One command per stage, made from the stage's declaration."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nucprof.cli import flags
from nucprof.cli.call import PROJECT, RUN_OPTIONS, Call, run_option
from nucprof.config import Project
from nucprof.stages import STAGES, Stage


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
    extra = [run_option("save", False, bool, "write these flags into the project file", "--save")]
    if stage.named:
        extra.append(
            run_option("name", "default", str, "name under which the results are saved", "--name")
        )
    if stage.elsewhere:
        text = "write to this folder, with a record; nothing in the results changes"
        extra.append(run_option("out", None, Path | None, text, "--out"))
    for option in stage.options:
        default, kind = (False, bool) if option.type is bool else (None, option.type | None)
        extra.append(run_option(option.variable, default, kind, option.help, option.flag))

    def body(call: Call) -> int:
        from nucprof.cli.running import run_stage_command

        return run_stage_command(stage, call)

    return make_command(body, stage.sections, extra)


def run_all_command() -> Callable[..., int]:
    """The ``run-all`` command."""
    names = ", ".join(stage.name for stage in STAGES)
    extra = [
        run_option("first", None, str | None, f"first stage to run: {names}", "--from"),
        run_option("last", None, str | None, "last stage to run", "--until"),
    ]

    def body(call: Call) -> int:
        from nucprof.cli.running import run_all

        return run_all(call)

    return make_command(body, (), extra)
