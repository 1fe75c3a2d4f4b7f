"""``nucprof models``: list, download and add weights."""

from __future__ import annotations

from pathlib import Path

import typer

from nucprof.cli.call import say

_NAME = typer.Argument(..., help="name of the model; see 'nucprof models list'")
_FOLDER = typer.Option(
    None,
    "--models-dir",
    help="folder of models, e.g. on a shared disk; default NUCPROF_MODELS_DIR, else your data "
    "folder",
)
_FORCE = typer.Option(False, "--force", help="replace a model of that name")


def add_to(app: typer.Typer) -> None:
    """Register ``models`` and its commands."""
    models = typer.Typer(help="List, fetch and add segmentation models.", no_args_is_help=True)
    models.command("list")(list_models)
    models.command()(fetch)
    models.command()(add)
    models.command()(path)
    app.add_typer(models, name="models")


def list_models(models_dir: Path | None = _FOLDER) -> None:
    """List the models that nucprof knows by name and those that were added."""
    from nucprof.segmentation import weights

    entries = weights.list_models(models_dir)
    rows = [("model", "backend", "where", "about")]
    for entry in entries:
        where = "bundled" if entry.bundled else str(entry.path) if entry.path else "not fetched"
        rows.append((entry.name, entry.backend, where, entry.about))
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    for row in rows:
        say("  ".join([*(row[k].ljust(widths[k]) for k in range(3)), row[3]]))
    say(f"Models folder: {weights.models_folder(models_dir)}")


def fetch(name: str = _NAME, models_dir: Path | None = _FOLDER, force: bool = _FORCE) -> None:
    """Download a model (the only command that uses the internet)."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    from nucprof.segmentation import weights

    known = weights.KNOWN.get(name)
    # Standard output is for the result; the bar draws nothing outside a terminal.
    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=None)
        found = weights.fetch(
            name,
            models_dir,
            force=force,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    say(f"{name}: {found}")
    checked = known is not None and (known.sha256 is not None or known.url is None)
    note = "" if checked else " (no published one to compare with)"
    say(f"SHA-256 of what is used: {weights.model_hash(found)}{note}")


def add(
    name: str = typer.Argument(..., help="name to give to the model"),
    source: Path = typer.Argument(
        ..., metavar="PATH", help="StarDist folder or its .zip, or one cellpose file"
    ),
    models_dir: Path | None = _FOLDER,
    force: bool = _FORCE,
) -> None:
    """Copy existing weights into the models folder."""
    from nucprof.segmentation import weights

    placed = weights.add(name, source, models_dir, force=force)
    say(f"{name}: {placed}")


def path(name: str = _NAME, models_dir: Path | None = _FOLDER) -> None:
    """Print the path of a model."""
    from nucprof.segmentation import weights

    say(str(weights.resolve_model(name, models_dir)))
