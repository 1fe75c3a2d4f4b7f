"""Seconds to cut and write the crops of one 2048 x 2048 x 4 field with 700 cells.

``python -m benchmarks.crops`` prints the median of five, processor and wall seconds.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.field import make_field

from nucprof.core.crops import extract_crops
from nucprof.core.labels import ObjectIndex
from nucprof.io.stacks import write_stack

CHANNELS = ("DAPI", "FITC", "Cy3", "Cy5")


def main() -> None:
    """Measure and print."""
    field = make_field()
    cells = ObjectIndex.of(field.labels)
    processor, wall = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(5):
            began = time.process_time(), time.perf_counter()
            crops, _padded = extract_crops(
                field.image, field.labels, cells.ids, cells.centroids, 60, masked=False
            )
            write_stack(Path(folder) / "stack.tif", crops, CHANNELS)
            processor.append(time.process_time() - began[0])
            wall.append(time.perf_counter() - began[1])
    print(f"{len(crops)} crops: processor {statistics.median(processor):.3f} s, "
          f"wall {statistics.median(wall):.3f} s")  # fmt: skip


if __name__ == "__main__":
    main()
