"""Outlines moved to the edge in the image: known shapes come back from displaced outlines."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi

from nucprof.core.sharpen import BAND, sharpen_outlines


def ellipse(shape, y, x, a, b, angle=0.0):
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    v = (yy - y) * np.cos(angle) + (xx - x) * np.sin(angle)
    u = (xx - x) * np.cos(angle) - (yy - y) * np.sin(angle)
    return (v / a) ** 2 + (u / b) ** 2 <= 1


def picture(truth, seed=0, level=400, background=150, noise=15):
    """The objects as a microscope shows them, uint16."""
    image = ndi.gaussian_filter(np.where(truth > 0, level, 0).astype(float), 1.0) + background
    return np.clip(np.random.default_rng(seed).normal(image, noise), 0, 65535).astype(np.uint16)


def overlap(one, two):
    return (one & two).sum() / (one | two).sum()


@pytest.mark.parametrize("radius", [5, 10, 18, 40])
@pytest.mark.parametrize(
    ("shift", "factor"), [(0.0, 0.85), (0.0, 1.15), (0.11, 1.0), (0.07, 0.92), (0.07, 1.08)]
)
def test_a_displaced_outline_returns_to_the_nucleus(radius, shift, factor):
    """Moved by a share of the radius, and of the wrong size, both within the band."""
    shape, centre = (3 * radius + 21, 3 * radius + 25), 1.5 * radius + 10.3
    axes = 1.1 * radius, 0.9 * radius
    truth = ellipse(shape, centre, centre, *axes, 0.7)
    place = centre + shift * radius
    given = ellipse(shape, place, place, factor * axes[0], factor * axes[1], 0.7)
    found = sharpen_outlines(picture(truth), given.astype(np.int32) * 7)
    assert set(np.unique(found)) == {0, 7}
    assert 1 - overlap(found == 7, truth) < 0.5 * (1 - overlap(given, truth))
    again = sharpen_outlines(picture(truth), found)
    assert overlap(again == 7, truth) > 0.88


def test_a_right_outline_stays():
    truth = ellipse((70, 70), 34, 36, 20, 15, 0.4)
    found = sharpen_outlines(picture(truth), truth.astype(np.int32))
    assert overlap(found == 1, truth) > 0.97


def test_touching_nuclei_keep_the_border_between_them():
    shape = (60, 90)
    left, right = ellipse(shape, 30, 30, 15, 15), ellipse(shape, 30, 58, 15, 15)
    truth = np.where(left, 3, np.where(right, 8, 0)).astype(np.int32)
    image = picture(truth, level=np.where(left, 600, 900))
    smaller = np.where(
        ellipse(shape, 30, 30, 14, 14), 3, np.where(ellipse(shape, 30, 58, 14, 14), 8, 0)
    ).astype(np.int32)
    found = sharpen_outlines(image, smaller)
    for label in (3, 8):
        assert overlap(found == label, truth == label) > 0.93
    assert not (found[smaller == 3] == 8).any()
    assert not (found[smaller == 8] == 3).any()


@pytest.mark.parametrize("level", [0, 6])
def test_an_object_that_does_not_stand_out_keeps_its_outline(level):
    given = ellipse((50, 50), 25, 25, 12, 10).astype(np.int32)
    image = picture(ellipse((50, 50), 28, 28, 12, 10), level=level)
    np.testing.assert_array_equal(sharpen_outlines(image, given), given)


def test_haze_keeps_its_outline_beside_nuclei():
    shape = (60, 120)
    nucleus, haze = ellipse(shape, 30, 30, 14, 12), ellipse(shape, 30, 90, 14, 12)
    image = picture(nucleus | haze, level=np.where(haze, 100, 600))
    given = np.where(np.roll(nucleus, 2, axis=1), 1, np.where(np.roll(haze, 2, axis=1), 2, 0))
    found = sharpen_outlines(image, given.astype(np.int32))
    np.testing.assert_array_equal(found == 2, given == 2)
    assert overlap(found == 1, nucleus) > overlap(given == 1, nucleus) + 0.05
    alone = sharpen_outlines(image, np.where(given == 2, 2, 0).astype(np.int32))
    assert overlap(alone == 2, haze) > overlap(given == 2, haze)


def test_a_nucleus_with_dark_nucleoli_has_no_holes_and_bright_specks_stay_outside():
    truth = ellipse((80, 80), 40, 40, 22, 20)
    image = picture(truth).astype(np.int32)
    image[36:40, 55:59] = 150  # a dark spot within the band
    image[8:12, 40:43] = 900  # a speck beyond it
    found = sharpen_outlines(image, ellipse((80, 80), 40, 40, 23, 21).astype(np.int32))
    assert overlap(found == 1, truth) > 0.95
    filled = ndi.binary_fill_holes(found)
    np.testing.assert_array_equal(filled, found > 0)
    assert not found[8:12, 40:43].any()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([np.uint8, np.uint16, np.float32, np.float64]))
def test_what_holds_for_any_labels(seed, dtype):
    rng = np.random.default_rng(seed)
    values = np.array([0, 0, 0, 1, 2, 5, 40], np.int32)
    labels = np.kron(rng.choice(values, (6, 7)), np.ones((6, 6), np.int32))
    labels = labels[: rng.integers(1, 37), : rng.integers(1, 43)]
    image = (200 * ndi.gaussian_filter(rng.random(labels.shape), 1.5)).astype(dtype)
    before = labels.copy()
    found = sharpen_outlines(image, labels)
    np.testing.assert_array_equal(labels, before)
    assert found.dtype == np.int32
    assert set(np.unique(found)) <= set(np.unique(labels)) | {0}
    for label in np.unique(labels[labels > 0]):
        own = found == label
        assert own.any()
        assert ndi.label(own)[1] == 1
        # No pixel of another object, and nothing far from the outline.
        assert not (own & (labels > 0) & (labels != label)).any()
        diameter = np.sqrt(4 / np.pi * (labels == label).sum())
        far = ndi.distance_transform_edt(labels != label)
        assert far[own].max() <= max(2.0, BAND * diameter) + 1.5
        holes = ndi.binary_fill_holes(own) & ~own
        assert (found[holes] > 0).all()


def test_the_image_border_is_no_outline():
    truth = ellipse((40, 60), 2, 30, 15, 15)
    given = ellipse((40, 60), 2, 30, 17, 17)
    found = sharpen_outlines(picture(truth), given.astype(np.int32))
    assert 1 - overlap(found == 1, truth) < 0.5 * (1 - overlap(given, truth))
    assert overlap(found[0] == 1, truth[0]) > 0.9


def test_nothing_to_sharpen():
    for shape in ((0, 5), (4, 6)):
        empty = np.zeros(shape, np.int32)
        assert not sharpen_outlines(np.ones(shape), empty).any()
    everything = np.full((9, 9), 2, np.int32)
    np.testing.assert_array_equal(sharpen_outlines(np.ones((9, 9)), everything), everything)
