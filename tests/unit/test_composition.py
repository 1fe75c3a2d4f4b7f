"""The composition of a well is unbiased, and its interval holds the truth as often as it says."""

import numpy as np
import pytest
from scipy.stats import binom

from nucprof.errors import DataError
from nucprof.learn.composition import CompositionEstimator
from nucprof.learn.composition.detection import limit_of_detection
from nucprof.learn.composition.simplex import dirichlet, onto_simplex

MEAN = np.array([[0.95, 0.05], [0.12, 0.88]])


def calls(n_wells, rng, *, shift=0.0, alike=np.inf, cells=150, mono=False):
    """Confusion matrices of wells, and the rates behind them.

    The log-odds of both classes move together by a normal `shift` (a pair: mean and standard
    deviation); each class's rates are drawn by themselves (Dirichlet) where `alike` is finite.
    """
    centre, spread = shift if isinstance(shift, tuple) else (0.0, shift)
    matrices, rates = [], []
    for number in range(n_wells):
        moved = MEAN * np.exp([0, rng.normal(centre, spread)])
        moved /= moved.sum(axis=1, keepdims=True)
        own = moved if np.isinf(alike) else np.array([rng.dirichlet(r * alike) for r in moved])
        sizes = cells * np.eye(2, dtype=int)[number % 2] if mono else [cells, cells]
        matrices.append([rng.multinomial(n, row) for n, row in zip(sizes, own, strict=True)])
        rates.append(own)
    return np.array(matrices), np.array(rates)


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


@pytest.mark.parametrize(
    ("n_wells", "how", "n"),
    [
        (12, {"alike": 60.0}, 200),  # each class varies by itself
        (8, {"shift": 0.5}, 1000),  # all classes vary together
        (4, {"shift": 1.2}, 2000),  # and much
        (8, {"shift": 0.0}, 200),
    ],
)
def test_intervals_hold_population_and_imaged_cells_as_often_as_they_say(n_wells, how, n):
    rng, held, imaged, naive, errors = np.random.default_rng(n_wells + n), [], [], [], []
    for _ in range(30):
        estimator = CompositionEstimator(calls(n_wells, rng, **how)[0], bootstrap=250)
        for rates in calls(3, rng, **how)[1]:
            share = rng.uniform()
            true = rng.multinomial(n, [share, 1 - share])
            counts = sum(rng.multinomial(m, row) for m, row in zip(true, rates, strict=True))
            found = estimator.estimate(counts)
            held.append(found.low[0] <= share <= found.high[0])
            imaged.append(found.imaged_low[0] <= true[0] / n <= found.imaged_high[0])
            half = 1.96 * np.sqrt(found.naive[0] * found.naive[1] / n)
            naive.append(abs(found.naive[0] - share) <= half)
            errors.append(found.adjusted[0] - share)
    assert np.mean(held) >= 0.88
    assert np.mean(imaged) >= 0.88
    assert np.mean(naive) < np.mean(held)
    assert abs(np.mean(errors)) < 0.03


def test_the_shift_of_a_plate_is_held_where_it_has_reference_wells():
    rng, held, blind = np.random.default_rng(1), [], []
    for _ in range(25):
        plate = (rng.normal(0, 1.2), 0.3)
        old, _ = calls(8, rng, shift=0.3)
        own, _ = calls(8, rng, shift=plate, mono=True)
        known = np.concatenate([old, own])
        estimator = CompositionEstimator(known, [0] * 8 + [1] * 8, 1, bootstrap=250)
        wrong = CompositionEstimator(old, bootstrap=250)
        for rates in calls(3, rng, shift=plate)[1]:
            true = rng.multinomial(1000, [0.7, 0.3])
            counts = sum(rng.multinomial(m, row) for m, row in zip(true, rates, strict=True))
            for estimate, into in ((estimator, held), (wrong, blind)):
                found = estimate.estimate(counts)
                into.append(found.low[0] <= 0.7 <= found.high[0])
    assert np.mean(held) >= 0.88
    assert np.mean(blind) < 0.75


def test_three_classes():
    mean = np.array([[0.9, 0.08, 0.02], [0.05, 0.9, 0.05], [0.1, 0.1, 0.8]])
    rng, held = np.random.default_rng(3), []
    for _ in range(12):
        known = [[rng.multinomial(150, rng.dirichlet(row * 60)) for row in mean] for _ in range(8)]
        estimator = CompositionEstimator(known, bootstrap=250)
        for _ in range(4):
            true = rng.multinomial(300, rng.dirichlet([1, 1, 1]))
            rates = [rng.dirichlet(row * 60) for row in mean]
            counts = sum(rng.multinomial(n, row) for n, row in zip(true, rates, strict=True))
            found = estimator.estimate(counts)
            assert found.adjusted.sum() == pytest.approx(1)
            held.append((found.imaged_low <= true / 300) & (true / 300 <= found.imaged_high))
    assert np.mean(held) >= 0.9


def test_of_imaged_cells_only_the_classifier_is_uncertain():
    perfect = CompositionEstimator([np.array([[10**6, 0], [0, 10**6]])] * 20).estimate([30, 20])
    assert perfect.imaged_high[0] - perfect.imaged_low[0] < 0.03
    assert perfect.high[0] - perfect.low[0] > 0.2  # of 50 cells drawn
    errs = CompositionEstimator([np.array([[950, 50], [50, 950]])] * 8).estimate([30, 20])
    assert perfect.imaged_high[0] < errs.imaged_high[0] <= errs.high[0]


def test_worse_classifiers_and_fewer_cells_give_wider_intervals():
    def width(matrix, counts):
        found = CompositionEstimator([np.array(matrix)] * 8).estimate(counts)
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


def test_limit_of_detection_lies_where_95_of_100_wells_exceed_the_blanks():
    # one rate matrix for all wells, so that binomial counts alone decide
    rates = np.array([[0.95, 0.05], [0.1, 0.9]])
    found = limit_of_detection(
        np.broadcast_to(rates, (4000, 2, 2)), rates, np.array([0.8, 0.2]), 1000, seed=0
    )
    # of 1000 cells of the first class, 63.5 are called the second at most in 97.5 of 100 wells
    assert binom.ppf(0.975, 1000, 0.05) == 64
    low = next(p for p in np.arange(0, 1, 1e-4) if binom.sf(64, 1000, 0.05 + 0.85 * p) >= 0.95)
    assert found[1] == pytest.approx(low, abs=0.003)


def test_a_class_that_cannot_be_noticed_has_no_limit_of_detection():
    chance = np.full((200, 2, 2), 0.5)
    assert np.isnan(limit_of_detection(chance, chance[0], np.full(2, 0.5), 100, seed=0)).all()


def test_better_classifiers_and_more_alike_wells_detect_less():
    def limit(matrices, n):
        estimator = CompositionEstimator(matrices, bootstrap=300)
        shares = np.array([0.9, 0.1])
        return limit_of_detection(estimator.drawn, estimator.rates, shares, n, seed=0)[1]

    good, bad = [[[298, 2], [2, 298]]] * 8, [[[285, 15], [15, 285]]] * 8
    differ = [[[296, 4], [1, 299]], [[274, 26], [12, 288]]] * 4
    assert limit(good, 1000) < limit(bad, 1000) < limit(differ, 1000)
    assert limit(bad, 2000) < limit(bad, 50)
