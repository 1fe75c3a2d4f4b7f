"""Calibrated confidence is the share of cells that are right."""

import numpy as np
import pytest
from scipy.special import softmax

from nucprof.learn.calibrate import calibrated, calibration_error, fit_temperature, logits_of


def cells(n=20_000, temperature=1.0, seed=0):
    """Logits whose softmax is the true probability, then made `temperature` times too sure."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(n, 3))
    p = softmax(logits, axis=1)
    targets = (rng.random(n)[:, None] > p.cumsum(axis=1)).sum(axis=1)
    return logits * temperature, targets


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_recovered(temperature):
    assert fit_temperature(*cells(temperature=temperature)) == pytest.approx(temperature, rel=0.05)


def test_scaling_repairs_confidence_and_changes_no_class():
    logits, targets = cells(temperature=4.0)
    before = softmax(logits, axis=1)
    after = calibrated(logits, fit_temperature(logits, targets))
    assert calibration_error(before, targets) > 0.1
    assert calibration_error(after, targets) < 0.02
    np.testing.assert_array_equal(before.argmax(axis=1), after.argmax(axis=1))
    np.testing.assert_allclose(after.sum(axis=1), 1)


def test_unanimous_forests_have_finite_logits():
    p = np.array([[1.0, 0.0], [0.25, 0.75]])
    assert np.isfinite(logits_of(p)).all()
    np.testing.assert_allclose(softmax(logits_of(p), axis=1), p, atol=1e-5)


def test_perfect_classifiers_stay_within_bounds():
    t = fit_temperature(np.array([[9.0, 0], [0, 9.0]]), np.array([0, 1]))
    assert 0.05 <= t <= 20


def test_calibration_error_by_hand():
    p = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.65, 0.35]])
    # two cells at 0.95, both right; two at 0.65, one right
    error = calibration_error(p, np.array([0, 0, 0, 1]))
    assert error == pytest.approx((2 * 0.05 + 2 * 0.15) / 4)
