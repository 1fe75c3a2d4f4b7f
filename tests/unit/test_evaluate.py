"""The figures in metrics.json, against values worked out by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from nucprof.errors import DataError
from nucprof.learn.chance import Chance
from nucprof.learn.evaluate import (
    chance_metrics,
    combine_runs,
    confusion_per_well,
    density_strata,
    pr_curves,
    predictions_frame,
    roc_curves,
    run_metrics,
    score,
)
from nucprof.learn.report import describe_metrics, few_wells
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


GIVEN = {
    "n_train": 4, "evaluation": "cv", "split_unit": "well", "chance": None, "device": "cpu",
    "fit_seconds": 0.1,
}  # fmt: skip


def test_a_run_is_one_seed():
    metrics = run_metrics(frame(), CLASSES, **GIVEN)
    assert (metrics["seed"], metrics["n_test"], metrics["accuracy"]) == (3, 4, 0.75)
    assert metrics["wells_per_class"] == {"astro": 2, "neuro": 2}
    assert metrics["f1_macro_ci"][0] <= metrics["f1_macro"] <= metrics["f1_macro_ci"][1]
    with pytest.raises(ValueError, match="one seed"):
        run_metrics(pd.concat([frame(), frame().assign(seed=4)]), CLASSES, **GIVEN)


def test_seeds_are_averaged_and_kept():
    one, two = frame(), frame().assign(seed=4, predicted=CELLS[TARGET].to_numpy())
    chance = Chance(p_value=0.1, p_value_min=0.05, mean=0.5, reach=0.7, arrangements=20)
    runs = [
        run_metrics(one, CLASSES, **(GIVEN | {"chance": chance})),
        run_metrics(two, CLASSES, **(GIVEN | {"n_train": 8})),
    ]
    metrics = combine_runs(runs, pd.concat([one, two]))
    # 11/15 by hand above, and no error
    assert metrics["f1_macro"] == pytest.approx((11 / 15 + 1) / 2)
    assert metrics["f1_macro_std"] == pytest.approx((1 - 11 / 15) / 2)
    assert metrics["accuracy"] == 0.875
    assert metrics["accuracy_ci"][0] < 0.875 < metrics["accuracy_ci"][1]
    assert metrics["confusion_matrix"] == [[3, 1], [0, 4]]
    assert metrics["n_test"] == np.sum(metrics["confusion_matrix"])
    assert metrics["n_train"] == 6
    assert (metrics["p_value"], metrics["p_value_min"], metrics["f1_macro_permuted"]) == (
        0.1, 0.05, 0.5,
    )  # fmt: skip
    assert [r["seed"] for r in metrics["seeds"]] == [3, 4]
    assert set(metrics) - {"seeds", "f1_macro_std"} == set(metrics["seeds"][0]) - {"seed"}


def test_the_printed_lines_say_what_few_wells_allow():
    metrics = combine_runs([run_metrics(frame(), CLASSES, **GIVEN)], frame())
    chance = Chance(p_value=0.3, p_value_min=0.01, mean=0.5, reach=0.7, arrangements=100)
    quality, line = describe_metrics(metrics | chance_metrics(chance))
    assert "macro-F1 0.733 (95% " in quality
    assert "on 4 cells of unseen wells (2 of astro, 2 of neuro)" in quality
    assert line.startswith("within chance: p = 0.3 (")
    assert "at most 0.700" in line
    beyond = chance_metrics(replace(chance, p_value=0.01))
    assert describe_metrics(metrics | beyond)[1].startswith("better than chance: p = 0.01")
    few = chance_metrics(replace(chance, p_value=0.1, p_value_min=0.1))
    assert describe_metrics(metrics | few)[1].startswith("too few wells to tell it from chance")
    (warning,) = few_wells(metrics)
    assert "astro 2, neuro 2" in warning
    assert few_wells(metrics | {"wells_per_class": {"astro": 4, "neuro": 5}}) == []


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
    assert strata[0]["recall_per_class"] == {"a": 1, "b": 0}
    assert strata[0]["recall_macro"] == 0.5
    assert len(density_strata(cells[:4], frame[:4], ["a", "b"], 3)) == 1
    with pytest.raises(DataError, match=DENSITY):
        density_strata(cells.drop(columns=DENSITY), frame, ["a", "b"], 3)


def test_a_perfect_classifier_is_perfect_in_strata_of_one_class():
    cells = pd.DataFrame({DENSITY: [10] * 6 + [20] * 4})
    truth = ["a"] * 6 + ["b"] * 4
    frame = pd.DataFrame({"true_condition": truth, "predicted": truth})
    sparse, dense = density_strata(cells, frame, ["a", "b"], 2)
    assert sparse["recall_macro"] == dense["recall_macro"] == 1
    assert sparse["f1_macro"] == dense["f1_macro"] == 1
    assert sparse["cells_per_class"] == {"a": 6, "b": 0}
    assert dense["recall_per_class"] == {"b": 1}
