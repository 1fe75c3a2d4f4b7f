"""Seconds per field and stage on a plate of large fields; segmentation and training aside.

``python -m benchmarks.plate --fields 8`` writes a seeded plate (two rounds; masks are given, by
the labels backend), runs the stages through the real pipeline, and prints a table: processor
seconds and wall seconds per field, and the main process's peak memory.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from benchmarks.field import make_field

from nucprof.config import load_project
from nucprof.io.images import write_image, write_labels
from nucprof.run.pipeline import Run
from nucprof.stages import stage

STAGES = ("rename", "segment", "align", "crop", "features")
CHANNELS = ("DAPI", "FITC", "Cy3", "Cy5")
ROUND = ("DAPI", "EdU", "BrdU")
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
"""


def write_plate(folder: Path, fields: int, size: int, cells: int) -> Path:
    """Write the plate; every field is the same scene, moved by its own known shift."""
    made = make_field(size, cells, len(CHANNELS))
    for number in range(fields):
        name = f"{chr(ord('A') + number // 24)}-{number % 24 + 1:02d}-01.tif"
        shift = (number % 7 - 3, 2 * (number % 5) - 4)
        moved = np.roll(made.image[: len(ROUND)], shift, axis=(1, 2))
        write_image(folder / "CP" / name, made.image, CHANNELS)
        write_image(folder / "GT" / name, moved, ROUND)
        write_labels(folder / "masks" / name, made.labels)
    project = folder / "project.toml"
    project.write_text(PROJECT, encoding="utf-8")
    return project


def processor_seconds() -> float:
    """Processor time of this process and of the children it has waited for."""
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def measure(project: Path, workers: int) -> dict[str, tuple[float, float]]:
    """Processor and wall seconds of every stage, all fields together."""
    run = Run(load_project(project, {"execution": {"workers": workers}}))
    shutil.rmtree(run.results.root, ignore_errors=True)
    run = Run(run.project)
    found = {}
    for name in STAGES:
        processor, wall = processor_seconds(), time.perf_counter()
        result = run.run_stage(stage(name))
        if result.status != "done":
            raise SystemExit(f"{name}: {result.status}: {[e.message for e in result.failed][:1]}")
        found[name] = processor_seconds() - processor, time.perf_counter() - wall
    return found


def main() -> None:
    """Write plates, run them, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--cells", type=int, default=700)
    arguments = parser.parse_args()
    shape = f"{arguments.size} x {arguments.size} x {len(CHANNELS)}"
    print(f"{shape}, {arguments.cells} cells a field; seconds per field: processor (wall)\n")
    print(f"| fields | workers | {' | '.join(STAGES)} | all | main process, peak MB |")
    print(f"|{' ---: |' * (len(STAGES) + 4)}")
    for fields in arguments.fields:
        with tempfile.TemporaryDirectory() as folder:
            project = write_plate(Path(folder), fields, arguments.size, arguments.cells)
            for workers in arguments.workers:
                found = measure(project, workers)
                cells = [f"{p / fields:.2f} ({w / fields:.2f})" for p, w in found.values()]
                total = sum(p for p, _ in found.values()), sum(w for _, w in found.values())
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                cells.append(f"{total[0] / fields:.2f} ({total[1] / fields:.2f})")
                row = [fields, workers, *cells, round(peak)]
                print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    main()
