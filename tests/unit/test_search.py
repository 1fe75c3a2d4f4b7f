"""How often images that do not belong together reach a score by chance."""

from __future__ import annotations

import numpy as np
import pytest

from nucprof.core.search import chance


@pytest.mark.parametrize("count", [5, 14, 20])
@pytest.mark.parametrize("alpha", [0.05, 0.002])
def test_a_further_value_of_the_null_exceeds_the_threshold_as_often_as_is_said(count, alpha):
    draws = 300_000
    values = np.random.default_rng(5).gumbel(0.1, 0.02, (draws, count + 1))
    null, further = values[:, :-1], values[:, -1]
    threshold, p_value = chance(null[0], 0.12, alpha)
    high = (threshold - null[0].mean()) / null[0].std(ddof=1)
    away = (further - null.mean(axis=1)) / null.std(axis=1, ddof=1)
    spread = 4 * np.sqrt(alpha / draws) + 0.03 * alpha
    assert np.mean(away > high) == pytest.approx(alpha, abs=spread)
    # the same for a probability: of this score, on this null
    own = (0.12 - null[0].mean()) / null[0].std(ddof=1)
    assert p_value == pytest.approx(np.mean(away > own), abs=0.01)


def test_no_score_below_the_null_is_significant():
    null = np.array([0.1] * 13 + [0.5])
    threshold, _ = chance(null, 0.3, 0.2)
    assert threshold == 0.5
