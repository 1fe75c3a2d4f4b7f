"""The forest learns what is there, nothing where nothing is, and only from its training wells."""

import zipfile

import numpy as np
import pandas as pd
import pytest
from trainings import training

from nucprof.config.models import ForestSettings
from nucprof.errors import DataError, ModelError
from nucprof.learn.forest import chance as forest_chance
from nucprof.learn.forest import fit as forest_fit
from nucprof.learn.forest import importance
from nucprof.learn.forest.evaluate import evaluate_forest
from nucprof.learn.forest.fit import Shape, fit_forest, predict_proba, search_shape
from nucprof.learn.forest.model import ForestModel, load_forest
from nucprof.learn.split import attach
from nucprof.plate.columns import CELL, PLATE, REFERENCE, TARGET, WELL

TRAINING = training()
FEATURES = ["Nuclei_AreaShape_Area", "Nuclei_Intensity_MeanIntensity_DNA", "Nuclei_Texture_ASM_DNA"]


@pytest.fixture(autouse=True, scope="module")
def small_forests():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forest_fit, "TREES", (5, 10))
        patch.setattr(forest_fit, "SEARCH_TREES", 5)
        patch.setattr(forest_fit, "SHAPES", ((2, 1), (None, 1)))
        patch.setattr(importance, "REPEATS", 2)
        patch.setattr(forest_chance, "ARRANGEMENTS", 9)
        patch.setattr(forest_chance, "SHAPE", Shape(3, None, 5))
        yield


def plate(wells, *, per_class=15, separation=3.0, well_effect=0.0, seed=0):
    """Cells of mixed wells: the second feature tells the classes apart, the others are noise."""
    rng = np.random.default_rng(seed)
    rows = []
    for well, classes in wells.items():
        offset = well_effect * rng.normal()
        for label in range(per_class * len(classes)):
            name = classes[label % len(classes)]
            mean = separation * (name == "neuro") + offset
            noise = rng.normal(size=3)
            rows.append((
                "rep1", well, f"{well[0]}-{well[1:]}-01_{2 * label + 1:04d}", name,
                noise[0], noise[1] + mean, noise[2],
            ))  # fmt: skip
    return pd.DataFrame(rows, columns=[PLATE, WELL, CELL, TARGET, *FEATURES])


BOTH = ("astro", "neuro")
MIXED = plate({f"D{i:02d}": BOTH for i in range(2, 8)})
MONO = plate({"B02": BOTH[:1], "B03": BOTH[:1], "C02": BOTH[1:], "C03": BOTH[1:]}, per_class=30)


@pytest.fixture(scope="module")
def result(small_forests):
    return evaluate_forest(MIXED, FEATURES, ForestSettings(), TRAINING, culture="mixed")


def test_cross_validation_predicts_every_cell_once_by_a_model_that_has_not_seen_its_well(result):
    assert sorted(result.predictions["ROI_img_name"]) == sorted(MIXED[CELL])
    fold = attach(MIXED, result.split, "fold")
    by_cell = result.predictions.set_index("ROI_img_name")["fold"]
    np.testing.assert_array_equal(fold, by_cell.loc[MIXED[CELL]])
    metrics = result.metrics
    assert metrics["f1_macro"] > 0.85
    assert metrics["evaluation"] == "cv"
    assert metrics["n_test"] == len(MIXED) == np.sum(metrics["confusion_matrix"])
    assert 0.3 < metrics["f1_macro_permuted"] < 0.7
    assert metrics["split"]["evaluation"] == "split"
    assert metrics["split"]["n_test"] == 2 * 30


def test_noise_gives_chance():
    noise = plate({f"D{i:02d}": BOTH for i in range(2, 8)}, separation=0, per_class=40)
    metrics = evaluate_forest(noise, FEATURES, ForestSettings(), TRAINING, culture="mixed").metrics
    assert 0.4 < metrics["f1_macro"] < 0.6


def test_split_evaluation_trains_on_train_and_tests_on_test():
    settings = ForestSettings(evaluation="split")
    seeds = training(seeds=[1, 2])
    result = evaluate_forest(MIXED, FEATURES, settings, seeds, culture="mixed")
    for seed in (1, 2):
        split = result.split[result.split["seed"] == seed]
        tested = result.predictions[result.predictions["seed"] == seed]
        assert set(tested["well"]) == set(split["well"][split["part"] == "test"])
        assert set(tested["part"]) == {"test"}
    runs = result.metrics["seeds"]
    assert [run["seed"] for run in runs] == [1, 2]
    assert result.metrics["split"]["f1_macro"] == result.metrics["f1_macro"]
    # of 6 wells 1 validates and 2 test: 3 wells of 30 cells are trained on
    assert [(run["n_train"], run["n_test"]) for run in runs] == [(90, 60), (90, 60)]


@pytest.mark.parametrize(("sample", "n_train"), [(10, 20), ("oversampling", 90)])
def test_only_the_training_part_is_sampled(sample, n_train):
    few = MIXED[(MIXED[TARGET] == "neuro") | (MIXED[CELL].str[-2:].astype(int) < 20)]
    settings, sampled = ForestSettings(evaluation="split"), training(sample=sample)
    metrics = evaluate_forest(few, FEATURES, settings, sampled, culture="mixed").metrics
    assert metrics["n_train"] == n_train
    # the published script multiplies the tested cells as well
    assert metrics["n_test"] == len(few) / 6 * 2


def test_same_seed_same_numbers_for_any_row_order(result):
    shuffled = MIXED.sample(frac=1, random_state=0)
    again = evaluate_forest(shuffled, FEATURES, ForestSettings(), TRAINING, culture="mixed")
    pd.testing.assert_frame_equal(result.predictions, again.predictions)
    pd.testing.assert_frame_equal(result.importances, again.importances)


def test_the_seed_matters_and_the_number_of_threads_does_not():
    values = MIXED[FEATURES].to_numpy()
    guesses = [
        predict_proba(
            fit_forest(MIXED, FEATURES, ForestSettings(), TRAINING, seed=s, n_jobs=n).forest,
            values,
            n,
        )
        for n, s in ((1, 0), (2, 0), (1, 7))
    ]
    np.testing.assert_array_equal(guesses[0], guesses[1])
    assert not np.allclose(guesses[0], guesses[2])


def test_prediction_in_chunks_and_threads_equals_the_trees_mean(monkeypatch):
    fitted = fit_forest(MIXED, FEATURES, ForestSettings(), TRAINING, seed=0)
    values = MIXED[FEATURES].to_numpy()
    slow = np.mean([tree.predict_proba(values) for tree in fitted.forest.estimators_], axis=0)
    monkeypatch.setattr(forest_fit, "_PREDICT_ROWS", 7)
    for jobs in (1, 3):
        np.testing.assert_allclose(predict_proba(fitted.forest, values, jobs), slow, atol=1e-12)


def test_the_searched_shape_is_the_one_used():
    # The published script searches the number of trees and then fits 100 trees of depth 2.
    fitted = fit_forest(MIXED, FEATURES, ForestSettings(), TRAINING, seed=0)
    assert len(fitted.forest.estimators_) == fitted.shape.trees
    assert fitted.forest.max_depth == fitted.shape.depth
    assert fitted.forest.min_samples_leaf == fitted.shape.min_leaf
    assert fitted.searched_on == "wells"


def test_the_search_prefers_what_generalises_and_looks_at_no_other_well(monkeypatch):
    # The class is an exclusive or of two features: depth 1 cannot tell, depth without limit can.
    rng = np.random.default_rng(1)
    values = rng.choice([-1.0, 1.0], size=(400, 2)) + rng.normal(scale=0.2, size=(400, 2))
    cells = pd.DataFrame({
        PLATE: "rep1", WELL: [f"D{i % 4 + 1:02d}" for i in range(400)],
        CELL: [f"D-01-01_{i:04d}" for i in range(400)],
        TARGET: np.where(values.prod(axis=1) > 0, "astro", "neuro"),
    })  # fmt: skip
    monkeypatch.setattr(forest_fit, "SHAPES", ((1, 1), (None, 1)))
    shape, _ = search_shape(values, cells, "well", seed=0)
    assert shape.depth is None


def test_one_training_well_per_class_searches_out_of_bag(monkeypatch):
    monkeypatch.setattr(forest_fit, "TREES", (40, 50))
    monkeypatch.setattr(forest_fit, "SEARCH_TREES", 40)
    cells = MONO[MONO[WELL].isin(["B02", "C02"])]
    assert fit_forest(cells, FEATURES, ForestSettings(), TRAINING, seed=0).searched_on == "oob"


def test_importance_finds_the_feature_that_matters(result):
    table = result.importances
    assert list(table.columns) == ["feature", "impurity", "permutation"]
    assert table["feature"][0] == FEATURES[1]
    assert table["permutation"].idxmax() == 0
    assert table["permutation"][0] > 0.2
    assert table["permutation"][1:].abs().max() < 0.1


def test_only_the_leading_features_are_permuted_and_the_others_left_as_they_are(monkeypatch):
    monkeypatch.setattr(importance, "FEATURES", 1)
    settings = ForestSettings(evaluation="split")
    table = evaluate_forest(MIXED, FEATURES, settings, TRAINING, culture="mixed").importances
    assert table["permutation"].notna().tolist() == [True, False, False]
    # what separates the classes almost without error is lost altogether: F1 falls to about a half
    assert 0.3 < table["permutation"][0] < 0.65


def test_train_on_mono_test_on_mixed_and_the_reverse():
    result = evaluate_forest(
        MONO, FEATURES, ForestSettings(), TRAINING, culture="mono", test_cells=MIXED
    )
    assert set(result.predictions["ROI_img_name"]) == set(MIXED[CELL])
    assert result.metrics["evaluation"] == "across"
    assert result.metrics["f1_macro"] > 0.85
    assert "split" not in result.metrics
    back = evaluate_forest(
        MIXED, FEATURES, ForestSettings(), TRAINING, culture="mixed", test_cells=MONO
    )
    assert back.metrics["n_test"] == len(MONO)


def test_testing_on_trained_wells_or_untrained_classes_is_refused():
    with pytest.raises(DataError, match="overlap"):
        evaluate_forest(
            MIXED, FEATURES, ForestSettings(), TRAINING, culture="mixed", test_cells=MIXED
        )
    other = MONO.assign(**{TARGET: "glia"})
    with pytest.raises(DataError, match="not trained: glia"):
        evaluate_forest(
            MIXED, FEATURES, ForestSettings(), TRAINING, culture="mixed", test_cells=other
        )


def test_too_few_wells_for_a_split_still_cross_validates_and_says_so(monkeypatch):
    monkeypatch.setattr(forest_fit, "TREES", (40, 50))
    monkeypatch.setattr(forest_fit, "SEARCH_TREES", 40)
    result = evaluate_forest(MONO, FEATURES, ForestSettings(), TRAINING, culture="mono")
    assert result.metrics["f1_macro"] > 0.85
    assert "astro 2, neuro 2" in result.metrics["split"]["not_done"]
    with pytest.raises(DataError, match="astro 2, neuro 2"):
        evaluate_forest(
            MONO, FEATURES, ForestSettings(evaluation="split"), TRAINING, culture="mono"
        )


def references(cells):
    """Monoculture wells of every plate of some cells, moved as these are."""
    mono = MONO.assign(**{REFERENCE: MONO[TARGET]})
    return pd.concat([mono.assign(**{PLATE: name}) for name in cells[PLATE].unique()])


def test_scaling_by_plate_takes_out_a_plates_brightness(monkeypatch):
    monkeypatch.setattr(forest_fit, "TREES", (40, 50))
    monkeypatch.setattr(forest_fit, "SEARCH_TREES", 40)
    light = {"rep1": (0, 1), "rep2": (100, 5), "rep3": (-50, 0.1)}

    def on_plates(cells):
        parts = [
            cells.assign(**{PLATE: name, FEATURES[1]: start + gain * cells[FEATURES[1]]})
            for name, (start, gain) in light.items()
        ]
        return pd.concat(parts)

    cells, mono = on_plates(MIXED), on_plates(MONO).assign(**{REFERENCE: list(MONO[TARGET]) * 3})
    plates, unseen = ForestSettings(scaling="plate"), training(split_unit="plate")
    scaled = evaluate_forest(cells, FEATURES, plates, unseen, culture="mixed", reference=mono)
    assert scaled.metrics["f1_macro"] > 0.85
    assert scaled.model.cultures == list(BOTH)
    unscaled = evaluate_forest(cells, FEATURES, ForestSettings(), unseen, culture="mixed")
    assert unscaled.metrics["f1_macro"] < 0.6
    with pytest.raises(DataError, match="plate rep1 has no reference well"):
        evaluate_forest(cells, FEATURES, plates, unseen, culture="mixed")


def test_a_plate_is_scaled_by_its_reference_wells_whatever_it_holds():
    settings = ForestSettings(scaling="plate")
    model = evaluate_forest(
        MIXED, FEATURES, settings, TRAINING, culture="mixed", reference=references(MIXED)
    ).model
    mono = references(MIXED)
    # 98 of 100 cells are astro: scaled by all cells of its plate, half of them would look neuro
    rare = pd.concat([
        plate({"E02": BOTH[:1]}, per_class=98, seed=5),
        plate({"E03": BOTH[1:]}, per_class=2, seed=6),
    ])  # fmt: skip
    likely = model.predict_proba(pd.concat([mono, rare]))[len(mono) :]
    assert (likely.argmax(axis=1) == 1).mean() < 0.2
    np.testing.assert_array_equal(
        likely, model.predict_proba(pd.concat([mono, rare[:50], rare[50:]]))[len(mono) :]
    )
    with pytest.raises(DataError, match="plate rep1 has no reference well of astro, neuro"):
        model.predict_proba(rare)


def test_features_of_channel_pairs_are_found_in_either_order():
    pair = "Nuclei_Correlation_Correlation_DNA_GFP"
    cells = MIXED.rename(columns={FEATURES[1]: pair})
    names = [FEATURES[0], pair, FEATURES[2]]
    model = evaluate_forest(cells, names, ForestSettings(), TRAINING, culture="mixed").model
    other = cells.rename(columns={pair: "Nuclei_Correlation_Correlation_GFP_DNA"})
    np.testing.assert_array_equal(model.predict_proba(other), model.predict_proba(cells))


def test_the_wells_trained_on_are_kept_with_the_model(result):
    kept = result.model.metadata["trained_wells"]
    assert [well["well"] for well in kept] == sorted(MIXED[WELL].unique())
    assert sum(result.model.prior) == pytest.approx(1)


def test_scaling_by_well_takes_out_well_effects_in_mixed_cultures_only():
    cells = plate({f"D{i:02d}": BOTH for i in range(2, 8)}, well_effect=20)
    settings = ForestSettings(scaling="well")
    result = evaluate_forest(cells, FEATURES, settings, TRAINING, culture="mixed")
    assert result.metrics["f1_macro"] > 0.85
    with pytest.raises(DataError, match="erases"):
        evaluate_forest(MONO, FEATURES, settings, TRAINING, culture="mono")


def test_missing_values_are_no_error():
    holes = MIXED.copy()
    holes.loc[::5, FEATURES[2]] = np.nan
    metrics = evaluate_forest(holes, FEATURES, ForestSettings(), TRAINING, culture="mixed").metrics
    assert metrics["f1_macro"] > 0.85


def test_model_file_round_trip(tmp_path):
    settings = ForestSettings(scaling="plate")
    reference = references(MIXED)
    model = evaluate_forest(
        MIXED, FEATURES, settings, TRAINING, culture="mixed", reference=reference
    ).model
    model.save(tmp_path / "model.skops")
    again = load_forest(tmp_path / "model.skops")
    assert (again.features, again.classes, again.scaling) == (FEATURES, list(BOTH), "plate")
    assert again.cultures == list(BOTH)
    cells = pd.concat([MIXED, reference])
    np.testing.assert_array_equal(again.predict_proba(cells), model.predict_proba(cells))
    assert again.metadata["metrics"]["f1_macro"] == model.metadata["metrics"]["f1_macro"]
    assert {w["well"] for w in again.metadata["unseen_wells"]} == set(MIXED[WELL])


def test_a_table_without_a_feature_is_refused_by_name(result):
    model = result.model
    with pytest.raises(ModelError, match=FEATURES[1]):
        model.predict_proba(MIXED.drop(columns=FEATURES[1]))


def test_nothing_but_a_forest_is_loaded(tmp_path):
    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    path = tmp_path / "evil.skops"
    skops.io.dump({"schema": 1, "forest": FunctionTransformer(print)}, path)
    with pytest.raises(ModelError, match="more than a forest"):
        load_forest(path)
    path.write_bytes(b"no zip")
    with pytest.raises(ModelError, match="Is it a forest of nucprof's"):
        load_forest(path)
    with zipfile.ZipFile(path, "w"):
        pass
    with pytest.raises(ModelError, match="Is it a forest of nucprof's"):
        load_forest(path)
    with pytest.raises(ModelError, match="train rf"):
        load_forest(tmp_path / "none.skops")


def test_trees_with_indices_out_of_range_are_refused(tmp_path):
    # scikit-learn follows such an index outside its memory when it predicts.
    fitted = fit_forest(MIXED, FEATURES, ForestSettings(), TRAINING, seed=0)
    about = {"temperature": 1.0, "prior": [0.5, 0.5], "unseen_wells": [], "trained_wells": []}
    model = ForestModel(fitted.forest, FEATURES, "none", list(BOTH), metadata=about)
    tree = model.forest.estimators_[3].tree_
    state = tree.__getstate__()
    state["nodes"]["feature"][0] = 10_000
    tree.__setstate__(state)
    model.save(tmp_path / "model.skops")
    with pytest.raises(ModelError, match="do not fit together"):
        load_forest(tmp_path / "model.skops")
