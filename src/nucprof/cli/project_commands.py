"""Commands about the project as a whole: init, demo, doctor, status."""

from __future__ import annotations

from pathlib import Path

import typer

_PROJECT = typer.Argument(Path("project.toml"), help="the project file")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(status)


def status(project: Path = _PROJECT) -> None:
    """Say what is done, what is stale, and why."""
    from nucprof.cli.console import ConsoleReporter
    from nucprof.cli.running import states
    from nucprof.config import load_project
    from nucprof.run.pipeline import Run
    from nucprof.stages import STAGES

    run = Run(load_project(project))
    reporter = ConsoleReporter()
    for stage, state in states(list(STAGES), run):
        reporter.say(f"{stage.name:<12} {state}")
