"""The figures in metrics.json, against values worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from nucprof.errors import DataError
from nucprof.learn.evaluate import (
    combine_runs,
    confusion_per_well,
    density_strata,
    pr_curves,
    predictions_frame,
    roc_curves,
    run_metrics,
    score,
)
from nucprof.plate.columns import CELL, DENSITY, PLATE, TARGET, WELL

CLASSES = ["astro", "neuro"]
CELLS = pd.DataFrame(
    {
        PLATE: "rep1",
        WELL: ["B02", "B02", "B03", "B03"],
        CELL: ["B-02-01_0001", "B-02-01_12345", "B-03-01_0002", "B-03-01_0009"],
        TARGET: ["astro", "neuro", "astro", "neuro"],
    }
)
PROBABILITIES = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.45, 0.55]])


def frame(**extra):
    return predictions_frame(CELLS, PROBABILITIES, CLASSES, seed=3, **({"part": "test"} | extra))


def test_predictions_have_the_promised_columns():
    assert list(frame().columns) == [
        "plate", "ROI_img_name", "well", "true_condition", "predicted", "p_astro", "p_neuro",
        "part", "seed",
    ]  # fmt: skip
    assert frame()["predicted"].tolist() == ["astro", "neuro", "neuro", "neuro"]
    assert frame(fold=pd.Series([0, 1, 0, 1], index=[9, 8, 7, 6]))["fold"].tolist() == [0, 1, 0, 1]


def test_scores_by_hand():
    # astro: TP 1, FN 1 -> F1 2/3; neuro: TP 2, FP 1 -> F1 4/5
    result = score(frame()["true_condition"], frame()["predicted"], CLASSES)
    assert result["f1_macro"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert result["accuracy"] == 0.75
    assert result["confusion_matrix"] == [[1, 1], [0, 2]]


def test_rows_of_the_confusion_matrix_are_true_and_follow_classes():
    assert score(["a", "a", "b"], ["b", "b", "b"], ["b", "a"])["confusion_matrix"] == [
        [1, 0],
        [2, 0],
    ]


def run(seed, f1, n_test=10):
    return {
        "seed": seed, "f1_macro": f1, "accuracy": f1, "f1_per_class": {"astro": f1, "neuro": f1},
        "confusion_matrix": [[n_test - 1, 0], [1, 0]], "classes": CLASSES, "n_train": 5 + seed,
        "n_test": n_test, "evaluation": "cv", "split_unit": "well", "f1_macro_permuted": 0.5,
        "device": "cpu", "fit_seconds": 1.0,
    }  # fmt: skip


def test_seeds_are_averaged_and_kept():
    metrics = combine_runs([run(0, 0.8), run(2, 0.9)])
    assert metrics["f1_macro"] == pytest.approx(0.85)
    assert metrics["f1_macro_std"] == pytest.approx(0.05)
    assert metrics["confusion_matrix"] == [[18, 0], [2, 0]]
    assert metrics["n_test"] == np.sum(metrics["confusion_matrix"])
    assert metrics["n_train"] == 6
    assert [r["seed"] for r in metrics["seeds"]] == [0, 2]
    assert set(metrics) - {"seeds", "f1_macro_std"} == set(metrics["seeds"][0]) - {"seed"}


def test_a_run_is_one_seed():
    given = {
        "n_train": 4, "evaluation": "cv", "split_unit": "well", "f1_macro_permuted": None,
        "device": "cpu", "fit_seconds": 0.1,
    }  # fmt: skip
    metrics = run_metrics(frame(), CLASSES, **given)
    assert (metrics["seed"], metrics["n_test"], metrics["accuracy"]) == (3, 4, 0.75)
    with pytest.raises(ValueError, match="one seed"):
        run_metrics(pd.concat([frame(), frame().assign(seed=4)]), CLASSES, **given)


def test_confusion_per_well_adds_up():
    per_well = confusion_per_well(frame(), CLASSES)
    assert [(w["plate"], w["well"]) for w in per_well] == [("rep1", "B02"), ("rep1", "B03")]
    assert per_well[0]["confusion_matrix"] == [[1, 0], [0, 1]]
    assert per_well[1]["confusion_matrix"] == [[0, 1], [0, 1]]


def test_curves_of_a_perfect_and_a_useless_classifier():
    perfect = roc_curves(frame(), CLASSES)["astro"]
    # astro gets 0.9 and 0.4, neuro 0.2 and 0.45 as p_astro: 3 of 4 pairs in order
    assert perfect["area"] == pytest.approx(0.75)
    useless = frame().assign(p_astro=0.5)
    assert roc_curves(useless, CLASSES)["astro"]["area"] == pytest.approx(0.5)
    precision = pr_curves(useless, CLASSES)["astro"]
    assert precision["base"] == 0.5
    assert precision["area"] == pytest.approx(0.5)


def test_a_class_without_cells_has_no_curve():
    only = frame().assign(true_condition="astro")
    assert roc_curves(only, CLASSES) == {}
    assert pr_curves(only, CLASSES) == {}


def test_density_strata_never_divide_a_density():
    cells = pd.DataFrame({DENSITY: [10] * 4 + [20] * 4 + [30] * 4})
    frame = pd.DataFrame({"true_condition": ["a", "b"] * 6, "predicted": ["a"] * 12})
    strata = density_strata(cells, frame, ["a", "b"], 3)
    assert [(s["low"], s["high"], s["n"], s["accuracy"]) for s in strata] == [
        (10, 10, 4, 0.5), (20, 20, 4, 0.5), (30, 30, 4, 0.5),
    ]  # fmt: skip
    assert len(density_strata(cells[:4], frame[:4], ["a", "b"], 3)) == 1
    with pytest.raises(DataError, match=DENSITY):
        density_strata(cells.drop(columns=DENSITY), frame, ["a", "b"], 3)
