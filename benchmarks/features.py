"""Time the features of one field: ours, scikit-image, and cp_measure and Nyxus where installed.

Run ``python -m benchmarks.features --help``. All in one process, in processor seconds (of all
threads together, though none of these needs more than one), median of the repeats; compilation is
not counted, as a first call on a small field comes before.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from benchmarks.field import Field, make_field
from skimage.feature import graycomatrix, graycoprops
from skimage.measure import regionprops_table

from nucprof.core.features import measure_objects, measure_patches

PATCH_SIZE = 60
SHAPE = (
    "label", "centroid", "area", "area_convex", "area_filled", "axis_major_length",
    "axis_minor_length", "eccentricity", "equivalent_diameter_area", "extent",
    "feret_diameter_max", "orientation", "perimeter", "perimeter_crofton", "solidity",
)  # fmt: skip
INTENSITY = ("intensity_mean", "intensity_max", "intensity_min", "intensity_std")
TEXTURE = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "ASM")


def ours_nuclei(field: Field) -> dict[str, np.ndarray]:
    channels = [f"c{c}" for c in range(len(field.image))]
    return measure_objects(field.image, field.labels, channels, "Nuclei")


def ours(field: Field) -> None:
    channels = [f"c{c}" for c in range(len(field.image))]
    nuclei = ours_nuclei(field)
    centroids = np.stack([nuclei["Center_Y"], nuclei["Center_X"]], axis=1)
    measure_patches(field.image, centroids, channels, patch_size=PATCH_SIZE)


def skimage_per_cell(field: Field) -> None:
    """Measure nuclei and patches with scikit-image, as a script would, crop by crop for texture."""
    image, labels = field
    table = regionprops_table(labels, np.moveaxis(image, 0, -1), properties=SHAPE + INTENSITY)
    for label, y, x in zip(table["label"], table["centroid-0"], table["centroid-1"], strict=True):
        top, left = round(y) - PATCH_SIZE // 2, round(x) - PATCH_SIZE // 2
        box = (
            slice(max(top, 0), max(top + PATCH_SIZE, 0)),
            slice(max(left, 0), max(left + PATCH_SIZE, 0)),
        )
        mask = labels[box] == label
        for plane in image:
            patch = plane[box]
            _ = patch.mean(), patch.max(), patch.min(), patch.std()
            _texture(np.floor(255.0 * patch / patch.max()).astype(np.uint8))
            nucleus = np.where(mask, patch, 0)
            _texture(np.floor(255.0 * nucleus / nucleus.max()).astype(np.uint8))


def _texture(grey: np.ndarray) -> None:
    pairs = graycomatrix(grey, [1], [0], 256)
    for prop in TEXTURE:
        graycoprops(pairs, prop)


def cp_measure(field: Field, accelerator: str | None) -> None:
    """cp_measure's comparable set on the nuclei: intensity, size and shape, Feret, texture."""
    import cp_measure
    from cp_measure.bulk import get_core_measurements

    cp_measure.set_accelerator(accelerator)
    measure = get_core_measurements()
    labels = field.labels.astype(np.int32)
    planes = [plane.astype(np.float64) / 65535 for plane in field.image]
    measure["sizeshape"](labels, planes[0])
    measure["feret"](labels, planes[0])
    for plane in planes:
        measure["intensity"](labels, plane)
        measure["texture"](labels, plane)


def nyxus(field: Field) -> None:
    """Nyxus' intensity, morphology and co-occurrence features of the nuclei, per channel."""
    from nyxus import Nyxus

    groups = ["*ALL_INTENSITY*", "*ALL_MORPHOLOGY*", "*ALL_GLCM*"]
    for c, plane in enumerate(field.image):
        # Morphology does not depend on the channel: once is enough.
        engine = Nyxus(groups if c == 0 else [groups[0], groups[2]], n_feature_calc_threads=1)
        engine.featurize(plane, field.labels)


def seconds(measure: Callable[[Field], object], field: Field, repeats: int) -> float:
    """Median processor seconds of a call."""
    measure(make_field(128, 4, len(field.image)))
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        measure(field)
        times.append(time.process_time() - begin)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2048, help="height and width, pixels")
    parser.add_argument("--cells", type=int, default=700)
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, help="file to write the table to")
    args = parser.parse_args()
    field = make_field(args.size, args.cells, args.channels)

    both, nuclei = "nuclei and patches", "nuclei"
    rows: list[tuple[str, str, Callable[[Field], object]]] = [
        ("nucprof", both, ours),
        ("nucprof", nuclei, ours_nuclei),
        ("scikit-image, cell by cell", both, skimage_per_cell),
    ]
    if find_spec("cp_measure"):
        rows.append(("cp_measure", nuclei, lambda f: cp_measure(f, None)))
        rows.append(("cp_measure, numba", nuclei, lambda f: cp_measure(f, "numba")))
    if find_spec("nyxus"):
        rows.append(("Nyxus", nuclei, nyxus))

    measured: list[float] = []
    for name, what, measure in rows:
        with warnings.catch_warnings():
            # The other packages' warnings are theirs.
            warnings.simplefilter("ignore")
            measured.append(seconds(measure, field, args.repeats))
        print(f"{name}, {what}: {measured[-1]:.3f} s", flush=True)

    lines = [
        f"One field of {args.size} x {args.size} pixels, {args.channels} channels, "
        f"{args.cells} nuclei; one core, processor seconds, median of {args.repeats}.",
        "",
        "| | what | s per field | times ours, nuclei and patches | times ours, nuclei |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for (name, what, _), time_ in zip(rows, measured, strict=True):
        ratios = " | ".join(f"{time_ / own:.1f}" for own in measured[:2])
        lines.append(f"| {name} | {what} | {time_:.3f} | {ratios} |")
    table = "\n".join(lines) + "\n"
    print("\n" + table)
    if args.output:
        args.output.write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
