"""A seeded plate and its stages, run by the real pipeline: seconds per field and peak memory.

Masks are given (the labels backend); every field is written twice, as Cell Painting with four
channels and as a ground-truth round with three, moved by a known shift.
"""

from __future__ import annotations

import multiprocessing
import re
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from benchmarks.field import make_field

from nucprof.config import load_project
from nucprof.io.images import write_image, write_labels
from nucprof.run.pipeline import Options, Run
from nucprof.stages import stage

STAGES = ("rename", "segment", "align", "crop", "features")
CHANNELS = ("DAPI", "FITC", "Cy3", "Cy5")
ROUND = ("DAPI", "EdU", "BrdU")
WELLS = 384
PROJECT = """\
[project]
name = "benchmark"
[[plates]]
name = "p"
cell_painting = "CP"
[plates.ground_truth]
GT = "GT"
[channels]
cell_painting = ["DAPI", "FITC", "Cy3", "Cy5"]
nuclei = "DAPI"
[channels.ground_truth]
GT = ["DAPI", "EdU", "BrdU"]
[segment]
backend = "labels"
path = "masks"
[features]
patch_size = {patch}
[crop]
patch_size = {patch}
"""


class Cost(NamedTuple):
    """What something took: processor and wall seconds, and peak memory of the process (MiB)."""

    processor: float
    wall: float
    peak: float


def write_plate(folder: Path, fields: int, size: int = 2048, cells: int = 700) -> Path:
    """Write the plate and its project file; every field is the same scene, moved on its own."""
    made = make_field(size, cells, len(CHANNELS))
    for number in range(fields):
        row, column = divmod(number % WELLS, 24)
        name = f"{chr(ord('A') + row)}-{column + 1:02d}-{number // WELLS + 1:02d}.tif"
        shift = (number % 7 - 3, 2 * (number % 5) - 4)
        moved = np.roll(made.image[: len(ROUND)], shift, axis=(1, 2))
        write_image(folder / "CP" / name, made.image, CHANNELS)
        write_image(folder / "GT" / name, moved, ROUND)
        write_labels(folder / "masks" / name, made.labels)
    project = folder / "project.toml"
    project.write_text(PROJECT.format(patch=min(60, size // 2)), encoding="utf-8")
    return project


def run_stages(project: Path, names: tuple[str, ...] = STAGES, workers: int = 1) -> list[Cost]:
    """Run stages one after the other, whatever is up to date; what each took, all fields."""
    run = Run(load_project(project, {"execution": {"workers": workers}}), Options(force=True))
    found = []
    for name in names:
        began = processor_seconds(), time.perf_counter()
        result = run.run_stage(stage(name))
        if result.status != "done":
            raise SystemExit(f"{name}: {result.status}: {[e.message for e in result.failed][:1]}")
        found.append(cost_since(*began))
    return found


def repeated(project: Path, name: str, repeats: int) -> Cost:
    """Median cost of one stage, its first run (which loads and compiles kernels) not counted."""
    rows = [run_stages(project, (name,))[0] for _ in range(repeats + 1)][1:]
    return Cost(*(statistics.median(values) for values in zip(*rows, strict=True)))


def in_a_process_of_its_own(function: Callable[..., Any], *args: object) -> Any:
    """Call a function of a module in a new process, so that its peak memory is its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(function, *args).result()


def processor_seconds() -> float:
    """Processor time of this process and of the children it has waited for."""
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def cost_since(processor: float, wall: float) -> Cost:
    """What was taken since two readings; the peak is that of the process so far."""
    return Cost(processor_seconds() - processor, time.perf_counter() - wall, peak_memory())


def peak_memory() -> float:
    """Most memory that this process has held, MiB."""
    status = Path("/proc/self/status")
    if status.is_file():  # on Linux, getrusage counts what the parent held at the start
        held = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if held:
            return int(held[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
