"""Chance: which labels may be exchanged, how many ways there are, and what the p-value is worth."""

import math

import numpy as np
import pandas as pd
import pytest
from trainings import training

from nucprof.config.models import ForestSettings
from nucprof.learn.chance import Exchange, chance_of_predictions, permutation_test
from nucprof.learn.forest import chance as forest_chance_module
from nucprof.learn.forest.chance import forest_chance
from nucprof.learn.forest.fit import Shape
from nucprof.plate.columns import CELL, PLATE, TARGET, WELL


def exchange(*wells):
    """From (plate, well, labels of its cells)."""
    rows = [(plate, well, label) for plate, well, labels in wells for label in labels]
    plates, names, labels = zip(*rows, strict=True)
    return Exchange.of(np.array(plates), np.array(names), np.array(labels))


def labels_of(found, arrangement):
    return arrangement[found.unit].tolist()


def test_pure_wells_exchange_their_labels_whole():
    found = exchange(("p", "B02", [0, 0]), ("p", "B03", [0]), ("p", "C02", [1, 1, 1]),
                     ("p", "C03", [1]))  # fmt: skip
    assert found.count(renamed=False) == 6
    assert found.count(renamed=True) == 3
    every = [labels_of(found, a) for a in found.every(renamed=True)]
    assert len(every) == 2
    for labels in every:
        assert labels[0] == labels[1]
        assert labels[3] == labels[4] == labels[5]
        assert sorted([labels[0], labels[2], labels[3], labels[6]]) == [0, 0, 1, 1]


def test_cells_of_mixed_wells_stay_in_their_well():
    found = exchange(("p", "D02", [0, 0, 1]), ("p", "D03", [1, 1, 0, 0]))
    assert found.count(renamed=False) == 3 * 6
    for _ in range(5):
        labels = labels_of(found, found.shuffled(np.random.default_rng(_)))
        assert (sum(labels[:3]), sum(labels[3:])) == (1, 2)


def test_wells_stay_on_their_plate_unless_every_plate_is_pure():
    on_each = [(p, w, [k]) for p in "ab" for w, k in (("B02", 0), ("C02", 1), ("C03", 1))]
    assert exchange(*on_each).count(renamed=False) == 3 * 3
    pure_plates = [(p, w, [k]) for p, k in (("a", 0), ("b", 0), ("c", 1)) for w in ("B02", "B03")]
    assert exchange(*pure_plates).count(renamed=False) == 3
    confounded = [("a", "B02", [0]), ("a", "B03", [0]), ("b", "B02", [1])]
    assert exchange(*confounded).count(renamed=True) == 1


@pytest.mark.parametrize("labels", [[0, 1, 1, 2], [0] * 600 + [1], [0, 0, 1, 1, 2]])
def test_all_arrangements_are_each_taken_once(labels):
    found = exchange(("p", "D02", labels), ("p", "D03", [0, 1]))
    every = {tuple(labels_of(found, a)) for a in found.every(renamed=False)}
    assert len(every) == found.count(renamed=False) - 1
    assert tuple(labels_of(found, found.label)) not in every
    assert {tuple(sorted(a[: len(labels)])) for a in every} == {tuple(sorted(labels))}


def test_many_arrangements_are_counted_without_overflow():
    found = exchange(("p", "D02", [0, 1] * 2000))
    assert found.count(renamed=False) == math.inf
    eight = [("p", f"{'BC'[k]}{i:02d}", [k]) for k in (0, 1) for i in range(8)]
    assert exchange(*eight).count(renamed=True) == math.comb(16, 8) / 2


def test_p_values_of_few_wells_by_hand():
    wells = [("p", f"{'BC'[k]}{i:02d}", [k]) for k in (0, 1) for i in range(3)]
    found = exchange(*wells)
    truth = found.label[found.unit]

    def agreement(labels):  # the same whichever class has which name
        return abs((labels == truth).mean() - 0.5)

    perfect = permutation_test(agreement, found, renamed=True, draws=99, seed=0)
    assert (perfect.p_value, perfect.p_value_min, perfect.arrangements) == (0.1, 0.1, 10)
    constant = permutation_test(lambda labels: 1.0, found, renamed=True, draws=99, seed=0)
    assert constant.p_value == 1
    # 1 arrangement agrees in 6 cells, 9 in 4 of 6
    assert perfect.mean == pytest.approx((0.5 + 9 / 6) / 10)


def predictions_of(wells):
    """From (well, class, number of cells, number of them called b)."""
    rows = [("p", well, name, "b" if i < called else "a")
            for well, name, n, called in wells for i in range(n)]  # fmt: skip
    return pd.DataFrame(rows, columns=["plate", "well", "true_condition", "predicted"])


def test_tested_wells_allow_no_smaller_p_than_their_number():
    two = predictions_of([("B02", "a", 50, 0), ("C02", "b", 50, 50)])
    found = chance_of_predictions(two, ["a", "b"])
    assert (found.p_value, found.p_value_min) == (0.5, 0.5)
    assert found.mean == pytest.approx(0.5)
    mixed = pd.concat([predictions_of([("D02", "a", 50, 0), ("D02", "b", 50, 50)])])
    assert chance_of_predictions(mixed, ["a", "b"]).p_value == 0.001


def test_wells_that_differ_are_not_taken_for_classes():
    """Whole wells are called one class or the other: cells by themselves would look convincing."""
    rng = np.random.default_rng(1)
    small = convincing = 0
    for _ in range(100):
        wells = [(f"{name}{i}", name, 40, round(40 * rng.beta(0.5, 0.5)))
                 for name in "ab" for i in range(3)]  # fmt: skip
        table = predictions_of(wells)
        small += chance_of_predictions(table, ["a", "b"]).p_value <= 0.1
        convincing += (table["true_condition"] == table["predicted"]).mean() > 0.6
    assert convincing > 10
    assert small <= 100 * 0.1 + 2 * math.sqrt(100 * 0.1 * 0.9)


@pytest.fixture
def few_forests(monkeypatch):
    monkeypatch.setattr(forest_chance_module, "ARRANGEMENTS", 9)
    monkeypatch.setattr(forest_chance_module, "SHAPE", Shape(3, None, 5))


def plate(effect, *, wells=3, mixed=False, between=1.0, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for k, name in enumerate(("astro", "neuro")):
        for i in range(wells):
            well = f"D{i:02d}" if mixed else f"{'BC'[k]}{i:02d}"
            shift = between * rng.normal(size=3) * (not mixed)
            for cell in range(10):
                values = rng.normal(size=3) + shift + [effect * k, 0, 0]
                rows.append(("p", well, f"{well}_{k}{cell:03d}", name, *values))
    features = [f"Nuclei_Texture_{i}_DNA" for i in range(3)]
    return pd.DataFrame(rows, columns=[PLATE, WELL, CELL, TARGET, *features]), features


def test_a_forest_on_wells_that_differ_without_a_class_is_within_chance(few_forests):
    cells, features = plate(0.0, between=3.0)
    found = forest_chance(cells, features, ForestSettings(), training(), 0)
    assert found.p_value > 0.1
    assert found.reach > 0.6  # exchanged wells alone reach this


@pytest.mark.parametrize("mixed", [False, True])
def test_a_forest_that_knows_the_classes_is_beyond_chance(few_forests, mixed):
    cells, features = plate(6.0, between=0.5, mixed=mixed)
    found = forest_chance(cells, features, ForestSettings(), training(), 0)
    assert found.p_value == found.p_value_min == 1 / 10
    assert 0.35 < found.mean < 0.65
    assert forest_chance(cells, features, ForestSettings(), training(), 0) == found
