"""Crops: size, centre, padding, masks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucprof.core.crops import box_start, extract_crops, real_boxes
from nucprof.errors import DataError, FieldError


def reference(image, labels, label, centre, size, masked):
    """Pixel by pixel; what lies beyond the image is its nearest pixel, or 0 where masked."""
    top, left = (int(np.floor(c + 0.5)) - size // 2 for c in centre)
    crop = np.zeros((image.shape[0], size, size), image.dtype)
    padded = False
    for y in range(size):
        for x in range(size):
            at = (
                min(max(top + y, 0), image.shape[1] - 1),
                min(max(left + x, 0), image.shape[2] - 1),
            )
            beyond = at != (top + y, left + x)
            padded |= beyond
            if not masked or (not beyond and labels[at] == label):
                crop[:, y, x] = image[:, at[0], at[1]]
    return crop, padded


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    shape=st.tuples(st.integers(1, 3), st.integers(3, 20), st.integers(3, 20)),
    size=st.integers(1, 25),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32]),
    masked=st.booleans(),
)
def test_equals_the_pixelwise_reference(seed, shape, size, dtype, masked):
    rng = np.random.default_rng(seed)
    image = rng.integers(1, 200, shape).astype(dtype)
    labels = rng.choice(np.array([0, 3, 70000], np.uint32), shape[1:])
    ids = np.array([3, 70000, 3])
    centres = rng.integers(0, 2 * np.array(shape[1:]) - 1, (3, 2)) / 2  # whole and half pixels
    crops, padded = extract_crops(image, labels, ids, centres, size, masked=masked)
    assert crops.dtype == dtype
    assert crops.shape == (3, shape[0], size, size)
    for k in range(3):
        expected, beyond = reference(image, labels, ids[k], centres[k], size, masked)
        np.testing.assert_array_equal(crops[k], expected)
        assert padded[k] == beyond


@pytest.mark.parametrize("size", [5, 6])
@pytest.mark.parametrize("centre", [(0, 0), (0, 29), (19, 0), (10, 15), (19, 29)])
def test_the_cell_is_in_the_middle_also_at_the_edge(size, centre):
    image = np.zeros((1, 20, 30), np.uint16)
    image[0, centre[0], centre[1]] = 9
    one, at = np.array([1]), np.array([centre])
    crops, padded = extract_crops(image, None, one, at, size, masked=False)
    assert crops[0, 0, size // 2, size // 2] == 9
    assert padded[0] == (centre != (10, 15))


def test_a_whole_shift_moves_the_box_by_as_much():
    halves = np.array([[0.5, 1.5], [2.5, 3.5]])
    np.testing.assert_array_equal(box_start(halves + 1, 6), box_start(halves, 6) + 1)
    np.testing.assert_array_equal(box_start(halves, 6), [[-2, -1], [0, 1]])


@pytest.mark.parametrize("centre", [(0, 0), (0, 29), (19, 4), (10, 15), (19, 29)])
def test_real_boxes_are_where_the_crop_shows_the_image(centre):
    image = np.ones((1, 20, 30), np.uint8)
    every = np.ones((20, 30), int)
    at = np.array([centre])
    crops, _ = extract_crops(image, every, np.array([1]), at, 7, masked=True)
    top, left, bottom, right = real_boxes(at, 7, (20, 30))[0]
    expected = np.zeros((7, 7))
    expected[top:bottom, left:right] = 1
    np.testing.assert_array_equal(crops[0, 0], expected)


def test_no_cells():
    crops, padded = extract_crops(
        np.ones((2, 9, 9), np.uint8), None, np.zeros(0, int), np.zeros((0, 2)), 4, masked=False
    )
    assert crops.shape == (0, 2, 4, 4)
    assert padded.shape == (0,)


def test_refusals():
    image, one, centre = np.ones((1, 9, 9)), np.array([7]), np.array([[4.0, 4.0]])
    with pytest.raises(DataError, match="label image"):
        extract_crops(image, None, one, centre, 4, masked=True)
    with pytest.raises(DataError, match="patch_size"):
        extract_crops(image, None, one, centre, 0, masked=False)
    with pytest.raises(FieldError, match="mask is"):
        extract_crops(image, np.ones((9, 8), int), one, centre, 4, masked=True)
    with pytest.raises(FieldError, match=r"cell 7 .* outside its image"):
        extract_crops(image, None, one, np.array([[40.0, 4.0]]), 4, masked=False)
    with pytest.raises(FieldError, match="1 ids"):
        extract_crops(image, None, one, np.zeros((2, 2)), 4, masked=False)
