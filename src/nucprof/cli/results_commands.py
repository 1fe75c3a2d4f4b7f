"""Commands about results: status, clean."""

from __future__ import annotations

from pathlib import Path

import typer

from nucprof.cli.call import PROJECT_ARGUMENT, can_ask, say
from nucprof.duration import duration


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(status)
    app.command()(clean)


def status(
    project: Path = PROJECT_ARGUMENT,
    provenance: bool = typer.Option(
        False, "--provenance", help="versions, settings, models, and the commands to run it again"
    ),
) -> None:
    """Show what is done, what is stale and why, and what is doubtful."""
    from rich.filesize import decimal

    from nucprof.cli.console import ConsoleReporter
    from nucprof.config import load_project
    from nucprof.io.results import Results
    from nucprof.project.doubts import current_doubts
    from nucprof.project.status import recall, remember
    from nucprof.run.state import RunState
    from nucprof.stages import STAGES

    settings = load_project(project)
    if provenance:
        from nucprof.project.provenance import provenance as describe

        for line in describe(RunState(settings), project):
            say(line)
        return
    known = recall(settings, Results(settings.project.output))
    if any(stage.name not in known for stage in STAGES):
        from nucprof.run.pipeline import Run

        known = remember(Run(settings))
    held = RunState(settings)
    doubts = current_doubts(held)
    reporter = ConsoleReporter()
    reporter.say(f"{'stage':<12} {'done':>6} {'time':>11} {'size':>9}  state")
    for stage in STAGES:
        row = known[stage.name]
        jobs, took = (str(row.jobs), duration(row.seconds)) if row.jobs else ("-", "-")
        size = decimal(row.size) if row.size else "-"
        reporter.say(f"{stage.name:<12} {jobs:>6} {took:>11} {size:>9}  {row.state}")
    reporter.waterfall(held.manifest.waterfall)
    for doubt in doubts:
        reporter.warn(f"doubtful: {doubt.line}")
    reporter.close()


def clean(
    project: Path = PROJECT_ARGUMENT,
    stages: list[str] = typer.Option(
        [], "--stage", help="delete what this stage made; repeat for more"
    ),
    yes: bool = typer.Option(False, "--yes", help="do not ask"),
) -> int:
    """Show what can be deleted and made again, and delete what you choose."""
    from rich.filesize import decimal

    from nucprof.cli.console import ConsoleReporter
    from nucprof.config import load_project
    from nucprof.project.clean import chosen, removable, remove
    from nucprof.run.lock import locked
    from nucprof.run.pipeline import Run

    run = Run(load_project(project))
    reporter = ConsoleReporter()
    try:
        found = removable(run)
        items = chosen(found, stages) if stages else found
        for item in items:
            reporter.say(
                f"{item.stage.name:<12} {len(item.files):>6} files {decimal(item.size):>9}, "
                f"took {duration(item.seconds)}"
            )
        if not stages:
            reporter.say(
                f"Delete with: nucprof clean {project} --stage NAME. Images and their names, "
                "settings and the manifest are never deleted."
                if found
                else "There is nothing to delete."
            )
            return 0
        if not yes and not (can_ask() and typer.confirm("Delete these files?")):
            reporter.say("Nothing was deleted; to delete without a question, add --yes.")
            return 0
        with locked(run.results.lock, "nucprof clean"):
            run.claim()  # not another project's files
            freed = remove(run, items)
        reporter.say(f"Deleted {decimal(freed)}. Next: nucprof run-all {project} makes it again.")
    finally:
        reporter.close()
    return 0
