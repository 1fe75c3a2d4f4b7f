"""The features of one field: ours, scikit-image, and cp_measure and Nyxus where installed."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from benchmarks.field import Field, make_field
from benchmarks.plate import Cost, cost_since, processor_seconds
from skimage.feature import graycomatrix, graycoprops
from skimage.measure import regionprops_table

from nucprof.core.features import measure_objects, measure_patches

PATCH_SIZE = 60
BOTH, NUCLEI = "nuclei and patches", "nuclei"
Measure = Callable[[Field], object]
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


def methods() -> list[tuple[str, str, Measure]]:
    """What is compared, as (name, what it measures, function); others where they are installed."""
    found: list[tuple[str, str, Measure]] = [
        ("nucprof", BOTH, ours),
        ("nucprof", NUCLEI, ours_nuclei),
        ("scikit-image, cell by cell", BOTH, skimage_per_cell),
    ]
    if find_spec("cp_measure"):
        found.append(("cp_measure", NUCLEI, lambda field: cp_measure(field, None)))
        found.append(("cp_measure, numba", NUCLEI, lambda field: cp_measure(field, "numba")))
    if find_spec("nyxus"):
        found.append(("Nyxus", NUCLEI, nyxus))
    return found


def median_cost(number: int, field: Field, repeats: int) -> Cost:
    """Median cost of one of the :func:`methods`; compilation, on a small field, not counted."""
    _, _, measure = methods()[number]
    costs = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the other packages' warnings are theirs
        measure(make_field(128, 4, len(field.image)))
        for _ in range(repeats):
            began = processor_seconds(), time.perf_counter()
            measure(field)
            costs.append(cost_since(*began))
    return Cost(*(statistics.median(values) for values in zip(*costs, strict=True)))
