"""Cells that a model was trained on are known again, and predicted by models that had not."""

import numpy as np
import pandas as pd
import pytest

from nucprof.learn.out_of_fold import (
    first_of_each_cell,
    replace_seen,
    trained_wells,
    wells_seen,
)
from nucprof.plate.columns import CELL, PLATE, WELL

CELLS = pd.DataFrame({
    PLATE: "p1", WELL: ["B02", "B02", "B03", "B03"],
    CELL: ["B-02-01_0001", "B-02-01_0007", "B-03-01_0001", "B-03-01_0004"],
})  # fmt: skip
VALUES = np.arange(8.0).reshape(4, 2)
TRAINED = trained_wells(CELLS, lambda numbers: VALUES[numbers])
KEPT = pd.DataFrame({
    "plate": "p1", "ROI_img_name": ["B-02-01_0007", "B-03-01_0001"],
    "p_a": [0.9, 0.8], "p_b": [0.1, 0.2],
})  # fmt: skip
OWN = np.full((4, 2), 0.5)


def test_wells_trained_on_are_known_by_their_first_cell():
    assert [well["cell"] for well in TRAINED] == ["B-02-01_0001", "B-03-01_0001"]
    same, named = wells_seen(TRAINED, CELLS, lambda numbers: VALUES[numbers])
    assert same == {("p1", "B02"), ("p1", "B03")}
    assert not named


def test_another_plate_of_the_same_name_is_another_plate():
    others = VALUES + np.array([[0], [0], [1], [1]])
    same, named = wells_seen(TRAINED, CELLS, lambda numbers: others[numbers])
    assert (same, named) == ({("p1", "B02")}, {("p1", "B03")})
    gone = CELLS.iloc[1:]
    same, named = wells_seen(TRAINED, gone, lambda numbers: VALUES[1:][numbers])
    assert (same, named) == ({("p1", "B03")}, {("p1", "B02")})
    elsewhere = CELLS.assign(**{PLATE: "p2"})
    assert wells_seen(TRAINED, elsewhere, lambda numbers: VALUES[numbers]) == (set(), set())


def test_out_of_fold_predictions_take_the_place_of_the_models_own():
    found, source = replace_seen(OWN, CELLS, {("p1", "B02")}, KEPT, ["a", "b"])
    np.testing.assert_array_equal(found, [[0.5, 0.5], [0.9, 0.1], [0.5, 0.5], [0.5, 0.5]])
    assert source.tolist() == ["trained_on", "out_of_fold", "new", "new"]
    assert OWN[1, 0] == 0.5


@pytest.mark.parametrize("kept", [None, KEPT.iloc[:0]])
def test_a_model_without_its_evaluation_says_that_it_has_seen_the_cells(kept):
    found, source = replace_seen(OWN, CELLS, {("p1", "B03")}, kept, ["a", "b"])
    np.testing.assert_array_equal(found, OWN)
    assert source.tolist() == ["new", "new", "trained_on", "trained_on"]


def test_of_several_seeds_a_cell_keeps_the_first_prediction():
    later = KEPT.assign(p_a=0.3, p_b=0.7, seed=1)
    later.loc[1, "ROI_img_name"] = "B-03-01_0004"
    both = pd.concat([KEPT.assign(seed=0), later])
    found = first_of_each_cell(both)
    assert found["ROI_img_name"].tolist() == ["B-02-01_0007", "B-03-01_0001", "B-03-01_0004"]
    assert found["p_a"].tolist() == [0.9, 0.8, 0.3]
