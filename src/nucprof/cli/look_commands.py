"""Commands to look at cells: review, view."""

from __future__ import annotations

from pathlib import Path

import typer

from nucprof.cli.call import PROJECT_ARGUMENT, say


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(review)
    app.command()(view)


def review(
    project: Path = PROJECT_ARGUMENT,
    queue: str = typer.Option(
        "uncertain",
        "--queue",
        metavar="QUEUE",
        help="uncertain, disagree (forest against network, or class against classifiers), random, "
        "class:NAME, or a cell (B-02-01_0001)",
    ),
    n: int = typer.Option(200, "--n", help="cells on the page"),
    who: str = typer.Option("", "--who", help="your name; your answered cells are left out"),
    output: Path = typer.Option(
        None, "--output", help="the page [default: review/QUEUE.html in the results]"
    ),
) -> None:
    """Write a page on which to check and correct the classes of single cells."""
    from nucprof.project.reader import open_project
    from nucprof.project.review import write_review

    opened = open_project(project)
    for line in write_review(opened, project, queue=queue, count=n, who=who, output=output):
        say(line)


def view(
    project: Path = PROJECT_ARGUMENT,
    field: str = typer.Argument(..., metavar="FIELD", help="the field, e.g. B-02-01"),
    plate: str = typer.Option(None, "--plate", help="its plate, if several have such a field"),
    cell: int = typer.Option(None, "--cell", help="label of a cell to look at, e.g. 12"),
) -> None:
    """Open a field in napari: all rounds, masks, classes, attention and registration."""
    from nucprof.project.reader import open_project
    from nucprof.project.view import field_view, show

    show(field_view(open_project(project), field, plate, cell))
