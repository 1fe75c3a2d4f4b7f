"""How much the background varies, against the theory of white noise and images built by hand."""

import numpy as np
import pytest
from scipy import ndimage as ndi

from nucprof.core.background import SIDES, at_size, background_variation

SHAPE = (600, 700)
NOTHING = np.zeros(SHAPE, np.int32)


def white(sd=10.0, seed=0):
    return np.random.default_rng(seed).normal(500, sd, SHAPE).astype(np.float32)


def theory(sd):
    """Mean of n^2 white pixels minus the mean of the 8 n^2 around them."""
    sides = np.array(SIDES)
    return sd / sides * np.sqrt(9 / 8)


def test_white_noise_averages_as_it_should():
    np.testing.assert_allclose(background_variation(white(), NOTHING), theory(10), rtol=0.12)


def test_a_gradient_and_an_offset_do_not_count():
    tilted = white() + np.linspace(0, 300, SHAPE[1], dtype=np.float32)
    np.testing.assert_allclose(background_variation(tilted, NOTHING), theory(10), rtol=0.15)


def test_correlated_noise_varies_more_than_its_pixels_suggest():
    smooth = ndi.gaussian_filter(white() - 500, 2.0)
    smooth *= 10 / smooth.std()
    found = background_variation(smooth, NOTHING)
    assert found[1] > 2.5 * theory(10)[1]


def test_objects_are_left_out():
    labels = np.zeros(SHAPE, np.int32)
    labels[::60, ::60] = 1
    labels = ndi.grey_dilation(labels, size=(15, 15)).astype(np.int32)
    image = white() + 5000 * (labels > 0).astype(np.float32)
    found = background_variation(image, labels)
    np.testing.assert_allclose(found[:3], theory(10)[:3], rtol=0.15)


def test_a_few_bright_pixels_among_equal_ones_are_noise():
    image = np.zeros(SHAPE, np.float32)
    image[np.random.default_rng(0).random(SHAPE) < 0.1] = 10
    # Standard deviation of one pixel: 10 sqrt(0.1 * 0.9) = 3; most differences are 0.
    found = background_variation(image, NOTHING)
    np.testing.assert_allclose(found, theory(3), rtol=0.35)


def test_a_field_full_of_objects_or_too_small_has_no_background():
    assert not background_variation(white(), NOTHING + 1).any()
    assert not background_variation(white()[:4, :4], NOTHING[:4, :4]).any()


@pytest.mark.parametrize(("area", "expected"), [(1, 8), (4, 8), (16, 4), (64, 2), (10**6, 0.5)])
def test_sizes_between_and_beyond_the_squares(area, expected):
    variation = np.array([8, 4, 2, 1, 0.5])
    assert at_size(variation, np.array([area])) == pytest.approx([expected])
