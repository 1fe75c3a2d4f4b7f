"""Commands about the project as a whole: init, demo, doctor, relink."""

from __future__ import annotations

from pathlib import Path

import typer

from nucprof.cli.call import PROJECT_ARGUMENT, can_ask, say


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(init)
    app.command()(demo)
    app.command()(doctor)
    app.command("export")(export_results)
    app.command()(relink)


def init(
    places: list[str] = typer.Argument(
        None, metavar="[CP GT LAYOUT]...", help="with --plate: its folders and layout; - for none"
    ),
    cp: list[str] = typer.Option(
        [], "--cp", metavar="[PLATE=]DIR", help="folder of Cell Painting images; one per plate"
    ),
    gt: list[str] = typer.Option(
        [], "--gt", metavar="[PLATE/]NAME=DIR", help="ground-truth round and its folder"
    ),
    layout: list[str] = typer.Option(
        [], "--layout", metavar="[PLATE=]FILE", help="plate layout (.xlsx, .csv)"
    ),
    plate: list[str] = typer.Option(
        [],
        "--plate",
        metavar="NAME CP GT LAYOUT",
        help="a whole plate; GT is DIR or NAME=DIR; repeat for more plates",
    ),
    output: Path = typer.Option(Path("project.toml"), "--output", help="project file to write"),
    name: str = typer.Option("my-plate", "--name", help="name of the project"),
    pattern: str = typer.Option("auto", "--pattern", help="regular expression for the file names"),
    projection: str = typer.Option(
        None, "--projection", help="focal planes (Z): max, mean, best_focus or a plane's number"
    ),
    time: int = typer.Option(None, "--time", help="which time point to use, counted from 1"),
    recursive: bool = typer.Option(False, "--recursive", help="also look for images in subfolders"),
) -> None:
    """Start a project: look into folders of images and write a project file."""
    from nucprof.project.init import rename_settings, write_project
    from nucprof.project.plates import collect_plates, whole_plates

    started = write_project(
        output,
        collect_plates(cp, gt, layout, whole_plates(plate, places or [])),
        name=name,
        settings=rename_settings(
            pattern=pattern, projection=projection, time=time, recursive=recursive
        ),
        ask=_ask_pattern if can_ask() else None,
    )
    for line in started.lines:
        say(line)
    say(f"Wrote {output}; check the channels in it.")
    for command in started.commands:
        say(f"Next: {command}")


def _ask_pattern(lines: list[str]) -> str:
    say("\n".join(lines))
    try:
        return input("Press Enter to accept this, or type another pattern: ").strip()
    except EOFError:  # Ctrl-D
        raise typer.Abort from None


def demo(
    folder: Path = typer.Argument(Path("demo-plate"), help="new folder for the plate"),
    run: bool = typer.Option(False, "--run", help="also process it, from images to classes"),
    seed: int = typer.Option(0, "--seed", min=0, help="seed of the plate"),
) -> int:
    """Write a small synthetic co-culture plate; with --run, process it."""
    from nucprof.demo.plate import write_demo

    plate = write_demo(folder, seed=seed)
    say(f"Wrote the demo plate: {plate.project} ({len(plate.shifts)} fields, two rounds)")
    if not run:
        say(f"Next: nucprof run-all {plate.project}")
        return 0
    from nucprof.cli.console import ConsoleReporter, configure_logging
    from nucprof.cli.running import say_results
    from nucprof.config import load_project
    from nucprof.io.results import Results
    from nucprof.project.demo import run_demo

    configure_logging(verbose=False)
    project = load_project(plate.project)
    reporter = ConsoleReporter(logs=project.project.output / "logs")
    try:
        found = run_demo(plate, project, reporter)
        if found is not None:
            reporter.say("Compared with the truth of the demo plate:")
            for line in found:
                reporter.say(f"  {line}")
        say_results(reporter, Results(project.project.output))
    finally:
        reporter.close()
    return 1 if found is None else 0


def doctor(
    project: Path = typer.Argument(
        None, help="the project file to check as well [default: project.toml, where there is one]"
    ),
) -> int:
    """Check the machine and a project: images, layouts, disk space and time."""
    from nucprof.project.doctor import conclude, examine

    default = Path("project.toml")
    path = project or (default if default.is_file() else None)
    checks = []
    for check in examine(path):
        say(f"{check.mark:<5} {check.text}")
        checks.append(check)
    for line in conclude(checks, path):
        say(line)
    return 2 if any(check.mark == "FAIL" for check in checks) else 0


def export_results(
    project: Path = PROJECT_ARGUMENT,
    to: str = typer.Option(
        ..., "--to", metavar="FORMAT", help="csv, xlsx, h5ad, pycytominer, ome-zarr or crops"
    ),
    out: Path = typer.Option(
        None, "--out", help="file or folder to write [default: export/ in the results]"
    ),
) -> None:
    """Write results in the formats of other programs."""
    from nucprof.project.export import export

    for line in export(project, to, out):
        say(line)


def relink(
    project: Path = PROJECT_ARGUMENT,
    cp: list[str] = typer.Option(
        [], "--cp", metavar="[PLATE=]DIR", help="where the Cell Painting images are now"
    ),
    gt: list[str] = typer.Option(
        [], "--gt", metavar="[PLATE/]NAME=DIR", help="where the images of a round are now"
    ),
) -> None:
    """Find the images again after they were moved: same names, same content."""
    from nucprof.project.relink import relink as relink_images

    for line in relink_images(project, cp, gt):
        say(line)
    say(f"Wrote {project}. Next: nucprof status {project}")
