"""Posteriors and contamination, against simulations whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from nucprof.core.gating import MarkerCells
from nucprof.core.identity import NO_MARKER, SEVERAL, identify
from nucprof.core.markers import Rule, classify
from nucprof.core.mixture import fit_mixture, states_of

RULES = {"A": Rule("a"), "B": Rule("b")}


def plate(n: int, signal: float, seed: int = 0, unlabelled: float = 0.05, strangers: float = 0.04):
    """Three cultures of n cells in 4 wells each; the signal is in grey levels above 200 +- 25."""
    rng = np.random.default_rng(seed)
    values, truth, cultures, wells = [], [], [], []
    for culture, share in (("A", 1 - strangers), ("B", strangers), ("co-culture", 0.5)):
        is_a = rng.random(n) < share
        labelled = rng.random(n) >= unlabelled
        carried = np.column_stack([is_a & labelled, ~is_a & labelled])
        light = rng.lognormal(np.log(signal), 0.4, carried.shape)
        values.append(rng.normal(200, 25, carried.shape) + carried * light)
        truth.append(carried)
        cultures += [culture] * n
        wells += [f"{culture}{i % 4}" for i in range(n)]
    x = np.concatenate(values)
    cells = MarkerCells(
        {"a": x[:, 0], "b": x[:, 1]},
        np.array(cultures, dtype=object),
        np.full(3 * n, "p", dtype=object),
        np.array(wells, dtype=object),
    )
    return cells, np.concatenate(truth)


def cutoffs(cells: MarkerCells, number: float) -> dict:
    return {marker: np.full(len(cells), number) for marker in cells.values}


def test_states() -> None:
    assert states_of(1).tolist() == [[False], [True]]
    assert states_of(3).sum(axis=1).tolist() == [0, 1, 1, 1, 2, 2, 2]


def test_clear_markers_give_clear_classes_and_the_true_contamination() -> None:
    cells, truth = plate(1500, signal=900)
    found = identify(cells, cutoffs(cells, 350), RULES, ["A", "B"])
    called = classify(cells.values, cutoffs(cells, 350), RULES)
    assert found.confidence(called).min() > 0.5
    assert found.confidence(called).mean() > 0.999
    for content in found.contents:
        own = cells.cultures == content.culture
        a, b = truth[own].T
        true = {"A": a & ~b, "B": b & ~a, NO_MARKER: ~a & ~b, SEVERAL: a & b}[content.is_class]
        assert content.share.value == pytest.approx(true.mean(), abs=0.005)
        assert content.share.low <= true.mean() + 1e-9
        assert content.share.high >= true.mean()
        assert content.share.wells == 4
    assert len(found.contents) == 8


@pytest.mark.parametrize(("signal", "slack"), [(200, 0.005), (100, 0.01), (70, 0.02)])
def test_the_stated_label_noise_is_the_true_one(signal: float, slack: float) -> None:
    """Markers that overlap: what the posteriors say is wrong is what is wrong."""
    cells, truth = plate(3000, signal)
    called = classify(cells.values, cutoffs(cells, 200 + signal / 3), RULES)
    found = identify(cells, cutoffs(cells, 200 + signal / 3), RULES, ["A", "B"])
    a, b = truth.T
    right = np.where(called == "A", a & ~b, b & ~a)
    decided = called != "undefined"
    stated = found.confidence(called)
    assert 1 - stated[decided].mean() == pytest.approx(1 - right[decided].mean(), abs=slack)
    if not right[decided].all():
        # cells about which it is not sure are wrong much more often
        unsure = decided & (stated < 0.9)
        assert right[unsure].mean() < right[decided & ~unsure].mean() - 0.05


def test_brighter_is_never_less_likely_positive() -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(100, 5, 400), rng.lognormal(5.5, 0.6, 400)])
    grid = np.linspace(-200, 4000, 500)
    values = np.concatenate([x, grid])[:, None]
    found = fit_mixture(values, values > 125, np.array(["all"] * len(values)))
    assert found is not None
    assert (np.diff(found[len(x) :, 1]) >= -1e-9).all()
    assert found[len(x), 1] < 0.01


def test_the_line_without_the_marker_is_a_class() -> None:
    cells, truth = plate(800, signal=900)
    one = MarkerCells({"a": cells.values["a"]}, cells.cultures, cells.plates, cells.wells)
    rules = {"A": Rule("a"), "B": Rule("a", carries=False)}
    found = identify(one, {"a": np.full(len(one), 350.0)}, rules, ["A", "B"])
    assert found.probability["A"][truth[:, 0]].mean() > 0.99
    assert found.probability["B"][~truth[:, 0]].mean() > 0.99
    assert {content.is_class for content in found.contents} == {"A", "B"}


def test_what_cannot_be_fitted_is_said_and_missing_values_stay_missing() -> None:
    cells, _ = plate(300, signal=900)
    cells.values["a"][5] = np.nan
    found = identify(cells, cutoffs(cells, 350), RULES, ["A", "B"])
    assert found.unfitted == []
    assert np.isnan(found.probability["A"][5])
    assert np.isfinite(np.delete(found.probability["A"], 5)).all()
    # a cutoff above all cells, and markers that say nothing
    none = identify(cells, cutoffs(cells, 1e6), RULES, ["A", "B"])
    assert none.unfitted == ["p"]
    assert np.isnan(none.probability["A"]).all()
    noise = np.random.default_rng(0).normal(size=(500, 1))
    assert fit_mixture(noise, noise > 0, np.array(["x"] * 500)) is None
