"""Learning curve and channel ablation: tables whose rows are trainings on the same split."""

import numpy as np
import pandas as pd
import pytest
from trainings import training

from nucprof.config.by_mode import CropKind
from nucprof.config.models import CnnSettings
from nucprof.errors import DataError
from nucprof.learn.cnn import studies
from nucprof.learn.cnn.crop_data import CropsInMemory
from nucprof.learn.cnn.studies import SomeChannels, channel_ablation, learning_curve, trainings

KIND = CropKind(("DNA", "GFP", "Cy5"), "nucleocentric", 4, False)
CROPS = CropsInMemory(np.arange(2 * 3 * 16).reshape(2, 3, 4, 4))


@pytest.fixture
def asked(monkeypatch):
    """What was trained, instead of training."""
    calls = []

    class Result:
        def __init__(self, f1):
            run = {"n_train": 8, "seed": 0, "repeat": 0, "f1_macro": f1, "accuracy": f1}
            self.metrics = {"seeds": [run, {**run, "seed": 1, "f1_macro": f1 + 0.2}]}

    def evaluate(cells, crops, kind, settings, training, **more):
        calls.append((crops, kind, settings, training, more))
        return Result(len(kind.channels) / 10)

    monkeypatch.setattr(studies, "evaluate_cnn", evaluate)
    return calls


def test_learning_curve(asked):
    lines = []
    table = learning_curve(
        pd.DataFrame(), CROPS, KIND, CnnSettings(sizes=[100, 50, 100]), training(seeds=[0, 1]),
        report=lines.append,
    )  # fmt: skip
    assert [call[4]["per_class"] for call in asked] == [50, 100]
    assert all(call[2].repeats == 3 for call in asked)
    assert all(call[3] == training(seeds=[0, 1]) for call in asked)
    assert table["per_class"].tolist() == [50, 50, 100, 100]
    assert list(table.columns) == [
        "per_class", "n_train", "seed", "repeat", "f1_macro", "accuracy", "f1_macro_mean",
        "f1_macro_std",
    ]  # fmt: skip
    np.testing.assert_allclose(table["f1_macro_mean"], [0.4, 0.4, 0.4, 0.4])
    np.testing.assert_allclose(table["f1_macro_std"], 0.1 * 2**0.5)
    assert lines == ["learning curve: 50 cells per class", "learning curve: 100 cells per class"]
    # after the first size two seeds in three draws are left
    assert [call[4]["afterwards"] for call in asked] == [6, 0]


def test_trainings_are_counted_beforehand():
    settings = CnnSettings(sizes=[50, 100, 100], repeats=4, ablate="channels")
    # two sizes and four networks (all channels, and without each of three), two seeds, four repeats
    assert trainings(settings, training(seeds=[0, 1]), 3) == {"learning_curve": 16, "ablation": 32}
    assert trainings(CnnSettings(), training(), 3) == {"learning_curve": 0, "ablation": 0}


def test_channel_ablation_leaves_out_each_channel_in_turn(asked):
    table = channel_ablation(pd.DataFrame(), CROPS, KIND, CnnSettings(), training())
    assert [call[1].channels for call in asked] == [
        ("DNA", "GFP", "Cy5"), ("GFP", "Cy5"), ("DNA", "Cy5"), ("DNA", "GFP"),
    ]  # fmt: skip
    seen = asked[2][0]
    assert seen.shape == (2, 2, 4, 4)
    assert [call[4]["afterwards"] for call in asked] == [3, 2, 1, 0]
    np.testing.assert_array_equal(seen.rows(np.array([1])), CROPS.array[1:, [0, 2]])
    assert table["without"].drop_duplicates().tolist() == ["", "DNA", "GFP", "Cy5"]


def test_a_single_channel_cannot_be_left_out(asked):
    one = CropKind(("DNA",), "nucleocentric", 4, False)
    with pytest.raises(DataError, match="two channels"):
        channel_ablation(pd.DataFrame(), SomeChannels(CROPS, [0]), one, CnnSettings(), training())
    assert not asked
