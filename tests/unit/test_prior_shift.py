"""Shares by expectation maximisation, and probabilities corrected for them."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from nucprof.errors import DataError
from nucprof.learn.calibrate import fit_prior
from nucprof.learn.composition.prior_shift import at_shares, most_likely_shares


def cells(shares, n, rng, *, apart=2.6):
    """True classes, and the probabilities of the best classifier at equal shares."""
    shares = np.asarray(shares)
    true = rng.choice(len(shares), n, p=shares)
    seen = rng.normal(size=(n, len(shares))) + apart * np.eye(len(shares))[true]
    return true, softmax(apart * seen, axis=1)


def test_probabilities_at_other_shares_by_hand():
    # 0.8 : 0.2 at equal shares is a likelihood ratio of 4; with 1 in 10 of the first, 4 : 9
    found = at_shares(np.array([[0.8, 0.2]]), np.array([0.5, 0.5]), np.array([0.1, 0.9]))
    np.testing.assert_allclose(found, [[4 / 13, 9 / 13]])
    # the same cell, of a classifier whose probabilities hold at 1 : 3
    found = at_shares(np.array([[4 / 7, 3 / 7]]), np.array([0.25, 0.75]), np.array([0.1, 0.9]))
    np.testing.assert_allclose(found, [[4 / 13, 9 / 13]])


@pytest.mark.parametrize("prior", [[0.5, 0.5], [0.8, 0.2]])
def test_shares_maximise_the_likelihood(prior):
    _, probabilities = cells([0.97, 0.03], 500, np.random.default_rng(0))
    ratios = probabilities / prior
    best = minimize_scalar(
        lambda p: -np.log(ratios @ [1 - p, p]).sum(), bounds=(0, 1), method="bounded",
        options={"xatol": 1e-10},
    )  # fmt: skip
    found = most_likely_shares(probabilities, np.array(prior))
    assert found[1] == pytest.approx(best.x, abs=1e-5)


def test_shares_equal_quapy():
    quapy = pytest.importorskip("quapy.method.aggregative")
    _, probabilities = cells([0.9, 0.08, 0.02], 800, np.random.default_rng(1))
    expected, _ = quapy.EMQ.EM(np.full(3, 1 / 3), probabilities, epsilon=1e-9)
    np.testing.assert_allclose(
        most_likely_shares(probabilities, np.full(3, 1 / 3)), expected, atol=1e-6
    )


def test_a_rare_class_is_found_with_a_smaller_error_than_by_counting():
    rng, errors = np.random.default_rng(2), []
    rate = (lambda t, p: (p[t == 0].argmax(axis=1) == 1).mean())(*cells([0.5, 0.5], 100_000, rng))
    for _ in range(60):
        _, probabilities = cells([0.99, 0.01], 1000, rng)
        counted = ((probabilities.argmax(axis=1) == 1).mean() - rate) / (1 - 2 * rate)
        errors.append([most_likely_shares(probabilities, np.full(2, 0.5))[1] - 0.01,
                       max(counted, 0) - 0.01])  # fmt: skip
    emq, adjusted = np.abs(errors).mean(axis=0)
    assert emq < 0.6 * adjusted
    assert abs(np.mean(errors, axis=0)[0]) < 0.002


def test_a_well_without_cells_has_no_shares():
    with pytest.raises(DataError, match="without cells"):
        most_likely_shares(np.empty((0, 2)), np.full(2, 0.5))


def test_the_prior_of_a_classifier_that_leans_is_found():
    true, probabilities = cells([0.7, 0.3], 4000, np.random.default_rng(3))
    np.testing.assert_allclose(fit_prior(probabilities, true), [0.5, 0.5], atol=0.04)
    leaning = softmax(np.log(probabilities) + np.array([1.0, 0.0]), axis=1)
    np.testing.assert_allclose(fit_prior(leaning, true), softmax([1.0, 0.0]), atol=0.04)


def test_the_prior_stays_finite_without_errors():
    certain = np.array([[1 - 1e-9, 1e-9]] * 30 + [[1e-9, 1 - 1e-9]] * 5)
    np.testing.assert_allclose(fit_prior(certain, np.repeat([0, 1], [30, 5])), 0.5, atol=0.01)
