"""Shape of objects (CellProfiler's AreaShape), as `skimage.measure.regionprops` defines it."""

from __future__ import annotations

import numpy as np

from nucprof.core.features.hull import measure_hulls
from nucprof.core.features.outline import measure_holes, measure_outlines
from nucprof.core.labels import FloatArray, IntArray, ObjectIndex

FEATURES = (
    "Area",
    "ConvexArea",
    "FilledArea",
    "MajorAxisLength",
    "MinorAxisLength",
    "Eccentricity",
    "EquivalentDiameter",
    "Extent",
    "MaxFeretDiameter",
    "Orientation",
    "Perimeter",
    "PerimeterCrofton",
    "Solidity",
    "FormFactor",
)


def measure_shape(objects: ObjectIndex) -> FloatArray:
    """Measure the shape of all objects.

    Equals `skimage.measure.regionprops`: ``area, area_convex, area_filled, axis_major_length,
    axis_minor_length, eccentricity, equivalent_diameter_area, extent, feret_diameter_max,
    orientation, perimeter, perimeter_crofton, solidity``. ``FormFactor`` is
    4 pi Area / Perimeter^2, and 0 where the perimeter is 0 (one or two pixels). Lengths are in
    pixels, the orientation in radians (-pi/2, pi/2] between the rows' axis and the major axis;
    that of an object without a longest direction is -pi/4.

    Parameters
    ----------
    objects : ObjectIndex

    Returns
    -------
    (N, 14) float64
        In the order of `FEATURES`.
    """
    area = objects.areas.astype(np.float64)
    bottom_right, top_left = objects.boxes[:, 2:], objects.boxes[:, :2]
    area_box = np.prod(bottom_right - top_left, axis=1)
    convex, feret = measure_hulls(objects)
    perimeter, crofton = measure_outlines(objects)
    major, minor, eccentricity, orientation = _ellipses(objects)
    return np.stack(
        [
            area,
            convex,
            area + measure_holes(objects),
            major,
            minor,
            eccentricity,
            np.sqrt(4 * area / np.pi),
            area / area_box,
            feret,
            orientation,
            perimeter,
            crofton,
            area / convex,
            _ratio(4 * np.pi * area, perimeter**2),
        ],
        axis=1,
    )


def _ellipses(objects: ObjectIndex) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Axes, eccentricity and orientation of the ellipse with the object's second moments."""
    yy, xx, xy = _second_moments(objects)
    tensor = np.empty((len(objects), 2, 2))
    tensor[:, 0, 0], tensor[:, 1, 1] = xx, yy
    tensor[:, 0, 1] = tensor[:, 1, 0] = -xy
    small, large = np.clip(np.linalg.eigvalsh(tensor), 0, None).T
    eccentricity = np.sqrt(1 - _ratio(small, large))
    eccentricity[large == 0] = 0
    orientation = 0.5 * np.arctan2(2 * xy, yy - xx)
    orientation[yy == xx] = np.where(xy > 0, np.pi / 4, -np.pi / 4)[yy == xx]
    return 4 * np.sqrt(large), 4 * np.sqrt(small), eccentricity, orientation


def _second_moments(objects: ObjectIndex) -> FloatArray:
    """Variances of y and x and their covariance over the pixels, ``(3, N)``."""
    runs, owner = objects.runs, objects.runs.owner
    y = runs.row - objects.boxes[owner, 0]
    a, b = runs.start - objects.boxes[owner, 1], runs.stop - objects.boxes[owner, 1]
    length = b - a
    # Sums over a..b-1: of x is sum_x, of x^2 is below(b) - below(a).
    twice_sum_x = length * (a + b - 1)
    sums = (
        length,
        y * length,
        twice_sum_x,
        y * y * length,
        _sum_of_squares_below(b) - _sum_of_squares_below(a),
        y * twice_sum_x,
    )
    # Python's integers: exact for objects of any size, so that a symmetric object has exactly
    # equal moments and an orientation that does not depend on rounding.
    n, sy, sx2, syy, sxx, sxy2 = (runs.sum(s).astype(object) for s in sums)
    yy = (n * syy - sy * sy) / (n * n)
    xx = (4 * n * sxx - sx2 * sx2) / (4 * n * n)
    xy = (n * sxy2 - sy * sx2) / (2 * n * n)
    return np.stack([yy, xx, xy]).astype(np.float64)


def _sum_of_squares_below(n: IntArray) -> IntArray:
    """0^2 + 1^2 + ... + (n - 1)^2."""
    return (n - 1) * n * (2 * n - 1) // 6


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Quotient, 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)
