"""The Typer application: it registers all commands."""

from __future__ import annotations

import typer

from nucprof.cli import look_commands, models_commands, project_commands, results_commands
from nucprof.cli.call import say
from nucprof.cli.stage_command import run_all_command, stage_command
from nucprof.stages import STAGES, Stage
from nucprof.version import __version__

#: Help of commands of two words, by the first.
GROUPS = {"train": "Train and evaluate a classifier on wells it has not seen."}


def build_app() -> typer.Typer:
    """Build the application from the stage declarations."""
    app = typer.Typer(
        name="nucprof",
        help="Cell-by-cell identity in dense mixed cultures: raw plate images to classified cells.",
        invoke_without_command=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    project_commands.add_to(app)
    results_commands.add_to(app)
    look_commands.add_to(app)
    models_commands.add_to(app)
    groups: dict[str, typer.Typer] = {}
    for stage in STAGES:
        *group, name = stage.command.split()
        owner = app
        for word in group:
            if word not in groups:
                groups[word] = typer.Typer(help=GROUPS.get(word), no_args_is_help=True)
                app.add_typer(groups[word], name=word)
            owner = groups[word]
        owner.command(name, help=_help(stage))(stage_command(stage))
    app.command("run-all", help="Run all stages in order, skipping what is up to date.")(
        run_all_command()
    )
    return app


def _help(stage: Stage) -> str:
    return f"{stage.help}. Writes {', '.join(stage.makes)}."


def _show_version(value: bool) -> None:
    if value:
        say(f"nucprof {__version__}")
        raise typer.Exit


def _root(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    if context.invoked_subcommand is None:
        say(context.get_help())
