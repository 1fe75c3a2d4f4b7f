"""The composition of a well is unbiased, and its interval holds the truth as often as it says."""

import numpy as np
import pytest

from nucprof.errors import DataError
from nucprof.learn.composition import CompositionEstimator
from nucprof.learn.composition.simplex import dirichlet, onto_simplex

MEAN = np.array([[0.95, 0.05], [0.12, 0.88]])


def wells(n_wells, rng, *, mean=MEAN, alike=60.0, cells=150):
    """Confusion matrices of wells that differ in their error rates."""
    return np.array([[rng.multinomial(cells, rng.dirichlet(row * alike)) for row in mean]
                     for _ in range(n_wells)])  # fmt: skip


def test_adjusted_count_by_hand():
    # 30 of 100 called B; rates 0.1 (A as B) and 0.8 (B as B): p = (0.3 - 0.1) / (0.8 - 0.1) = 2/7
    estimator = CompositionEstimator([np.array([[900, 100], [200, 800]])])
    found = estimator.estimate([70, 30])
    np.testing.assert_allclose(found.adjusted, [5 / 7, 2 / 7])
    np.testing.assert_allclose(found.naive, [0.7, 0.3])
    assert (found.low < found.adjusted).all()
    assert (found.adjusted < found.high).all()


def test_shares_stay_between_0_and_1():
    estimator = CompositionEstimator([np.array([[90, 10], [10, 90]])])
    found = estimator.estimate([100, 0])
    np.testing.assert_allclose(found.adjusted, [1, 0])
    assert found.low.min() >= 0
    assert found.high.max() <= 1
    assert found.high[1] > 0.005  # none of 100 seen is not none at all


@pytest.mark.parametrize("n_wells", [4, 12])
def test_the_interval_holds_the_truth_as_often_as_it_says(n_wells):
    rng = np.random.default_rng(n_wells)
    held, naive_held, widths, errors = [], [], [], []
    for _ in range(30):
        estimator = CompositionEstimator(wells(n_wells, rng), bootstrap=500)
        for _ in range(20):
            share = rng.uniform()
            true = rng.multinomial(200, [share, 1 - share])
            rates = np.array([rng.dirichlet(row * 60) for row in MEAN])
            counts = sum(rng.multinomial(n, row) for n, row in zip(true, rates, strict=True))
            found = estimator.estimate(counts)
            actual = true[0] / 200
            held.append(found.low[0] <= actual <= found.high[0])
            half = 1.96 * np.sqrt(found.naive[0] * found.naive[1] / 200)
            naive_held.append(abs(found.naive[0] - actual) <= half)
            widths.append(found.high[0] - found.low[0])
            errors.append(found.adjusted[0] - actual)
    assert len(held) == 600
    assert np.mean(held) >= 0.90
    assert np.mean(widths) < 0.25
    assert abs(np.mean(errors)) < 0.01
    assert np.mean(naive_held) < np.mean(held)


def test_three_classes():
    rng = np.random.default_rng(3)
    mean = np.array([[0.9, 0.08, 0.02], [0.05, 0.9, 0.05], [0.1, 0.1, 0.8]])
    held = []
    for _ in range(10):
        estimator = CompositionEstimator(wells(8, rng, mean=mean), bootstrap=400)
        for _ in range(10):
            true = rng.multinomial(300, rng.dirichlet([1, 1, 1]))
            rates = [rng.dirichlet(row * 60) for row in mean]
            counts = sum(rng.multinomial(n, row) for n, row in zip(true, rates, strict=True))
            found = estimator.estimate(counts)
            assert found.adjusted.sum() == pytest.approx(1)
            held.append((found.low <= true / 300) & (true / 300 <= found.high))
    assert np.mean(held) >= 0.90


def test_worse_classifiers_and_fewer_cells_give_wider_intervals():
    def width(matrix, counts):
        found = CompositionEstimator([np.array(matrix)]).estimate(counts)
        return found.high[0] - found.low[0]

    good, bad = [[950, 50], [50, 950]], [[700, 300], [300, 700]]
    assert width(bad, [100, 100]) > 1.5 * width(good, [100, 100])
    assert width(good, [10, 10]) > 2 * width(good, [1000, 1000])
    chance = [[500, 500], [500, 500]]
    assert width(chance, [100, 100]) > 0.9


def test_wells_that_differ_widen_the_interval():
    alike = np.array([[[90, 10], [10, 90]]] * 6)
    differ = np.array([[[98, 2], [2, 98]], [[82, 18], [18, 82]]] * 3)
    found = [CompositionEstimator(w).estimate([500, 500]) for w in (alike, differ)]
    assert found[1].high[0] - found[1].low[0] > 1.3 * (found[0].high[0] - found[0].low[0])


def test_monoculture_wells_speak_for_their_class_only():
    confusion = np.array([[[95, 5], [0, 0]], [[0, 0], [10, 90]], [[93, 7], [0, 0]]])
    found = CompositionEstimator(confusion).estimate([60, 40])
    assert found.low[0] < 0.6 < found.high[0]


def test_a_wells_interval_does_not_depend_on_other_wells():
    estimator = CompositionEstimator([np.array([[90, 10], [10, 90]])], seed=3)
    alone = estimator.estimate([60, 40])
    estimator.estimate([5, 5])
    np.testing.assert_array_equal(estimator.estimate([60, 40]).low, alone.low)
    again = CompositionEstimator([np.array([[90, 10], [10, 90]])], seed=3).estimate([60, 40])
    np.testing.assert_array_equal(again.high, alone.high)


def test_what_cannot_be_estimated_is_refused():
    with pytest.raises(DataError, match="no confusion matrices"):
        CompositionEstimator([])
    with pytest.raises(DataError, match="errors are unknown"):
        CompositionEstimator([np.array([[10, 1], [0, 0]])])
    with pytest.raises(DataError, match="without cells"):
        CompositionEstimator([np.eye(2) * 10]).estimate([0, 0])


def test_dirichlet_draws_have_the_right_moments_even_when_tiny():
    rng = np.random.default_rng(0)
    alpha = np.array([2.0, 6.0])
    drawn = dirichlet(np.broadcast_to(alpha, (40_000, 2)), rng)
    np.testing.assert_allclose(drawn.mean(axis=0), [0.25, 0.75], atol=0.005)
    assert drawn[:, 0].var() == pytest.approx(0.25 * 0.75 / 9, rel=0.05)
    tiny = dirichlet(np.full((100, 2), 1e-6), rng)
    np.testing.assert_allclose(tiny.sum(axis=1), 1)


def test_projection_onto_the_simplex():
    points = np.array([[0.2, 0.8], [1.4, -0.4], [0.5, 0.7], [2.0, 2.0]])
    np.testing.assert_allclose(
        onto_simplex(points), [[0.2, 0.8], [1, 0], [0.4, 0.6], [0.5, 0.5]], atol=1e-12
    )
