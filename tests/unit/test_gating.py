"""Cutoffs for plates of different exposure, and filters, on values made for them."""

from __future__ import annotations

import numpy as np
import pytest

from nucprof.core import gating
from nucprof.core.gating import MarkerCells, find_cutoffs, find_rules, one_per_plate
from nucprof.core.markers import Rule, classify
from nucprof.core.stray_light import uneven_plates
from nucprof.errors import DataError

RULES = {"astro": Rule("EdU"), "neuro": Rule("BrdU")}
ALL = ("astro", "neuro", "co-culture")


def plates(**exposures: tuple[float, tuple[str, ...]]) -> tuple[MarkerCells, np.ndarray]:
    """Plates of an exposure and some cultures, 80 cells in 2 wells each; cells and their kinds."""
    rng = np.random.default_rng(0)
    edu, brdu, cultures, names, wells, kinds = [], [], [], [], [], []
    for name, (exposure, held) in exposures.items():
        for culture in held:
            kind = {"astro": 0, "neuro": 1}.get(culture, np.arange(80) % 2)
            is_astro = np.broadcast_to(kind, 80) == 0
            for column, own in ((edu, is_astro), (brdu, ~is_astro)):
                light = 60 + rng.normal(0, 8, 80) + own * rng.lognormal(6, 0.3, 80)
                column.append(exposure * light)
            cultures += [culture] * 80
            names += [name] * 80
            wells += [f"{name}/{culture}{i % 2}" for i in range(80)]
            kinds.append(np.where(is_astro, "astro", "neuro"))
    values = {"EdU": np.concatenate(edu), "BrdU": np.concatenate(brdu)}
    text = (np.array(column, dtype=object) for column in (cultures, names, wells))
    return MarkerCells(values, *text), np.concatenate(kinds)


def called(cells: MarkerCells, per_plate: bool) -> np.ndarray:
    found = find_cutoffs(cells, RULES, {}, per_plate=per_plate, mixed="co-culture")
    return classify(cells.values, {m: found.of_cells(m, cells) for m in cells.values}, RULES)


def test_plates_of_different_exposure_get_cutoffs_of_their_own() -> None:
    cells, kinds = plates(a=(0.2, ALL), b=(1.0, ALL), c=(5.0, ALL))
    assert one_per_plate(cells, RULES, {}, per="auto", mixed="co-culture")
    one = called(cells, per_plate=False)
    assert min((one[cells.plates == p] == kinds[cells.plates == p]).mean() for p in "abc") < 0.6
    own = called(cells, per_plate=True)
    assert (own == kinds).mean() > 0.99


def test_judgement_is_per_plate_and_over_all() -> None:
    cells, _ = plates(a=(0.2, ALL), b=(1.0, ALL))
    found = find_cutoffs(cells, RULES, {"BrdU": 150.0}, per_plate=True, mixed="co-culture")
    quality = found.quality["EdU"]
    assert set(quality) == {"a", "b", ""}
    assert quality["a"].held_out == quality[""].held_out == "wells"
    assert quality["a"].sensitivity.cells == 80
    assert quality[""].sensitivity.cells == 160
    assert quality[""].sensitivity.wells == 4
    # a number that is given is the same everywhere, and no fit to be held out from
    assert found.values["BrdU"] == {"a": 150.0, "b": 150.0}
    assert found.quality["BrdU"][""].held_out is None
    # plate a: positives at 0.2 x (60 + about 400) are below 150
    assert found.quality["BrdU"]["a"].sensitivity.value < 0.1


def test_a_cutoff_can_be_given_for_one_plate() -> None:
    cells, _ = plates(a=(1.0, ALL), b=(5.0, ALL))
    alone = find_cutoffs(cells.plate("a"), RULES, {}, per_plate=False, mixed="co-culture")
    for per_plate in (True, False):  # the other plate's cutoff is found without this one
        given = {"b/EdU": 1234.0, "BrdU": 99.0, "a/BrdU": 77.0}
        found = find_cutoffs(cells, RULES, given, per_plate=per_plate, mixed="co-culture")
        assert found.values["EdU"] == {"a": alone.values["EdU"]["a"], "b": 1234.0}
        assert found.values["BrdU"] == {"a": 77.0, "b": 99.0}
        assert found.quality["EdU"]["b"].held_out is None
        assert found.quality["EdU"]["a"].held_out == "wells"
        assert found.quality["EdU"][""].sensitivity.cells == 160


def test_a_plate_without_monocultures_needs_no_others_if_its_cutoff_is_given() -> None:
    cells, _ = plates(a=(1.0, ALL), b=(3.0, ("co-culture",)))
    given = {"b/EdU": 300.0, "b/BrdU": 300.0}
    assert one_per_plate(cells, RULES, given, per="plate", mixed="co-culture")
    # where the plates without a given cutoff lack the monocultures, those of all plates count
    found = find_cutoffs(
        cells, RULES, {"a/EdU": 100.0}, per_plate=False, mixed="co-culture"
    ).values["EdU"]
    own = find_cutoffs(cells.plate("a"), RULES, {}, per_plate=False, mixed="co-culture")
    assert found == {"a": 100.0, "b": own.values["EdU"]["a"]}


def test_a_plate_without_monocultures_makes_one_cutoff_for_all() -> None:
    cells, _ = plates(a=(1.0, ALL), b=(3.0, ("astro", "co-culture")))
    assert not one_per_plate(cells, RULES, {}, per="auto", mixed="co-culture")
    with pytest.raises(DataError, match=r"plate b .*--per project"):
        one_per_plate(cells, RULES, {}, per="plate", mixed="co-culture")
    (edu, brdu) = uneven_plates(cells, ["EdU", "BrdU"])
    assert "EdU is brighter on plate b than on plate a" in edu
    assert "BrdU" in brdu
    even, _ = plates(a=(1.0, ALL), b=(1.1, ALL))
    assert uneven_plates(even, ["EdU", "BrdU"]) == []
    for column in even.values.values():
        column -= 52  # a background that was subtracted: lows of about 0 and 5 are no difference
    assert uneven_plates(even, ["EdU", "BrdU"]) == []


def test_a_plate_without_the_round_has_no_cutoff_and_no_classes() -> None:
    cells, _ = plates(a=(1.0, ALL), b=(1.0, ("co-culture",)))
    for column in cells.values.values():
        column[cells.plates == "b"] = np.nan
    assert one_per_plate(cells, RULES, {}, per="auto", mixed="co-culture")
    found = find_cutoffs(cells, RULES, {}, per_plate=True, mixed="co-culture")
    assert np.isnan(found.values["EdU"]["b"])
    assert found.summary("EdU") == found.values["EdU"]["a"]
    assert set(called(cells, per_plate=True)[cells.plates == "b"]) == {"undefined"}


def test_rules_come_from_the_plates_that_hold_all_monocultures() -> None:
    # pooled, plate b's bright background would give both markers to neuro
    cells, _ = plates(a=(1.0, ALL), b=(40.0, ("neuro",)))
    assert find_rules(cells, ["astro", "neuro"]) == RULES


def test_plates_that_disagree_on_the_markers_are_named() -> None:
    cells, _ = plates(a=(1.0, ALL), b=(1.0, ALL))
    swap = cells.plates == "b"
    edu, brdu = cells.values["EdU"].copy(), cells.values["BrdU"].copy()
    cells.values["EdU"][swap], cells.values["BrdU"][swap] = brdu[swap], edu[swap]
    with pytest.raises(DataError, match=r"disagree.*a says astro = EdU.*b says astro = BrdU"):
        find_rules(cells, ["astro", "neuro"])


def test_only_the_line_without_the_marker_is_named() -> None:
    cells, kinds = plates(a=(1.0, ALL))
    rules = {"neuro": Rule("EdU", carries=False)}
    found = find_cutoffs(cells, rules, {}, per_plate=False, mixed="co-culture")
    limits = {"EdU": found.of_cells("EdU", cells)}
    answer = classify(cells.values, limits, rules)
    assert (answer == np.where(kinds == "neuro", "neuro", "undefined")).mean() > 0.99


def test_of_a_class_without_a_monoculture_nothing_is_judged() -> None:
    cells, _ = plates(a=(1.0, ALL))
    given = {"EdU": 150.0}
    found = find_cutoffs(cells, {"A": Rule("EdU")}, given, per_plate=False, mixed="co-culture")
    quality = found.quality["EdU"][""]
    assert quality.sensitivity.cells == quality.specificity.cells == 0


@pytest.mark.parametrize(
    ("held", "rules", "message"),
    [
        (("astro", "co-culture"), {"astro": Rule("EdU")}, "one monoculture, 'astro'"),
        (("astro", "neuro"), {"A": Rule("EdU"), "N": Rule("BrdU")}, "--cutoff EdU=NUMBER"),
    ],
)
def test_a_cutoff_needs_its_monocultures(held, rules, message) -> None:
    cells, _ = plates(a=(1.0, held))
    with pytest.raises(DataError, match=message):
        find_cutoffs(cells, rules, {}, per_plate=False, mixed="co-culture")


def test_filters_remove_what_is_outside_or_missing() -> None:
    columns = {"area": np.array([10.0, 160, 500, np.nan]), "dapi": np.array([600.0, 400, 700, 700])}
    gone = gating.outside(columns, {"area": (160, None), "dapi": (500, 800)})
    assert gone.tolist() == [True, True, False, True]
