"""Similarities: the convention by hand, the fit against Umeyama's equations, the consensus."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucprof.core.similarity import Similarity, consensus, fit_similarity


def test_the_convention_by_hand():
    turned = Similarity.of((5, 7), (10.0, 20.0), angle=90.0, scale=2.0)
    assert turned.centre == (2.0, 3.0)
    # a pixel below the centre (y + 1) is turned to its right (x + 1), twice as far, and shifted
    placed = turned(np.array([(2.0, 3.0), (3.0, 3.0), (2.0, 4.0)]))
    np.testing.assert_allclose(placed, [(12, 23), (12, 25), (10, 23)], atol=1e-12)
    matrix_form = np.array([(3.0, 3.0)]) @ turned.matrix.T + turned.offset
    np.testing.assert_allclose(matrix_form, [(12, 25)], atol=1e-12)


def test_departure_by_hand():
    turned = Similarity.of((101, 201), (0.0, 0.0), scale=1.01)
    still = Similarity.of((101, 201), (0.0, 0.0))
    assert turned.departure(still) == pytest.approx(0.01 * np.hypot(50, 100))


def umeyama(points, images):
    """Eqs. 40-42 of Umeyama 1991, by singular values: scale R and translation."""
    mp, mi = points.mean(axis=0), images.mean(axis=0)
    covariance = (images - mi).T @ (points - mp) / len(points)
    u, d, vt = np.linalg.svd(covariance)
    sign = np.diag([1, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ sign @ vt
    scale = np.trace(np.diag(d) @ sign) / ((points - mp) ** 2).sum(axis=1).mean()
    return scale * rotation, mi - scale * rotation @ mp


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16), angle=st.floats(-170, 170), scale=st.floats(0.5, 2),
    noise=st.floats(0, 3), count=st.integers(3, 20),
)  # fmt: skip
def test_the_fit_equals_umeyama(seed, angle, scale, noise, count):
    rng = np.random.default_rng(seed)
    true = Similarity.of((300, 400), (31.0, -7.5), angle, scale)
    points = rng.uniform(0, 300, (count, 2))
    images = true(points) + rng.normal(0, noise, points.shape)
    fitted = fit_similarity(points, images, true.centre)
    matrix, offset = umeyama(points, images)
    np.testing.assert_allclose(fitted.matrix, matrix, atol=1e-9)
    np.testing.assert_allclose(fitted.offset, offset, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_consensus_leaves_strangers_out(seed):
    rng = np.random.default_rng(seed)
    true = Similarity.of((300, 400), (5.0, -3.0), 2.5, 1.01)
    points = rng.uniform(0, 300, (20, 2))
    images = true(points) + rng.normal(0, 0.05, points.shape)
    images[:9] += rng.uniform(-60, 60, (9, 2))
    found = consensus(points, images, true.centre, 1.0)
    assert found.departure(true) < 0.3


def test_no_consensus():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 300, (12, 2))
    assert consensus(points, rng.uniform(0, 300, (12, 2)), (150.0, 150.0), 0.01) is None
    assert consensus(points[:2], points[:2], (150.0, 150.0), 1.0) is None
    twice_as_large = 2 * points
    assert consensus(points, twice_as_large, (150.0, 150.0), 1.0) is None
