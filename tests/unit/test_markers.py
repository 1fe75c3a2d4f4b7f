"""Which class carries which marker, and what a cell is, on values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nucprof.core import markers
from nucprof.core.markers import Rule
from nucprof.errors import DataError

CULTURES = np.array(["astro"] * 4 + ["neuro"] * 4 + ["co-culture"] * 2, dtype=object)
VALUES = {
    "EdU": np.array([900.0, 1000, 1100, 50, 40, 60, 50, 70, 800, 30]),
    "BrdU": np.array([20.0, 30, 10, 25, 500, 700, 600, 20, 30, 650]),
}
TWO = {"A": Rule("a"), "B": Rule("b")}


def test_a_marker_belongs_to_the_monoculture_with_its_highest_median() -> None:
    found = markers.assign_markers(VALUES, CULTURES, ["astro", "neuro"])
    assert found == {"astro": Rule("EdU"), "neuro": Rule("BrdU")}


def test_of_two_monocultures_and_one_marker_the_dimmer_one_is_without() -> None:
    found = markers.assign_markers({"BrdU": VALUES["BrdU"]}, CULTURES, ["astro", "neuro"])
    assert {name: str(rule) for name, rule in found.items()} == {"neuro": "BrdU", "astro": "!BrdU"}


def test_no_one_to_one_match_shows_the_table_of_medians() -> None:
    both = {"EdU": VALUES["EdU"], "BrdU": VALUES["EdU"] * 2}
    with pytest.raises(DataError) as error:
        markers.assign_markers(both, CULTURES, ["astro", "neuro"])
    text = str(error.value)
    # medians by hand: astro EdU (900, 1000, 1100, 50) -> 950; neuro (40, 60, 50, 70) -> 55
    for number in ("950.0", "55.0", "1900.0", "110.0"):
        assert number in text
    assert "[gate.classes]" in text
    assert '"!EdU"' in text


def test_own_marker_above_and_every_other_not() -> None:
    values = {"a": np.array([5.0, 5, 1, 1, 2]), "b": np.array([1.0, 5, 5, 1, 1])}
    called = markers.classify(values, {"a": 2.0, "b": 2.0}, TWO)
    # above, both, above, none, equal is not above
    assert called.tolist() == ["A", "undefined", "B", "undefined", "undefined"]


def test_a_missing_value_gives_no_class() -> None:
    nan = np.nan
    values = {"a": np.array([5.0, nan, nan, 1]), "b": np.array([nan, 5.0, nan, nan])}
    assert markers.classify(values, {"a": 2.0, "b": 2.0}, TWO).tolist() == ["undefined"] * 4
    rules = {"A": Rule("a"), "N": Rule("a", carries=False)}
    called = markers.classify({"a": np.array([5.0, nan, 1])}, {"a": 2.0}, rules)
    assert called.tolist() == ["A", "undefined", "N"]


def test_a_class_without_a_marker() -> None:
    rules = markers.read_rules({"A": "a", "B": "b", "N": "!a"})
    values = {"a": np.array([5.0, 1, 1, 5]), "b": np.array([1.0, 5, 1, 5])}
    called = markers.classify(values, {"a": 2.0, "b": 2.0}, rules)
    assert called.tolist() == ["A", "B", "N", "undefined"]


def test_every_cell_has_the_cutoff_of_its_plate() -> None:
    values = {"a": np.array([5.0, 5.0]), "b": np.array([1.0, 1.0])}
    called = markers.classify(values, {"a": np.array([2.0, 9.0]), "b": 2.0}, TWO)
    assert called.tolist() == ["A", "undefined"]


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ({"A": "GFP", "B": "GFP"}, ["'A'", "'B'", "GFP", "B=!GFP"]),
        ({"A": "!GFP", "B": "!RFP"}, ["'A'", "'B'", "without a marker"]),
        ({"A": "!GFP", "B": "!GFP"}, ["'A'", "'B'"]),
        ({"undefined": "GFP"}, ["undefined"]),
    ],
)
def test_classes_that_cannot_be_told_apart_are_named(classes, words) -> None:
    with pytest.raises(DataError) as error:
        markers.read_rules(classes)
    assert all(word in str(error.value) for word in words)
