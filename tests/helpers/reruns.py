"""Running a plate again, and comparing its results byte for byte."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from plates import ARRANGEMENTS

#: What names a time: the tables of trainings, and models with their seconds in them.
TIMED = ("history.csv", "metrics.json", "model.json", "rounds.csv", "model.skops", "report.html")

#: ``nucprof`` with as few arrangements of labels as the plate was made with (plates.py).
NUCPROF = f"""
from nucprof.learn.forest import chance
chance.ARRANGEMENTS = {ARRANGEMENTS}
from nucprof.cli import main
main()
"""


def threads_of_blas(_: int) -> list[int]:
    from threadpoolctl import threadpool_info

    np.ones((8, 8)) @ np.ones((8, 8))
    return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]


def run_all(project: Path, *words: str) -> list[str]:
    """The command that runs a plate as :func:`plates.make_processed` did."""
    return [sys.executable, "-c", NUCPROF, "run-all", str(project), *words]


def run_again(processed: Path, folder: Path, *words: str, workers: int = 2) -> Path:
    """Run on the same raw images with another number of workers."""
    shutil.copytree(processed.parent, folder, ignore=shutil.ignore_patterns("results"))
    environment = {**os.environ, "OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(
        run_all(folder / "project.toml", *words, "--workers", str(workers)),
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return folder / "results"


def differing(one: Path, other: Path) -> set[str]:
    """Files of `other` whose bytes are not those of the file in `one`; without states and times."""
    found = set()
    for path in (p for p in other.rglob("*") if p.is_file() and p.parent != other / "logs"):
        name = path.relative_to(other).as_posix()
        if name.startswith(("journal/", ".")) or path.name in TIMED:
            continue
        if name in ("manifest.json", "images.csv", "project.json") or "/pattern/" in name:
            continue  # paths, and times of files
        if not (one / name).is_file() or path.read_bytes() != (one / name).read_bytes():
            found.add(name)
    return found
