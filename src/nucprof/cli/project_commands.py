"""Commands about the project as a whole: init, demo, doctor, status."""

from __future__ import annotations

from pathlib import Path

import typer

from nucprof.errors import UserError

_PROJECT = typer.Argument(Path("project.toml"), help="the project file")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(init)
    app.command()(demo)
    app.command()(doctor)
    app.command()(status)


def init(
    cp: list[Path] = typer.Option(
        ..., "--cp", help="folder of Cell Painting images; one per plate"
    ),
    gt: list[str] = typer.Option(
        [], "--gt", metavar="NAME=DIR", help="ground-truth round and its folder"
    ),
    layout: list[Path] = typer.Option([], "--layout", help="plate layout (.xlsx, .csv)"),
    output: Path = typer.Option(Path("project.toml"), "--output", help="project file to write"),
    name: str = typer.Option("my-plate", "--name", help="name of the project"),
) -> None:
    """Start a project: look into folders of images and write a project file."""
    from nucprof.project.init import write_project

    rounds = []
    for text in gt:
        round_name, equals, folder = text.partition("=")
        if not (round_name and equals and folder):
            raise UserError(f"--gt {text}: expected NAME=DIR, e.g. --gt EdU_BrdU=rep1/GT.")
        rounds.append((round_name, Path(folder)))
    for line in write_project(output, cp, rounds, layout, name=name):
        print(line)
    print(f"Wrote {output}; check the channels in it.")
    print(f"Next: nucprof run-all {output} --dry-run")


def demo(
    folder: Path = typer.Argument(Path("demo-plate"), help="new folder for the plate"),
    run: bool = typer.Option(False, "--run", help="also process it, from images to classes"),
    seed: int = typer.Option(0, "--seed", help="seed of the plate"),
) -> int:
    """Write a small synthetic co-culture plate; with --run, process it."""
    from nucprof.demo.plate import write_demo

    plate = write_demo(folder, seed=seed)
    print(f"Wrote the demo plate: {plate.project} ({len(plate.shifts)} fields, two rounds)")
    if not run:
        print(f"Next: nucprof run-all {plate.project}")
        return 0
    from nucprof.cli.console import ConsoleReporter, configure_logging
    from nucprof.config import load_project
    from nucprof.project.demo import run_demo

    configure_logging(verbose=False)
    project = load_project(plate.project)
    reporter = ConsoleReporter(logs=project.project.output / "logs")
    try:
        found = run_demo(plate, project, reporter)
        if found is not None:
            reporter.say("Compared with what is true of the demo plate:")
            for line in found:
                reporter.say(f"  {line}")
        reporter.say(f"Results: {project.project.output}")
    finally:
        reporter.close()
    return 1 if found is None else 0


def doctor(project: Path = typer.Argument(None, help="a project file to check as well")) -> int:
    """Check the machine and, given a project, the disk space and time that it needs."""
    from nucprof.project.doctor import examine

    problems = 0
    for check in examine(project):
        print(f"{check.mark:<5} {check.text}")
        problems += check.mark == "FAIL"
    return 2 if problems else 0


def status(project: Path = _PROJECT) -> None:
    """Say what is done, what is stale, and why."""
    from nucprof.cli.console import ConsoleReporter
    from nucprof.config import load_project
    from nucprof.io.results import Results
    from nucprof.project.status import recall, remember
    from nucprof.stages import STAGES

    settings = load_project(project)
    known = recall(settings, Results(settings.project.output))
    if any(stage.name not in known for stage in STAGES):
        from nucprof.run.pipeline import Run

        known = {stage.name: state for stage, state in remember(Run(settings))}
    reporter = ConsoleReporter()
    for stage in STAGES:
        reporter.say(f"{stage.name:<12} {known[stage.name]}")
    reporter.close()
