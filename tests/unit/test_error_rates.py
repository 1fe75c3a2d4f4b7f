"""The posterior of error rates equals importance sampling from the prior, and shifts are found."""

import numpy as np
import pytest

from nucprof.learn.composition.error_rates import (
    OWN_SCALE,
    PLATE_SCALE,
    WELL_SCALE,
    draw_rates,
)


def softmax(logits):
    weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    return weights / weights.sum(axis=2, keepdims=True)


def by_importance(confusion, plates, plate, *, n=150_000, seed=1):
    """Mean and standard deviation of a new well's rates: draws of the prior, weighted by fit."""
    rng = np.random.default_rng(seed)
    k = confusion.shape[1]
    mean = np.log(np.maximum(rng.dirichlet(np.full(k, 0.5), size=(n, k)), 1e-300))
    omega, tau, sigma = (
        np.abs(rng.normal(size=(n, 1, 1))) * scale for scale in (PLATE_SCALE, WELL_SCALE, OWN_SCALE)
    )
    effects = {p: rng.normal(size=(n, 1, k)) * omega for p in {*plates, plate}}

    def rates(on):
        well = rng.normal(size=(n, 1, k)) * tau + rng.normal(size=(n, k, k)) * sigma
        return softmax(mean + (effects[on] + well) / np.sqrt(2))

    fit = np.zeros(n)
    for counts, on in zip(confusion, plates, strict=True):
        fit += (counts * np.log(np.maximum(rates(on), 1e-300))).sum(axis=(1, 2))
    weights = np.exp(fit - fit.max())
    new = rates(plate)
    expected = np.average(new, axis=0, weights=weights)
    return expected, np.sqrt(np.average((new - expected) ** 2, axis=0, weights=weights))


WELLS = np.array([[[9, 1], [0, 0]], [[0, 0], [3, 7]], [[5, 0], [1, 4]]])


@pytest.mark.parametrize("plate", [1, 2])
def test_rates_equal_importance_sampling_on_a_known_and_on_a_new_plate(plate):
    mean, spread = by_importance(WELLS, [0, 0, 1], plate)
    drawn = draw_rates(WELLS, np.array([0, 0, 1]), plate, n=8000, seed=0).drawn
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.015)
    np.testing.assert_allclose(drawn.std(axis=0), spread, atol=0.015)


def test_three_classes_equal_importance_sampling():
    wells = np.array([[[5, 1, 0], [1, 3, 0], [0, 0, 2]], [[0, 0, 0], [0, 0, 0], [0, 2, 3]]])
    mean, spread = by_importance(wells, [0, 0], 0)
    drawn = draw_rates(wells, np.array([0, 0]), 0, n=8000, seed=0).drawn
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.025)
    np.testing.assert_allclose(drawn.std(axis=0), spread, atol=0.025)


def test_the_shift_of_a_plate_is_measured_on_its_reference_wells():
    old = [[[950, 50], [50, 950]]] * 6
    # the same log-odds moved by 1.5 towards the second class: 0.05 -> 0.191, 0.95 -> 0.988
    new = [[[809, 191], [0, 0]], [[0, 0], [12, 988]]] * 4
    found = draw_rates(np.array([*old, *new]), np.array([0] * 6 + [1] * 8), 1, n=1000, seed=0)
    assert found.shift[1] - found.shift[0] == pytest.approx(1.5, abs=0.25)
    np.testing.assert_allclose(found.drawn.mean(axis=0), [[0.81, 0.19], [0.02, 0.98]], atol=0.03)
    unknown = draw_rates(np.array(old), np.zeros(6, dtype=int), 1, n=1000, seed=0)
    np.testing.assert_array_equal(unknown.shift, 0)
    known = draw_rates(np.array(old), np.zeros(6, dtype=int), 0, n=1000, seed=0)
    assert unknown.drawn.std(axis=0)[0, 0] > 1.3 * known.drawn.std(axis=0)[0, 0]


def test_the_same_seed_gives_the_same_draws():
    one, two = (draw_rates(WELLS, np.array([0, 0, 1]), 0, n=100, seed=3).drawn for _ in range(2))
    np.testing.assert_array_equal(one, two)
