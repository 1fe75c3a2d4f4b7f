"""Cutoffs and their judgement, against values worked out by hand, by search, or by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from nucprof.core.cutoffs import Controls, CutoffQuality, best_cutoff, share_of
from nucprof.errors import DataError


def test_the_cutoff_lies_in_the_middle_of_the_gap_on_a_log_scale() -> None:
    assert best_cutoff(np.array([400.0, 900]), np.array([1.0, 100])) == pytest.approx(200)
    # with values that are not positive there is no log: the plain middle
    assert best_cutoff(np.array([4.0, 9]), np.array([-2.0, 0])) == pytest.approx(2)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=25),
    st.lists(st.integers(1, 40), min_size=1, max_size=25),
)
def test_no_cutoff_separates_better(positive: list[int], negative: list[int]) -> None:
    own, rest = np.array(positive, float), np.array(negative, float)
    cutoff = best_cutoff(own, rest)

    def youden(value: float) -> float:
        return float((own > value).mean() + (rest <= value).mean() - 1)

    # a cutoff outside the data separates nothing and is no cutoff
    tried = [youden(value) for value in range(min(*positive, *negative), max(*positive, *negative))]
    assert youden(cutoff) >= max(tried, default=0) - 1e-9


def test_a_cutoff_needs_both_kinds_of_cells() -> None:
    with pytest.raises(DataError, match="cells that do not"):
        best_cutoff(np.array([1.0]), np.array([]))


def controls(own: list[float], rest: list[float], wells: list[str]) -> Controls:
    carries = np.array([True] * len(own) + [False] * len(rest))
    return Controls(np.array([*own, *rest], float), carries, np.array(wells, dtype=object))


def judged(cells: Controls) -> CutoffQuality:
    return CutoffQuality.of([cells.held_out_calls()])


def test_a_well_is_judged_by_cutoffs_found_without_it() -> None:
    # Well a2 is dimmer than all others: found without it, the cutoff is above all of its cells
    # (sqrt(20 * 900) = 134 and sqrt(30 * 900) = 164); in-sample, sqrt(30 * 100) is below them.
    cells = controls(
        [900, 1000, 100, 110], [20, 10, 30, 12], ["a1", "a1", "a2", "a2", "n1", "n1", "n2", "n2"]
    )
    assert (cells.values[:4] > cells.cutoff()).all()
    quality = judged(cells)
    assert quality.held_out == "wells"
    assert quality.sensitivity.value == 0.5
    assert quality.specificity.value == 1.0
    assert (quality.sensitivity.cells, quality.sensitivity.wells) == (4, 2)


def test_one_well_a_side_holds_out_cells_and_one_cell_nothing() -> None:
    assert judged(controls([9, 8], [1, 2], ["a", "a", "n", "n"])).held_out == "cells"
    nothing = judged(controls([9], [1, 2], ["a", "n", "n"]))
    assert nothing.held_out is None
    assert nothing.sensitivity.cells == nothing.specificity.cells == 0


def test_without_any_marker_the_judgement_is_chance() -> None:
    """In-sample, five cells a side give a Youden index of 0.29 and more where there is nothing."""
    held_out, in_sample = [], []
    for seed in range(300):
        x = np.random.default_rng(seed).normal(100, 10, 10)
        cells = controls(list(x[:5]), list(x[5:]), ["a"] * 5 + ["n"] * 5)
        quality = judged(cells)
        held_out.append(quality.sensitivity.value + quality.specificity.value - 1)
        above = x > cells.cutoff()
        in_sample.append(above[:5].mean() - above[5:].mean())
    assert np.mean(in_sample) > 0.25
    # 300 experiments of spread 0.45: the mean is within 0.08 of 0 in 99.8% of such tests
    assert np.mean(held_out) < 0.08


def test_independent_cells_of_one_well_have_the_exact_interval() -> None:
    hits = np.array([True] * 37 + [False] * 3)
    exact = binomtest(37, 40).proportion_ci(0.95, method="exact")
    found = share_of(hits, np.array(["a"] * 40))
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    assert found.value == 37 / 40
    none = share_of(np.zeros(0, dtype=bool), np.zeros(0))
    assert np.isnan(none.value)
    assert none.cells == 0


@pytest.mark.parametrize(("number", "spread"), [(3, 0.5), (4, 1.0), (8, 0.5), (8, 1.5)])
def test_intervals_hold_the_truth_where_wells_differ(number: int, spread: float) -> None:
    """Wells' own rates vary on the logit scale; 95% of the intervals hold the rates' mean."""
    rng = np.random.default_rng(number)
    many = 1 / (1 + np.exp(-(2.5 + spread * rng.normal(size=200_000))))
    inside = naive = 0
    for _ in range(300):
        rates = rng.choice(many, number)
        hits = np.concatenate([rng.random(80) < rate for rate in rates])
        found = share_of(hits, np.repeat(np.arange(number), 80))
        inside += found.low <= many.mean() <= found.high
        plain = binomtest(int(hits.sum()), len(hits)).proportion_ci(0.95, method="exact")
        naive += plain.low <= many.mean() <= plain.high
    assert inside / 300 > 0.91
    if spread > 1:
        assert naive / 300 < 0.6
