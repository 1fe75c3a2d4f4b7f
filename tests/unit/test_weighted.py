"""The weighted median, by hand and against values that are written out as often as they weigh."""

import numpy as np
import pytest

from nucprof.core.weighted import weighted_median


@pytest.mark.parametrize(
    ("values", "weights", "expected"),
    [([7], [0.1], 7), ([3, 1, 2], [1, 1, 1], 2), ([1, 2], [1, 1], 1), ([5, 1], [3, 1], 5),
     ([4, 1, 9], [1, 1, 5], 9)],
)  # fmt: skip
def test_half_of_the_weight_lies_at_or_below_it(values, weights, expected):
    assert weighted_median(values, weights) == expected


def test_weights_are_repeats():
    rng = np.random.default_rng(0)
    values, weights = rng.random(51), rng.integers(1, 9, 51)
    repeated = np.sort(np.repeat(values, weights))
    assert weighted_median(values, weights) == repeated[(len(repeated) - 1) // 2]


def test_every_column_has_its_own():
    values = np.array([[1, 30], [2, 10], [3, 20]])
    weights = np.array([[1, 1], [1, 5], [4, 1]])
    assert weighted_median(values, weights).tolist() == [3, 10]
