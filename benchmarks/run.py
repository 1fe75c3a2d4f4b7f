"""Everything about speed in one run: ``python -m benchmarks.run``.

Times every stage on a seeded field of 2048 x 2048 pixels in 4 channels (processor seconds, wall
seconds, peak memory), the references, a plate of such fields with one and two workers, the memory
of the main process, and what a command costs where nothing is to be done. Writes the tables into
``benchmarks/README.md``, between its two marks. About half an hour; ``--quick`` shows in three
minutes that it runs, and writes nothing.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import features, registration
from benchmarks.field import Field, make_field
from benchmarks.plate import (
    CHANNELS,
    STAGES,
    Cost,
    in_a_process_of_its_own,
    processor_seconds,
    repeated,
    run_stages,
    write_plate,
)

from nucprof.core.crops import extract_crops
from nucprof.core.labels import ObjectIndex
from nucprof.io.stacks import write_stack

README = Path(__file__).with_name("README.md")
MARKS = ("<!-- written by python -m benchmarks.run -->\n", "<!-- end -->")


def table(header: list[str], rows: list[list[object]]) -> str:
    """Markdown table, all columns but the first to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def seconds(cost: Cost, fields: int = 1) -> str:
    """Processor and wall seconds per field."""
    return f"{cost.processor / fields:.2f} ({cost.wall / fields:.2f})"


def stages_by_cells(size: int, counts: list[int], repeats: int) -> str:
    """One field at a time: what each stage takes with few cells and with many."""
    found: dict[str, list[Cost]] = {name: [] for name in STAGES}
    for cells in counts:
        with tempfile.TemporaryDirectory() as folder:
            project = write_plate(Path(folder), 1, size, cells)
            for name in STAGES:
                cost = in_a_process_of_its_own(repeated, project, name, repeats)
                found[name].append(cost)
                print(f"{cells} cells, {name}: {seconds(cost)}", flush=True)
    rows = [[name, *map(seconds, costs), f"{costs[-1].peak:.0f}"] for name, costs in found.items()]
    totals = [
        Cost(*map(sum, zip(*costs, strict=True))) for costs in zip(*found.values(), strict=True)
    ]
    rows.append(["all", *map(seconds, totals), ""])
    return table(["", *(f"{n} cells" for n in counts), "peak MiB"], rows)


def kernels(size: int, cells: int, repeats: int) -> str:
    """Our kernels, without files, beside what others need for the same field."""
    field = make_field(size, cells)
    costs = []
    for number, (name, what, _) in enumerate(features.methods()):
        few = repeats if name == "nucprof" else min(repeats, 3)
        costs.append(in_a_process_of_its_own(features.median_cost, number, field, few))
        print(f"{name}, {what}: {costs[-1].processor:.3f} s", flush=True)
    own = {what: costs[n].processor for n, what in enumerate((features.BOTH, features.NUCLEI))}
    rows: list[list[object]] = []
    for (name, what, _), cost in zip(features.methods(), costs, strict=True):
        ratio = f"{cost.processor / own[what]:.1f}"
        rows.append(
            [f"features of {what}: {name}", f"{cost.processor:.3f}", ratio, round(cost.peak)]
        )
    for step, processor, ratio in registration.steps(size):
        print(f"{step}: {processor:.3f} s", flush=True)
        rows.append([step, f"{processor:.3f}", f"{ratio:.1f}", ""])
    with tempfile.TemporaryDirectory() as folder:
        times = [cut_and_write(field, Path(folder)) for _ in range(repeats + 1)][1:]
    rows.append(
        [f"{cells} crops of 60 px cut and written", f"{statistics.median(times):.3f}", "", ""]
    )
    return table(["", "processor s", "ratio", "peak MiB"], rows)


def cut_and_write(field: Field, folder: Path) -> float:
    """Processor seconds of the crops of a field, to the file."""
    began = processor_seconds()
    cells = ObjectIndex.of(field.labels)
    cut, _ = extract_crops(field.image, field.labels, cells.ids, cells.centroids, 60, masked=False)
    write_stack(folder / "stack.tif", cut, CHANNELS)
    return processor_seconds() - began


def whole_plate(size: int, cells: int, counts: list[int]) -> str:
    """Plates of more and more fields, with one worker and with two."""
    rows: list[list[object]] = []
    for fields in counts:
        with tempfile.TemporaryDirectory() as folder:
            project = write_plate(Path(folder), fields, size, cells)
            for workers in (1, 2) if fields > 1 else (1,):
                costs = in_a_process_of_its_own(run_stages, project, STAGES, workers)
                whole = Cost(*map(sum, zip(*costs, strict=True)))
                each = [f"{cost.wall / fields:.2f}" for cost in costs]
                rows.append([fields, workers, *each, seconds(whole, fields)])
                print(f"{fields} fields, {workers} workers: {rows[-1][-1]}", flush=True)
    return table(["fields", "workers", *STAGES, "all: processor (wall)"], rows)


def main_process(counts: list[int]) -> str:
    """Peak memory of the process that only hands out work, over small fields."""
    peaks = []
    for fields in counts:
        with tempfile.TemporaryDirectory() as folder:
            project = write_plate(Path(folder), fields, 256, 25)
            costs = in_a_process_of_its_own(run_stages, project, STAGES, 2)
        peaks.append(round(costs[-1].peak))
        print(f"{fields} small fields: main process {peaks[-1]} MiB", flush=True)
    return table(["fields", *map(str, counts)], [["peak MiB of the main process", *peaks]])


def nothing_to_do(fields: int) -> str:
    """What a command costs on a large plate that is up to date, start of Python included."""
    with tempfile.TemporaryDirectory() as folder:
        project = write_plate(Path(folder), fields, 96, 4)
        in_a_process_of_its_own(run_stages, project, STAGES, 2)
        rows = []
        for command in (["status"], ["run-all", "--until", "features"]):
            call = [sys.executable, "-m", "nucprof", command[0], str(project), *command[1:]]
            times = []
            for _ in range(5):
                began = time.perf_counter()
                subprocess.run(call, check=True, capture_output=True)
                times.append(time.perf_counter() - began)
            rows.append([f"nucprof {command[0]}", f"{statistics.median(times):.2f}"])
    return table([f"{fields} fields, all up to date", "wall s"], rows)


def report(quick: bool) -> Iterator[str]:
    """Write the sections one after the other."""
    size, cells, repeats = (512, 40, 1) if quick else (2048, 700, 5)
    counts = [10, 40] if quick else [200, 700, 2000]
    yield (
        f"Fields of {size} x {size} pixels, 4 channels, and a ground-truth round of 3; median of "
        f"{repeats}. Seconds are processor seconds, wall seconds in brackets.\n"
    )
    yield (
        "One field, one core, by cells in it; every stage as a user runs it, its reading, hashing, "
        "writing and tables included (`segment` here reads, checks and draws given masks):\n"
    )
    yield stages_by_cells(size, counts, repeats)
    yield (
        f"The kernels alone, {cells} cells, beside the references; `ratio` is to ours, for the "
        "steps of the registration to the three transforms:\n"
    )
    yield kernels(size, cells, repeats)
    yield f"Plates of such fields ({cells} cells), wall seconds per field:\n"
    yield whole_plate(size, cells, [1, 2] if quick else [1, 8, 64])
    yield "The main process, two workers, fields of 256 x 256 pixels with 25 cells:\n"
    yield main_process([2, 8] if quick else [8, 64, 512])
    yield "Nothing to do, fields of 96 x 96 pixels, start of Python included:\n"
    yield nothing_to_do(20 if quick else 5000)


def main() -> None:
    """Measure, print, and write into the README."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small figures, nothing written")
    quick = parser.parse_args().quick
    text = "\n".join(report(quick))
    print("\n" + text)
    if not quick:
        before, rest = README.read_text(encoding="utf-8").split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        README.write_text(f"{before}{MARKS[0]}{text}{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
