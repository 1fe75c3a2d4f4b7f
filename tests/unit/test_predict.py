"""Predictions of a saved model, and what they say about a well."""

import numpy as np
import pandas as pd
import pytest

from nucprof.errors import DataError, ModelError
from nucprof.learn.model_files import model_files
from nucprof.learn.predict import compositions, load_classifier, prediction_table
from nucprof.plate.columns import CELL, PLATE, WELL

CLASSES = ["astro", "neuro"]
CELLS = pd.DataFrame({
    PLATE: "p1", WELL: ["B02", "B02", "B03", "B03"],
    CELL: ["B-02-01_0001", "B-02-01_0007", "B-03-01_0001", "B-03-01_12345"],
})  # fmt: skip
PROBABILITIES = np.array([[0.95, 0.05], [0.45, 0.55], [0.1, 0.9], [0.7, 0.3]])
UNSEEN = [{"plate": "p0", "well": "C02", "confusion_matrix": [[90, 10], [20, 80]]}]


def test_cells_below_the_confidence_are_uncertain_and_keep_their_most_likely_class():
    table = prediction_table(CELLS, PROBABILITIES, CLASSES, confidence=0.8)
    assert table["predicted"].tolist() == ["astro", "uncertain", "neuro", "uncertain"]
    assert table["most_likely"].tolist() == ["astro", "neuro", "neuro", "astro"]
    np.testing.assert_allclose(table["confidence"], [0.95, 0.55, 0.9, 0.7])
    assert "uncertain" not in set(
        prediction_table(CELLS, PROBABILITIES, CLASSES, confidence=0)["predicted"]
    )


def test_no_cells_no_rows():
    assert len(prediction_table(CELLS[:0], np.empty((0, 2)), CLASSES, confidence=0.5)) == 0


def test_composition_counts_all_cells_and_corrects_for_errors():
    predictions = prediction_table(
        pd.concat([CELLS.iloc[[0]]] * 70 + [CELLS.iloc[[1]]] * 30),
        np.repeat(PROBABILITIES[[0, 1]], [70, 30], axis=0), CLASSES, confidence=0.8,
    )  # fmt: skip
    table = compositions(predictions, CLASSES, UNSEEN, bootstrap=300, seed=0)
    assert table["class"].tolist() == CLASSES
    assert table["n_cells"].tolist() == [100, 100]
    assert table["n_predicted"].tolist() == [70, 30]
    assert table["n_uncertain"].tolist() == [30, 30]
    # 0.3 called neuro; 0.1 of astro and 0.8 of neuro are called so
    np.testing.assert_allclose(table["share"], [1 - 0.2 / 0.7, 0.2 / 0.7])
    assert (table["low"] < table["share"]).all()
    assert (table["share"] < table["high"]).all()


def test_wells_of_plates_with_the_same_names_stay_apart():
    both = pd.concat([CELLS, CELLS.assign(**{PLATE: "p2"})])
    predictions = prediction_table(
        both, np.concatenate([PROBABILITIES, PROBABILITIES[::-1]]), CLASSES, confidence=0
    )
    table = compositions(predictions, CLASSES, UNSEEN, bootstrap=100, seed=0)
    assert len(table) == 2 * 2 * 2
    assert table["n_cells"].eq(2).all()


def test_confusion_of_other_classes_is_refused():
    predictions = prediction_table(CELLS, PROBABILITIES, CLASSES, confidence=0)
    wrong = [{"confusion_matrix": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}]
    with pytest.raises(DataError, match="do not fit its classes"):
        compositions(predictions, CLASSES, wrong, bootstrap=100, seed=0)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"predict\.model: there is no trained model"):
        load_classifier(tmp_path)
    (tmp_path / "model.json").touch()
    assert [path.name for path in model_files(tmp_path)] == ["model.json", "model.safetensors"]
    (tmp_path / "model.skops").touch()
    assert [path.name for path in model_files(tmp_path)] == ["model.skops"]
