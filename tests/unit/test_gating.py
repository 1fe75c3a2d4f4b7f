"""Cutoffs, classes and filters, against values worked out by hand or by search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucprof.core import gating
from nucprof.errors import DataError

CULTURES = np.array(["astro"] * 4 + ["neuro"] * 4 + ["co-culture"] * 2, dtype=object)
VALUES = {
    "EdU": np.array([900.0, 1000, 1100, 50, 40, 60, 50, 70, 800, 30]),
    "BrdU": np.array([20.0, 30, 10, 25, 500, 700, 600, 20, 30, 650]),
}


def test_a_marker_belongs_to_the_monoculture_with_its_highest_median() -> None:
    found = gating.assign_markers(VALUES, CULTURES, ["astro", "neuro"])
    assert found == {"astro": "EdU", "neuro": "BrdU"}


def test_no_one_to_one_match_shows_the_table_of_medians() -> None:
    both = {"EdU": VALUES["EdU"], "BrdU": VALUES["EdU"] * 2}
    with pytest.raises(DataError) as error:
        gating.assign_markers(both, CULTURES, ["astro", "neuro"])
    text = str(error.value)
    # medians by hand: astro EdU (900, 1000, 1100, 50) -> 950; neuro (40, 60, 50, 70) -> 55
    for number in ("950.0", "55.0", "1900.0", "110.0"):
        assert number in text
    assert "[gate.classes]" in text


def test_the_cutoff_lies_in_the_middle_of_the_gap_on_a_log_scale() -> None:
    assert gating.best_cutoff(np.array([400.0, 900]), np.array([1.0, 100])) == pytest.approx(200)
    # with values that are not positive there is no log: the plain middle
    assert gating.best_cutoff(np.array([4.0, 9]), np.array([-2.0, 0])) == pytest.approx(2)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=25),
    st.lists(st.integers(1, 40), min_size=1, max_size=25),
)
def test_no_cutoff_separates_better(positive: list[int], negative: list[int]) -> None:
    own, rest = np.array(positive, float), np.array(negative, float)
    cutoff = gating.best_cutoff(own, rest)

    def youden(value: float) -> float:
        return float((own > value).mean() + (rest <= value).mean() - 1)

    # a cutoff outside the data separates nothing and is no cutoff
    tried = [youden(value) for value in range(min(*positive, *negative), max(*positive, *negative))]
    assert youden(cutoff) >= max(tried, default=0) - 1e-9


def test_a_cutoff_needs_both_kinds_of_cells() -> None:
    with pytest.raises(DataError, match="cells that do not"):
        gating.best_cutoff(np.array([1.0]), np.array([]))


def test_own_marker_above_and_every_other_not() -> None:
    values = {"a": np.array([5.0, 5, 1, 1, 2, np.nan]), "b": np.array([1.0, 5, 5, 1, 1, 5])}
    called = gating.classify(values, {"a": 2.0, "b": 2.0}, {"A": "a", "B": "b"})
    # above, both, above, none, equal is not above, a missing value is never above
    assert called.tolist() == ["A", "undefined", "B", "undefined", "undefined", "B"]


def test_sensitivity_and_specificity_are_counts_of_the_monocultures() -> None:
    quality = gating.cutoff_quality(VALUES["EdU"], CULTURES, "astro", ["neuro"], 500)
    assert quality.sensitivity == 3 / 4
    assert quality.specificity == 1
    assert (quality.n_positive, quality.n_negative) == (4, 4)


def test_filters_remove_what_is_outside_or_missing() -> None:
    columns = {"area": np.array([10.0, 160, 500, np.nan]), "dapi": np.array([600.0, 400, 700, 700])}
    gone = gating.outside(columns, {"area": (160, None), "dapi": (500, 800)})
    assert gone.tolist() == [True, True, False, True]
