"""The network on whole wells: same split as the forest, a model file that can be applied."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from trainings import training

from nucprof.config.by_mode import CropKind
from nucprof.config.models import CnnSettings
from nucprof.errors import DataError, ModelError
from nucprof.learn.cnn import evaluate as cnn_evaluate
from nucprof.learn.cnn.crop_data import CropsInMemory
from nucprof.learn.cnn.evaluate import evaluate_cnn
from nucprof.learn.cnn.model import load_cnn
from nucprof.learn.cnn.references import ReferenceCrops
from nucprof.learn.cnn.studies import SomeChannels
from nucprof.learn.split import split_wells
from nucprof.plate.columns import CELL, DENSITY, PLATE, REFERENCE, TARGET, WELL

SIZE = 12
KIND = CropKind(("DNA", "GFP"), "nucleocentric", SIZE, False)
SETTINGS = CnnSettings(
    epochs=3, batch_size=16, learning_rate=1e-2, architecture="resnet18", image_size=32,
)  # fmt: skip
TRAINING = training(sample=30)


def plate(wells=4, per_class=12, seed=0, row="D", classes=("astro", "neuro")):
    """Cells of mixed wells and their crops: the classes shine in different channels."""
    rng = np.random.default_rng(seed)
    rows = [
        ("rep1", f"{row}{w:02d}", f"{row}-{w:02d}-01_{2 * i + 1:04d}", classes[i % len(classes)], w)
        for w in range(2, 2 + wells)
        for i in range(len(classes) * per_class)
    ]
    cells = pd.DataFrame(rows, columns=[PLATE, WELL, CELL, TARGET, DENSITY])
    crops = rng.integers(90, 110, size=(len(cells), 2, SIZE, SIZE)).astype(np.uint16)
    lit = (cells[TARGET] == "neuro").to_numpy().astype(int)
    crops[np.arange(len(cells)), lit, 4:8, 4:8] += 500
    return cells, CropsInMemory(crops)


class Tiny(nn.Sequential):
    """Stands for resnet18 where speed matters more than the network."""

    def __init__(self, channels, classes):
        super().__init__(
            nn.Conv2d(channels, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(),
            nn.Linear(8, classes),
        )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def tiny_networks():
    def build(architecture, channels, classes, *, pretrained=None):
        return Tiny(channels, classes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cnn_evaluate, "build_network", build)
        patch.setattr("nucprof.learn.cnn.model.build_network", build)
        yield


CELLS, CROPS = plate()


@pytest.fixture(scope="module")
def result():
    return evaluate_cnn(CELLS, CROPS, KIND, SETTINGS, TRAINING, culture="mixed", device="cpu")


def test_it_is_judged_on_the_forests_split(result):
    expected = split_wells(CELLS, seed=0).assign(seed=0)
    pd.testing.assert_frame_equal(result.split, expected)
    tested = set(expected["well"][expected["part"] == "test"])
    assert set(result.predictions["well"]) == tested
    metrics = result.metrics
    assert metrics["evaluation"] == "split"
    assert metrics["n_test"] == len(result.predictions) == np.sum(metrics["confusion_matrix"])
    assert metrics["n_train"] == 48
    assert metrics["f1_macro"] > 0.9
    assert 0.3 < metrics["f1_macro_permuted"] < 0.7
    assert metrics["p_value"] == metrics["p_value_min"] == 0.001  # cells of mixed wells
    assert metrics["wells_per_class"] == {"astro": 1, "neuro": 1}
    assert metrics["f1_macro_ci"] is None
    assert metrics["device"] == "cpu"
    assert len(result.history) == 3


def test_probabilities_are_calibrated_and_sum_to_one(result):
    p = result.predictions[["p_astro", "p_neuro"]].to_numpy()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    run = result.metrics["seeds"][0]
    assert run["temperature"] == result.model.temperature


def test_only_the_training_part_is_sampled_and_seeds_differ():
    few = CnnSettings(epochs=1, batch_size=8, architecture="resnet18",
                      image_size=32)  # fmt: skip
    seeds = training(sample=5, seeds=[1, 2], density_strata=2)
    result = evaluate_cnn(CELLS, CROPS, KIND, few, seeds, culture="mixed", device="cpu")
    assert [run["n_train"] for run in result.metrics["seeds"]] == [10, 10]
    assert [run["n_test"] for run in result.metrics["seeds"]] == [24, 24]
    assert result.model.metadata["seed"] == 1
    assert sum(s["n"] for s in result.metrics["seeds"][0]["density_strata"]) == 24


def test_repeats_share_the_split_and_not_the_weights():
    twice = CnnSettings(epochs=1, batch_size=8, architecture="resnet18",
                        image_size=32, repeats=2)  # fmt: skip
    result = evaluate_cnn(CELLS, CROPS, KIND, twice, training(), culture="mixed", device="cpu")
    assert [(r["seed"], r["repeat"]) for r in result.metrics["seeds"]] == [(0, 0), (0, 1)]
    assert len(result.split) == 4
    one, two = (result.predictions[result.predictions["repeat"] == r] for r in (0, 1))
    assert set(one["ROI_img_name"]) == set(two["ROI_img_name"])
    assert not np.allclose(one["p_astro"], two["p_astro"])


def test_few_cells_are_learnt_in_the_steps_of_all(monkeypatch):
    learned = []

    def spy(network, inputs, train, validation, settings, **more):
        learned.append((train.numbers, settings))
        return original(network, inputs, train, validation, settings, **more)

    original = cnn_evaluate.train_network
    monkeypatch.setattr(cnn_evaluate, "train_network", spy)
    few = CnnSettings(epochs=1, batch_size=16, architecture="resnet18",
                      image_size=32, repeats=2)  # fmt: skip
    result = evaluate_cnn(
        CELLS, CROPS, KIND, few, training(), culture="mixed", device="cpu", per_class=4
    )
    assert [run["n_train"] for run in result.metrics["seeds"]] == [8, 8]
    chosen = []
    for numbers, settings in learned:
        assert len(numbers) == 48  # as without per_class: 3 steps of 16 in the only epoch
        assert settings == few
        cells, times = np.unique(numbers, return_counts=True)
        assert times.tolist() == [6] * 8
        assert CELLS.loc[cells, TARGET].value_counts().tolist() == [4, 4]
        chosen.append(set(cells))
    assert chosen[0] != chosen[1]


def test_train_on_one_culture_and_test_on_the_other():
    mono = [plate(2, 24, seed=s, row=r, classes=(c,)) for s, r, c in
            ((1, "B", "astro"), (2, "C", "neuro"))]  # fmt: skip
    cells = pd.concat([mono[0][0], mono[1][0], CELLS], ignore_index=True)
    crops = CropsInMemory(np.concatenate([mono[0][1].array, mono[1][1].array, CROPS.array]))
    tested = cells[WELL].str.startswith("D").to_numpy()
    result = evaluate_cnn(
        cells, crops, KIND, SETTINGS, training(), culture="mono", device="cpu", tested=tested
    )
    parts = result.split.groupby("part")["well"].apply(set)
    assert parts["test"] == set(CELLS[WELL])
    assert len(parts["train"]) == len(parts["validation"]) == 2
    assert result.metrics["evaluation"] == "across"
    assert result.metrics["f1_macro"] > 0.9


def test_rows_must_correspond_to_crops():
    with pytest.raises(ValueError, match="row by row"):
        evaluate_cnn(CELLS[::-1], CROPS, KIND, SETTINGS, TRAINING, culture="mixed", device="cpu")
    with pytest.raises(ValueError, match="row by row"):
        evaluate_cnn(CELLS[:5], CROPS, KIND, SETTINGS, TRAINING, culture="mixed", device="cpu")


def test_model_file_round_trip(result, tmp_path):
    model = result.model
    model.save(tmp_path)
    again = load_cnn(tmp_path)
    plates = CELLS[PLATE].to_numpy(dtype=str)
    one = model.logits(model.inputs(CROPS, plates, "cpu"))
    two = again.logits(again.inputs(CROPS, plates, "cpu"))
    np.testing.assert_array_equal(one, two)
    assert (again.classes, again.crops, again.temperature) == (
        model.classes, KIND, model.temperature,
    )  # fmt: skip
    assert again.metadata["metrics"]["f1_macro"] == result.metrics["f1_macro"]
    assert [w["well"] for w in again.metadata["unseen_wells"]] == sorted(
        set(result.predictions["well"])
    )


def test_the_saved_network_predicts_what_was_judged(result, tmp_path):
    result.model.save(tmp_path)
    model = load_cnn(tmp_path)
    logits = model.logits(model.inputs(CROPS, CELLS[PLATE].to_numpy(dtype=str), "cpu"))
    by_cell = pd.Series(logits.argmax(axis=1), index=CELLS[CELL])
    judged = result.predictions.set_index("ROI_img_name")["predicted"]
    np.testing.assert_array_equal(
        np.array(model.classes)[by_cell.loc[judged.index]], judged.to_numpy()
    )


def test_embeddings_are_what_goes_into_the_last_layer(result):
    model = result.model
    inputs = model.inputs(CROPS, CELLS[PLATE].to_numpy(dtype=str), "cpu")
    features = model.embed(inputs)
    head = model.network[-1]
    again = features @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    np.testing.assert_allclose(again, model.logits(inputs), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": ("DNA", "Cy5")}, r"GFP is missing"),
        ({"patch_size": 60}, r"patch_size 12, these are of 60; set crop\.patch_size to 12"),
        ({"region": "cell"}, 'region nucleocentric.*"nucleocentric"'),
        ({"masked": True}, "masked False.*false"),
    ],
)
def test_crops_of_another_kind_are_refused_by_name(result, change, message):
    with pytest.raises(ModelError, match=message):
        result.model.check_fits(CropKind(**{**vars(KIND), **change}))


def test_channels_are_found_by_name_whatever_their_order(result):
    crops = CropKind(("Cy5", "GFP", "DNA"), "nucleocentric", SIZE, False)
    assert result.model.check_fits(crops) == [2, 1]


def test_broken_or_foreign_model_files_are_refused(result, tmp_path):
    with pytest.raises(ModelError, match="train cnn"):
        load_cnn(tmp_path)
    weights, description = result.model.save(tmp_path)
    about = json.loads(description.read_text())
    description.write_text(json.dumps({**about, "schema": 99}))
    with pytest.raises(ModelError, match="no network of nucprof's"):
        load_cnn(tmp_path)
    description.write_text(json.dumps({k: v for k, v in about.items() if k != "classes"}))
    with pytest.raises(ModelError, match="classes: Field required"):
        load_cnn(tmp_path)
    description.write_text(json.dumps(about))
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(ModelError, match="do not belong together"):
        load_cnn(tmp_path)


QUICK = CnnSettings(epochs=1, batch_size=16, normalise="plate",
                    architecture="resnet18", image_size=32)  # fmt: skip


def reference_crops(classes=("astro", "neuro")):
    """Monocultures: one well of each class."""
    parts = [plate(wells=1, row=r, classes=(name,)) for r, name in zip("BC", classes, strict=True)]
    cells = pd.concat([cells for cells, _ in parts], ignore_index=True)
    crops = CropsInMemory(np.concatenate([crops.array for _, crops in parts]))
    return ReferenceCrops(cells.assign(**{REFERENCE: cells[TARGET]}), crops)


def test_plate_wide_limits_come_from_reference_wells_alone():
    reference = reference_crops()
    model = evaluate_cnn(
        CELLS, CROPS, KIND, QUICK, training(), culture="mixed", device="cpu", reference=reference
    ).model
    assert model.cultures == ["astro", "neuro"]
    plates = CELLS[PLATE].to_numpy(dtype=str)
    whole = model.logits(model.inputs(CROPS, plates, "cpu", reference))
    # a well of one class alone looks as its cells look among others
    pure = np.flatnonzero((CELLS[TARGET] == "neuro").to_numpy())
    alone = model.logits(
        model.inputs(CropsInMemory(CROPS.array[pure]), plates[pure], "cpu", reference)
    )
    np.testing.assert_allclose(alone, whole[pure], rtol=1e-4, atol=1e-5)
    with pytest.raises(DataError, match="plate rep1 has no reference well of astro, neuro"):
        model.inputs(CROPS, plates, "cpu")
    with pytest.raises(DataError, match="plate rep1 has no reference well of any culture"):
        evaluate_cnn(CELLS, CROPS, KIND, QUICK, training(), culture="mixed", device="cpu")


def test_logits_are_the_same_where_the_channels_are_in_another_order(result):
    model = result.model
    swapped = CropKind(("GFP", "other", "DNA"), "nucleocentric", SIZE, False)
    places = model.check_fits(swapped)
    stored = CropsInMemory(np.stack(
        [CROPS.array[:, 1], np.zeros_like(CROPS.array[:, 0]), CROPS.array[:, 0]], axis=1
    ))  # fmt: skip
    plates = CELLS[PLATE].to_numpy(dtype=str)
    found = model.logits(model.inputs(SomeChannels(stored, places), plates, "cpu"))
    expected = model.logits(model.inputs(CROPS, plates, "cpu"))
    np.testing.assert_array_equal(found, expected)


def test_the_wells_trained_on_are_kept_and_those_tested_are_not(result):
    kept = {well["well"] for well in result.model.metadata["trained_wells"]}
    part = result.split.set_index("well")["part"]
    assert kept == set(part.index[part != "test"])
    assert result.model.prior.sum() == pytest.approx(1)


def test_same_seed_same_model():
    quick = CnnSettings(epochs=1, batch_size=16,
                        architecture="resnet18", image_size=32)  # fmt: skip
    one, two = (
        evaluate_cnn(CELLS, CROPS, KIND, quick, training(), culture="mixed", device="cpu")
        for _ in range(2)
    )
    for name, value in one.model.network.state_dict().items():
        assert torch.equal(value, two.model.network.state_dict()[name])
    pd.testing.assert_frame_equal(one.predictions, two.predictions)
