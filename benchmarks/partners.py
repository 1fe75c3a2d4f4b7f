"""Wrong partners that the registration accepts: ``python -m benchmarks.partners PROJECT...``.

Every Cell Painting field of an aligned project is registered with the rounds of all other wells of
its plate, as if files were swapped, and with its own. The other wells in the null distribution do
not include the wrong partner. Pairs that share cells are counted apart: where a plate was composed
of the images of another (as the co-culture of BBBC013), the same pixels occur in several wells.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from nucprof.alignment.pattern_file import read_pattern
from nucprof.config import load_project
from nucprof.core.labels import typical_radius
from nucprof.core.pattern import Pattern, reduced, same_scene, signature
from nucprof.core.registration import Registration, estimate_shift, register
from nucprof.core.verdict import doubt, refusal
from nucprof.io.images import read_channels, read_labels
from nucprof.run.state import RunState
from nucprof.stages.align import AlignJob, RoundJob, plan

#: Pixels of a run that two images have in common only where they show the same cells, and runs.
_RUN, _COINCIDENCES = 48, 5

Field = tuple[str, NDArray, NDArray, float | None, Pattern | None]


def fields_of(jobs: list[AlignJob], number: int) -> list[Field]:
    """Name, Cell Painting, round, nuclear radius and pattern of every field of a plate."""
    found = []
    for job in jobs:
        r: RoundJob = job.rounds[number]
        painted = read_channels([job.painted[c] for c in job.fixed]).max(axis=0)
        imaged = read_channels([r.sources[c] for c in r.channels.register]).max(axis=0)
        known = read_pattern(r.pattern, job.field) if r.pattern else None
        found.append((job.field, painted, imaged, typical_radius(read_labels(job.masks[0])), known))
    return found


def segments(image: NDArray, step: int = 1) -> set[int]:
    """Hashes of the runs of pixels along the rows of an image that are not all background."""
    found = set()
    for row in image[:: 8 if step > 1 else 1]:
        runs = sliding_window_view(row, _RUN)[::step]
        found |= {hash(run.tobytes()) for run in runs[np.ptp(runs, axis=1) > np.ptp(image) / 8]}
    return found


def sharing(fields: list[Field]) -> set[tuple[str, str]]:
    """Pairs of fields whose Cell Painting images have pixels in common."""
    whole = {field[0]: segments(field[1]) for field in fields}
    some = {field[0]: segments(field[1], _RUN // 2) for field in fields}
    pairs = itertools.permutations(whole, 2)
    found = {(a, b) for a, b in pairs if len(some[a] & whole[b]) > _COINCIDENCES}
    return found | {(b, a) for a, b in found}


def without(known: Pattern | None, image: NDArray, shape: tuple[int, ...]) -> Pattern | None:
    """A pattern without the round in this image."""
    plane = reduced(image, shape)
    if known is None or plane is None:
        return known
    own = signature(plane)
    kept = [k for k, other in enumerate(known.rounds) if not same_scene(signature(other), own)]
    scenes, rounds = ([of[k] for k in kept] for of in (known.scenes, known.rounds))
    return replace(known, scenes=tuple(scenes), rounds=tuple(rounds))


def pairs(fields: list[Field]) -> Iterator[tuple[str, float | None, Registration, Registration]]:
    """The kind of a pair, the radius, its shift alone, and all of the registration."""
    shared = sharing(fields)
    for name, painted, _, radius, known in fields:
        for other, _, imaged, _, _ in fields:
            if name != other and name.rsplit("-", 1)[0] == other.rsplit("-", 1)[0]:
                continue  # sites of one well may overlap
            told = without(known, imaged, painted.shape) if name != other else known
            kind = "true" if name == other else "shared" if (name, other) in shared else "wrong"
            found = register(painted, imaged, radius_px=radius, pattern=told)
            yield kind, radius, estimate_shift(painted, imaged), found


def measure(project: Path) -> str:
    """A row of the table."""
    run = RunState(load_project(project))
    jobs = list(plan(run).jobs)
    counts = {kind: np.zeros(4, dtype=int) for kind in ("wrong", "shared", "true")}
    for plate in sorted({job.plate for job in jobs}):
        held = [job for job in jobs if job.plate == plate]
        for number in range(len(held[0].rounds)):
            for kind, radius, alone, found in pairs(fields_of(held, number)):
                stands = not refusal(found, "auto", radius)
                sure = stands and not doubt(found, "auto")
                counts[kind] += (1, alone.significant, stands, sure)
    both = (f"{counts[kind][2]} of {counts[kind][0]}" for kind in ("shared", "true"))
    return " | ".join([*map(str, counts["wrong"]), *both])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("projects", type=Path, nargs="+")
    print(
        "| project | wrong pairs | better than chance, by the shift alone | accepted |"
        " of them sure | accepted of those that share cells | accepted of the true pairs |\n"
        "|---|---:|---:|---:|---:|---:|---:|"
    )
    for project in parser.parse_args().projects:
        print(f"| {project.parent.name} | {measure(project)} |", flush=True)


if __name__ == "__main__":
    main()
