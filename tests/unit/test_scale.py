"""Nuclear diameters from images of disks of known size, and the factor chosen from them."""

import numpy as np
import pytest
from scipy import ndimage as ndi

from nucprof.core.scale import (
    FieldSize,
    agree,
    choose_scale,
    diameters_of_labels,
    estimate_nuclear_diameter,
    typical_diameter,
)
from nucprof.errors import DataError


def disks(diameter, *, gap=1.6, noise=0.03, seed=0, per_side=5):
    """Disks on a jittered lattice, blurred, with noise and uneven brightness."""
    rng = np.random.default_rng(seed)
    step = gap * diameter
    side = int(per_side * step) + 2
    yy, xx = np.mgrid[:side, :side]
    image = np.zeros((side, side))
    for i in range(per_side):
        for j in range(per_side):
            cy, cx = (np.array([i, j]) + 0.5) * step + rng.uniform(-0.05, 0.05, 2) * step
            inside = (yy - cy) ** 2 + (xx - cx) ** 2 < (diameter / 2) ** 2
            image[inside] = rng.uniform(0.5, 1.0)
    image = ndi.gaussian_filter(image, 0.03 * diameter) + 0.1
    return image + rng.normal(0, noise, image.shape)


@pytest.mark.parametrize("diameter", [6, 10, 16, 25, 40, 70, 100])
def test_diameter_of_separate_disks(diameter):
    assert estimate_nuclear_diameter(disks(diameter)) == pytest.approx(diameter, rel=0.2)


def test_diameter_of_touching_disks_is_not_that_of_the_clump():
    image = disks(24, gap=0.98, noise=0.01)
    assert estimate_nuclear_diameter(image) == pytest.approx(24, rel=0.25)


def test_specks_do_not_outvote_nuclei():
    image = disks(30)
    rng = np.random.default_rng(3)
    rows, cols = rng.integers(1, image.shape[0] - 1, (2, 150))
    for dy in (0, 1):
        image[rows + dy, cols] = 1.0
    assert estimate_nuclear_diameter(image) == pytest.approx(30, rel=0.25)


def test_a_glow_is_removed_on_request():
    image = disks(12, per_side=20, noise=0.01)
    yy, xx = np.mgrid[: image.shape[0], : image.shape[1]]
    middle = image.shape[0] / 2
    glow = 8 * np.exp(-((yy - middle) ** 2 + (xx - middle) ** 2) / (2 * 60**2))
    assert not 9 < estimate_nuclear_diameter(image + glow) < 16
    assert estimate_nuclear_diameter(image + glow, background_px=15) == pytest.approx(12, rel=0.3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_depends_neither_on_dtype_nor_on_gain_nor_on_orientation(dtype):
    image = np.clip(disks(20) * 150, 0, 255).astype(dtype)
    reference = estimate_nuclear_diameter(image)
    assert reference == pytest.approx(20, rel=0.2)
    assert estimate_nuclear_diameter(image[:, ::-1]) == pytest.approx(reference, rel=0.02)
    assert estimate_nuclear_diameter(image.astype(np.float32) * 7) == pytest.approx(reference)


@pytest.mark.parametrize("image", [np.zeros((40, 50)), np.full((9, 9), 5, np.uint8)])
def test_nothing_to_measure_is_nan(image):
    assert np.isnan(estimate_nuclear_diameter(image))


def test_diameters_of_labels_leaves_out_the_border_and_bears_gaps():
    labels = np.zeros((40, 60), np.uint16)
    labels[10:20, 10:20] = 7  # 100 px
    labels[25:30, 30:50] = 500  # 100 px
    labels[0:5, 40:45] = 3  # touches the border
    labels[22:24, 2:4] = 9  # 4 px
    expected = np.sqrt(np.array([100, 4, 100]) * 4 / np.pi)  # labels 7, 9, 500
    np.testing.assert_allclose(diameters_of_labels(labels), expected)
    assert diameters_of_labels(np.zeros((0, 5), int)).size == 0


def test_typical_diameter_reaches_half_of_the_sum_without_specks():
    assert typical_diameter([1, 1, 1, 1, 20, 22, 30, np.nan]) == 22
    assert typical_diameter([5] * 10 + [30] * 9) == 30
    assert np.isnan(typical_diameter([]))
    assert np.isnan(typical_diameter([np.nan, 1.0]))


def test_choose_scale_brings_the_plate_to_the_canonical_size():
    assert choose_scale([14.0, 13.5, 14.5], 28) == 2.0
    assert choose_scale([100, 104, 96], 28) == 0.28
    assert choose_scale(iter([14.0]), 28) == 2.0


def test_sizes_that_the_network_knows_are_left_alone():
    assert choose_scale([24.0], 28) == 1.0
    assert choose_scale([33.0], 28) == 1.0
    assert choose_scale([18.0], 28) != 1.0


def test_one_odd_field_does_not_move_the_plate():
    assert choose_scale([28, 29, 27, 28, 200], 28) == 1.0
    assert choose_scale([14, 14, np.nan, 14, 260], 28) == 2.0


def test_nothing_measured_is_scale_1():
    assert choose_scale([np.nan, np.nan], 28) == 1.0
    assert choose_scale([], 28) == 1.0


def test_scale_stays_within_limits():
    assert choose_scale([4.0], 1000) == 6.0
    assert choose_scale([4000.0], 10) == 0.1


def test_canonical_diameter_must_be_positive():
    with pytest.raises(DataError, match="canonical"):
        choose_scale([10], 0)


def sizes(*pairs):
    return [FieldSize(diameter, nuclei) for diameter, nuclei in pairs]


@pytest.mark.parametrize(
    ("fields", "diameter", "measured", "agreeing"),
    [
        (sizes((20, 30), (22, 30), (21, 30)), 21, 3, 3),
        (sizes((np.nan, 0), (np.nan, 0), (24, 40)), 24, 1, 1),  # empty fields do not vote
        (sizes((60, 1)), 60, 1, 1),
        (sizes((8, 2), (25, 40), (26, 50)), 25, 3, 2),  # a field of debris is outvoted
    ],
)
def test_fields_that_agree(fields, diameter, measured, agreeing):
    found = agree(fields)
    assert found.diameter_px == diameter
    assert (found.measured, found.agreeing) == (measured, agreeing)


@pytest.mark.parametrize(
    ("fields", "measured"),
    [([], 0), (sizes((np.nan, 0)), 0), (sizes((8, 5), (20, 5), (50, 5), (130, 5)), 4)],
)
def test_no_common_diameter(fields, measured):
    found = agree(fields)
    assert np.isnan(found.diameter_px)
    assert found.measured == measured
