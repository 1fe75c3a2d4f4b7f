"""Moved images: every pixel against its definition, both signs, and a turned round."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucprof.core.moving import move_image, shift_image, valid_box
from nucprof.core.similarity import Similarity


def moved_reference(image, shift, shape, fill):
    """Pixel by pixel, straight from the definition."""
    out, valid = np.full((len(image), *shape), float(fill)), np.zeros(shape, bool)
    y0, x0 = (int(np.floor(d)) for d in shift)
    wy, wx = shift[0] - y0, shift[1] - x0
    for y in range(shape[0]):
        for x in range(shape[1]):
            corners = [
                (y + y0 + j, x + x0 + i, (wy if j else 1 - wy) * (wx if i else 1 - wx))
                for j in (0, 1)
                for i in (0, 1)
            ]
            used = [(v, u, w) for v, u, w in corners if w > 0]
            if all(0 <= v < image.shape[1] and 0 <= u < image.shape[2] for v, u, _ in used):
                valid[y, x] = True
                out[:, y, x] = sum(image[:, v, u].astype(float) * w for v, u, w in used)
    return out, valid


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    size=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    shape=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    quarters=st.tuples(st.integers(-48, 48), st.integers(-48, 48)),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32, np.float64]),
)
def test_moved_images_equal_the_pixelwise_reference(seed, size, shape, quarters, dtype):
    image = np.random.default_rng(seed).integers(0, 250, (2, *size)).astype(dtype)
    shift = quarters[0] / 4, quarters[1] / 4
    aligned, valid = shift_image(image, shift, shape, fill=1)
    expected, there = moved_reference(image, shift, shape, 1)
    assert aligned.dtype == dtype
    np.testing.assert_array_equal(valid, there)
    tolerance = 0.5 + 1e-4 if np.issubdtype(dtype, np.integer) else 1e-4
    assert np.abs(aligned - expected).max(initial=0) <= tolerance
    rows, columns = valid_box(shift, shape, size)
    box = np.zeros(shape, bool)
    box[rows, columns] = True
    np.testing.assert_array_equal(box, there)


@pytest.mark.parametrize("shift", [(3, -5), (-4, 2), (3.25, -5.5), (-4.75, 2.5)])
def test_both_signs_the_nucleus_comes_home(shift):
    """METHOD, fault 4: the scripts cut the region without data at the opposite side."""
    y, x = 20, 24
    yy, xx = np.mgrid[:44, :50]
    image = 1000 * np.exp(-((yy - y - shift[0]) ** 2 + (xx - x - shift[1]) ** 2) / 8)[None]
    aligned, valid = shift_image(image, shift, (44, 50))
    mass = aligned[0] / aligned[0].sum()
    assert (mass * yy).sum() == pytest.approx(y, abs=0.01)
    assert (mass * xx).sum() == pytest.approx(x, abs=0.01)
    assert aligned.sum() == pytest.approx(image.sum(), rel=1e-6)
    assert valid[0].any() == (shift[0] >= 0)
    assert valid[-1].any() == (shift[0] <= 0)
    assert valid[:, 0].any() == (shift[1] >= 0)
    assert valid[:, -1].any() == (shift[1] <= 0)


def test_a_shift_beyond_the_image_leaves_nothing():
    aligned, valid = shift_image(np.ones((1, 9, 9), np.uint16), (20.5, 0), (9, 9))
    assert not valid.any()
    assert not aligned.any()


def test_wide_integers_keep_their_values():
    image = np.array([[[2**31 + 1, 2**31 + 3]]], dtype=np.uint32)
    np.testing.assert_array_equal(shift_image(image, (0, 0.5), (1, 1))[0], [[[2**31 + 2]]])


def turned_reference(image, shape, shift, degrees, scale):
    """Pixel by pixel, straight from the convention in core.similarity."""
    out, valid = np.zeros((len(image), *shape)), np.zeros(shape, bool)
    cy, cx = (shape[0] - 1) / 2, (shape[1] - 1) / 2
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    for y in range(shape[0]):
        for x in range(shape[1]):
            v = cy + shift[0] + scale * (cos * (y - cy) - sin * (x - cx))
            u = cx + shift[1] + scale * (sin * (y - cy) + cos * (x - cx))
            if 0 <= v <= image.shape[1] - 1 and 0 <= u <= image.shape[2] - 1:
                valid[y, x] = True
                j, i = min(int(v), image.shape[1] - 2), min(int(u), image.shape[2] - 2)
                a, b = v - j, u - i
                box = image[:, j : j + 2, i : i + 2].astype(float)
                rows = (1 - a) * box[:, 0] + a * box[:, 1]
                out[:, y, x] = (1 - b) * rows[:, 0] + b * rows[:, 1]
    return out, valid


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    size=st.tuples(st.integers(3, 12), st.integers(3, 12)),
    shape=st.tuples(st.integers(3, 12), st.integers(3, 12)),
    shift=st.tuples(st.floats(-4, 4), st.floats(-4, 4)),
    degrees=st.floats(0.5, 30),
    scale=st.floats(0.9, 1.1),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32]),
)
def test_a_turned_round_equals_the_pixelwise_reference(
    seed, size, shape, shift, degrees, scale, dtype
):
    image = np.random.default_rng(seed).integers(0, 250, (2, *size)).astype(dtype)
    aligned, valid = move_image(image, Similarity.of(shape, shift, degrees, scale), shape)
    expected, there = turned_reference(image, shape, shift, degrees, scale)
    assert aligned.dtype == dtype
    np.testing.assert_array_equal(valid, there)
    assert not aligned[:, ~valid].any()
    tolerance = 0.5 + 1e-3 if np.issubdtype(dtype, np.integer) else 1e-3
    assert np.abs(aligned - expected).max(initial=0) <= tolerance


def test_a_shift_is_moved_as_ever():
    image = np.random.default_rng(0).integers(0, 60000, (3, 40, 50)).astype(np.uint16)
    shift = (3.37, -5.81)
    for ours, theirs in zip(
        move_image(image, Similarity.of((44, 48), shift), (44, 48)),
        shift_image(image, shift, (44, 48)),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
