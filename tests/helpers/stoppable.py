"""A command whose workers never finish; it prints their process numbers.

Usage: stoppable.py FOLDER
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import typer

from nucprof.cli import signals
from nucprof.cli.boundary import run_app
from nucprof.run.pool import Pool


def stay(folder: str) -> None:
    """Write this process's number, and stay."""
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)


def command(folder: str) -> None:
    """Keep two workers busy."""
    Pool(2, isolated=True).map(stay, [folder, folder])


if __name__ == "__main__":
    signals.install()
    app = typer.Typer()
    app.command()(command)
    sys.exit(run_app(app))
