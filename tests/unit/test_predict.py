"""Predictions of a saved model, and what they say about a well."""

import numpy as np
import pandas as pd
import pytest

from nucprof.errors import DataError, ModelError
from nucprof.learn.composition import Known, cautions, compositions
from nucprof.learn.forest.model import ForestModel
from nucprof.learn.model_files import model_files
from nucprof.learn.predict import (
    add_confidence_in_well,
    load_classifier,
    prediction_table,
    refuse_erased,
)
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
    table = compositions(predictions, CLASSES, Known(UNSEEN), bootstrap=300, seed=0)
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
    table = compositions(predictions, CLASSES, Known(UNSEEN), bootstrap=100, seed=0)
    assert len(table) == 2 * 2 * 2
    assert table["n_cells"].eq(2).all()


def test_confusion_of_other_classes_is_refused():
    predictions = prediction_table(CELLS, PROBABILITIES, CLASSES, confidence=0)
    wrong = [{"confusion_matrix": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}]
    with pytest.raises(DataError, match="do not fit its classes"):
        compositions(predictions, CLASSES, Known(wrong), bootstrap=100, seed=0)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"predict\.model: there is no trained model"):
        load_classifier(tmp_path)
    (tmp_path / "model.json").touch()
    assert [path.name for path in model_files(tmp_path)] == ["model.json", "model.safetensors"]
    (tmp_path / "model.skops").touch()
    assert [path.name for path in model_files(tmp_path)] == ["model.skops"]


def predicted(wells, plate="p1", **more):
    """Predictions of wells, given as (well, cells called astro, cells called neuro)."""
    rows = [
        (plate, well, f"{well[0]}-{well[1:]}-01_{i:04d}", called)
        for well, *counts in wells
        for i, called in enumerate(np.repeat([0, 1], counts))
    ]
    table = pd.DataFrame(rows, columns=[PLATE, WELL, CELL, "called"])
    probabilities = np.where(table["called"].to_numpy()[:, None] == [0, 1], 0.9, 0.1)
    return prediction_table(table, probabilities, CLASSES, confidence=0, **more)


WELLS = [{"plate": "p0", "well": f"C{i:02d}", "confusion_matrix": [[95, 5], [5, 95]]}
         for i in range(2, 8)]  # fmt: skip


def of(table, well, name="neuro"):
    return table[(table["well"] == well) & (table["class"] == name)].iloc[0]


def test_the_shift_of_a_plate_is_corrected_by_its_reference_wells():
    # on the new plate 20% of astro are called neuro: of 100 cells, half of each, 20 / 2 + 49
    cells = predicted([("B02", 240, 60), ("B03", 240, 60), ("C02", 4, 296), ("C03", 4, 296),
                       ("D02", 41, 59)])  # fmt: skip
    cultures = {("p1", "B02"): "astro", ("p1", "B03"): "astro", ("p1", "C02"): "neuro",
                ("p1", "C03"): "neuro", ("p1", "D02"): "co-culture"}  # fmt: skip
    references = {well: name for well, name in cultures.items() if name in CLASSES}
    with_own = compositions(
        cells, CLASSES, Known(WELLS, cultures=cultures, references=references),
        bootstrap=300, seed=0,
    )  # fmt: skip
    without = compositions(cells, CLASSES, Known(WELLS), bootstrap=300, seed=0)
    assert of(without, "D02")["share"] == pytest.approx(0.6, abs=0.01)
    assert of(with_own, "D02")["share"] == pytest.approx(0.5, abs=0.02)
    assert of(with_own, "D02")["culture"] == "co-culture"
    assert of(with_own, "D02")["reference_wells"] == 6 + 2
    assert of(with_own, "D02")["plate_reference_wells"] == 2
    assert of(with_own, "D02")["note"] == ""
    assert of(without, "D02")["note"] == "no reference well on this plate"
    assert not cautions(with_own)
    assert "no reference wells on plate(s) p1" in cautions(without)[0]


def test_a_reference_well_is_judged_by_the_others():
    # B02 is a third neuro, although the layout calls it astro
    cells = predicted([("B02", 200, 100), ("B03", 285, 15), ("B04", 285, 15), ("C02", 15, 285),
                       ("C03", 15, 285)])  # fmt: skip
    references = {("p1", f"B{i:02d}"): "astro" for i in (2, 3, 4)}
    references |= {("p1", f"C{i:02d}"): "neuro" for i in (2, 3)}
    table = compositions(cells, CLASSES, Known(WELLS, references=references), bootstrap=300, seed=0)
    assert of(table, "B02")["share"] == pytest.approx((1 / 3 - 0.05) / 0.9, abs=0.02)
    assert of(table, "B02")["plate_reference_wells"] == 2
    assert of(table, "B02", "astro")["plate_reference_wells"] == 2


def test_on_the_plate_of_the_training_its_unseen_wells_are_the_reference():
    table = compositions(
        predicted([("D02", 50, 50)], plate="p0"), CLASSES,
        Known(WELLS, seen_plates={"p0"}, references={("p0", "D02"): "astro"}),
        bootstrap=200, seed=0,
    )  # fmt: skip
    assert table["plate_reference_wells"].tolist() == [6, 6]
    # a plate that only has the name is another plate
    table = compositions(
        predicted([("D02", 50, 50)], plate="p0"), CLASSES, Known(WELLS), bootstrap=200, seed=0
    )
    assert table["plate_reference_wells"].tolist() == [0, 0]


def test_few_reference_wells_and_cells_trained_on_are_told():
    source = np.array(["trained_on"] * 3 + ["out_of_fold"] * 7)
    cells = predicted([("D02", 5, 5)], source=source)
    table = compositions(cells, CLASSES, Known(UNSEEN), bootstrap=200, seed=0)
    row = of(table, "D02")
    assert row["note"] == "no reference well on this plate; 1 reference wells, fewer than 4"
    assert (row["n_out_of_fold"], row["n_trained_on"]) == (7, 3)
    lines = cautions(table)
    assert any(
        "fewer than 4 reference wells tell the errors of: astro 1, neuro 1" in s for s in lines
    )
    assert any("3 cells of 1 wells, e.g. p1/D02" in line for line in lines)


def test_confidence_in_a_well_is_bayes_rule_with_the_wells_shares():
    cells = predicted([("D02", 98, 2)])
    shares = pd.DataFrame({"plate": "p1", "well": "D02", "class": CLASSES, "share": [0.98, 0.02]})
    table = add_confidence_in_well(cells, shares, CLASSES, np.array([0.5, 0.5]))
    # 9 : 1 in its favour against 98.5 : 2.5 cells
    rare = table[table["most_likely"] == "neuro"]["confidence_in_well"]
    np.testing.assert_allclose(rare, 9 * 2.5 / (9 * 2.5 + 98.5))
    np.testing.assert_allclose(table["confidence"], 0.9)
    assert list(table.columns)[5:7] == ["confidence", "confidence_in_well"]


def test_a_model_that_scales_wells_by_themselves_is_refused():
    model = ForestModel(None, ["f"], "well", CLASSES)
    with pytest.raises(ModelError, match=r'scaling = "well".*their composition cannot be told'):
        refuse_erased(model)
    refuse_erased(ForestModel(None, ["f"], "plate", CLASSES))
