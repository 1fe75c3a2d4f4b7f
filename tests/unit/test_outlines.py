"""Outlines drawn into label images equal StarDist's own drawing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucprof.segmentation.outlines import fill_outlines


@settings(deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 40),
    st.sampled_from([3, 8, 32]),
    st.sampled_from([(1.0, 1.0), (1.7, 0.6)]),
)
def test_equal_to_stardist(seed, count, rays, back):
    geometry = pytest.importorskip("stardist.geometry")
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 90, 2))
    centres = rng.uniform(-10, 90, (count, 2))
    whole = rng.random(count) < 0.5
    centres[whole] = np.round(centres[whole])
    dist = rng.uniform(0.001, 20, (count, rays)).astype(np.float32)
    prob = np.round(rng.random(count), 1).astype(np.float32)  # with ties
    expected = geometry.polygons_to_label(dist, centres, shape, prob=prob, scale_dist=back)
    np.testing.assert_array_equal(fill_outlines(dist, centres, prob, shape, back), expected)


def test_a_known_square_and_what_hides_it():
    # Four rays: down, right, up and left give a diamond of radius 2.5 around (4, 4).
    dist, centres = np.full((2, 4), 2.5, np.float32), np.array([[4.0, 4.0], [4.0, 6.0]])
    labels = fill_outlines(dist, centres, np.array([0.9, 0.8]), (9, 12), (1.0, 1.0))
    yy, xx = np.mgrid[:9, :12]
    first = abs(yy - 4) + abs(xx - 4) <= 2.5
    second = abs(yy - 4) + abs(xx - 6) <= 2.5
    np.testing.assert_array_equal(labels, np.where(first, 1, np.where(second, 2, 0)))
    assert labels.dtype == np.int32
