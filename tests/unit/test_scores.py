"""Figures of confusion tables by hand, and intervals over wells against simulated wells."""

import numpy as np
import pandas as pd
import pytest

from nucprof.learn.scores import accuracy, f1_per_class, intervals, macro_f1, unit_tables


def scores(tables):
    whole = np.sum(tables, axis=0)
    return {
        "f1_macro": float(macro_f1(whole)), "accuracy": float(accuracy(whole)),
        "f1_per_class": dict(zip("ab", f1_per_class(whole).tolist(), strict=True)),
    }  # fmt: skip


def limits(tables):
    return intervals(np.asarray(tables, float), ["a", "b"], scores(tables))


def test_figures_by_hand():
    # a: TP 8, FN 2, FP 1 -> 16/19; b: TP 4, FP 2, FN 1 -> 8/11
    table = np.array([[8, 2], [1, 4]])
    np.testing.assert_allclose(f1_per_class(table), [16 / 19, 8 / 11])
    assert macro_f1(table) == pytest.approx((16 / 19 + 8 / 11) / 2)
    assert accuracy(table) == pytest.approx(12 / 15)
    np.testing.assert_allclose(macro_f1(np.stack([table, table.T])), macro_f1(table))
    assert macro_f1(np.array([[3, 0], [0, 0]])) == 0.5


def test_a_cell_tested_by_two_runs_counts_once():
    rows = [("p", "B02", "x", "a", "a", 0), ("p", "B02", "x", "a", "b", 1),
            ("p", "C02", "y", "b", "b", 0), ("q", "C02", "y", "b", "b", 0)]  # fmt: skip
    columns = ["plate", "well", "ROI_img_name", "true_condition", "predicted", "seed"]
    table = pd.DataFrame(rows, columns=columns)
    wells = unit_tables(table, ["a", "b"], "well")
    np.testing.assert_allclose(wells, [[[0.5, 0.5], [0, 0]], [[0, 0], [0, 1]], [[0, 0], [0, 1]]])
    assert unit_tables(table, ["a", "b"], "plate").shape == (2, 2, 2)


def test_wells_that_differ_widen_the_interval_and_many_cells_do_not_narrow_it():
    def pure(shares, cells):
        right = [round(share * cells) for share in shares]
        own = [[[n, cells - n], [0, 0]] for n in right]
        return own + [[[0, 0], [cells - n, n]] for n in right]

    few, many = (limits(pure([0.9, 0.7, 0.5, 0.3], n))["accuracy_ci"] for n in (20, 2000))
    np.testing.assert_allclose(few, many, atol=0.02)
    assert many[0] < 0.45
    assert many[1] > 0.75
    alike = limits(pure([0.6] * 4, 2000))["accuracy_ci"]
    # as independent cells: 1.96 sqrt(0.6 0.4 / 16000) = 0.0076
    np.testing.assert_allclose(alike, [0.5924, 0.6076], atol=0.001)


def test_no_error_in_few_cells_is_no_interval_of_width_0():
    found = limits([[[10, 0], [0, 10]]] * 4)
    assert found["f1_macro_ci"][1] == 1
    # Clopper and Pearson for 0 errors of 80: 0.955
    assert 0.93 < found["f1_macro_ci"][0] < 0.98
    assert found["f1_per_class_ci"]["a"][0] < 0.98


def test_a_single_well_says_nothing_about_others():
    one_of_b = [[[9, 1], [0, 0]], [[8, 2], [0, 0]], [[0, 0], [1, 9]]]
    assert limits(one_of_b)["f1_macro_ci"] is None
    assert limits([[[9, 1], [1, 9]]]) == {
        "f1_macro_ci": None, "accuracy_ci": None, "f1_per_class_ci": {"a": None, "b": None},
    }  # fmt: skip


@pytest.mark.parametrize("mean", [0.5, 0.9, 0.97])
@pytest.mark.parametrize("wells", [2, 3, 8])
def test_intervals_hold_the_truth_for_few_wells_that_differ(mean, wells):
    """Both classes of pure wells are right in a share `mean`, the mean of a beta, so F1 is too."""
    rng = np.random.default_rng(0)
    spread = 29  # intra-class correlation 1/30
    held = 0
    for _ in range(100):
        right = rng.binomial(50, rng.beta(mean * spread, (1 - mean) * spread, (2, wells)))
        tables = np.zeros((2, wells, 2, 2))
        for k in (0, 1):
            tables[k, :, k, k], tables[k, :, k, 1 - k] = right[k], 50 - right[k]
        low, high = limits(tables.reshape(-1, 2, 2))["accuracy_ci"]
        held += low <= mean <= high
    assert held >= 90
