"""Percentile normalisation against numpy's percentile and on degenerate images."""

import numpy as np
import pytest

from nucprof.core.normalize import percentile_normalize
from nucprof.errors import DataError


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_two_percentiles_become_0_and_1(dtype):
    image = np.random.default_rng(0).integers(3, 250, (37, 53)).astype(dtype)
    low, high = np.percentile(image, (2, 97.5))
    out = percentile_normalize(image, 2, 97.5)
    assert out.dtype == np.float32
    assert out.shape == image.shape
    np.testing.assert_allclose(out, (image - low) / (high - low), atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_percentile_of_integers_is_numpys(size):
    # Few pixels: the percentile lies between two values of the histogram.
    image = np.random.default_rng(size).integers(0, 60000, (1, size + 1)).astype(np.uint16)
    low, high = np.percentile(image, (10, 90))
    expected = (image - low) / (high - low)
    np.testing.assert_allclose(percentile_normalize(image, 10, 90), expected, rtol=1e-4, atol=1e-5)


def test_values_beyond_the_percentiles_are_not_clipped():
    image = np.arange(1000, dtype=np.uint16).reshape(20, 50)
    out = percentile_normalize(image, 10, 90)
    assert out.min() < -0.1
    assert out.max() > 1.1


@pytest.mark.parametrize("value", [0, 7])
def test_constant_image_is_zero(value):
    assert not percentile_normalize(np.full((5, 9), value, np.uint16)).any()
    assert not percentile_normalize(np.full((5, 9), value, np.float32)).any()


def test_few_bright_pixels_on_even_background_stay_visible():
    image = np.full((100, 100), 100, np.uint16)
    image[:3, :3] = 900  # 9 of 10000 pixels: above the 99th percentile
    out = percentile_normalize(image, 1, 99)
    assert out[50, 50] == 0
    np.testing.assert_allclose(out[:3, :3], 1)


def test_pixels_that_are_not_finite_do_not_count():
    image = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    broken = image.copy()
    broken[0, 0], broken[0, 1], broken[0, 2] = np.nan, np.inf, -np.inf
    out = percentile_normalize(broken, 0, 100)
    assert np.isfinite(out).all()
    assert not out[0, :3].any()
    finite = image.ravel()[3:]
    np.testing.assert_allclose(
        out.ravel()[3:], (finite - finite.min()) / (finite.max() - finite.min()), atol=1e-6
    )


def test_the_input_is_left_alone():
    image = np.random.default_rng(1).random((8, 8)).astype(np.float32)
    before = image.copy()
    percentile_normalize(image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(("pmin", "pmax"), [(99, 1), (5, 5), (-1, 50), (1, 101)])
def test_percentiles_out_of_order_are_refused(pmin, pmax):
    with pytest.raises(DataError, match="must be in order"):
        percentile_normalize(np.zeros((3, 3)), pmin, pmax)


def test_a_stack_is_refused():
    with pytest.raises(DataError, match="one plane"):
        percentile_normalize(np.zeros((2, 3, 3)))
