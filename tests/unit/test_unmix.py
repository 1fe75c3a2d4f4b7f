"""Bleed-through and background, against simulations in which both are known."""

from __future__ import annotations

import numpy as np
import pytest

from nucprof.core.gating import MarkerCells
from nucprof.core.markers import Rule
from nucprof.core.stray_light import bleed_through, uneven_background, unmix_cells
from nucprof.core.unmix import field_background, resistant_slope, spillover, unmix
from nucprof.errors import DataError


def test_the_slope_is_not_moved_by_strangers() -> None:
    rng = np.random.default_rng(0)
    x = rng.lognormal(6, 0.5, 600)
    y = 100 + 0.25 * x + rng.normal(0, 10, 600)
    y[:60] += 2000  # a tenth of the cells is of another line
    assert resistant_slope(x, y) == pytest.approx(0.25, abs=0.03)
    assert resistant_slope(x[:8], y[:8]) == 0
    assert resistant_slope(np.full(50, 3.0), y[:50]) == 0


def test_unmixing_gives_back_what_was_mixed() -> None:
    rng = np.random.default_rng(1)
    n = 900
    kind = np.repeat([0, 1, 2], n // 3)  # monoculture of a, of b, neither
    light = rng.lognormal(6.5, 0.4, (n, 2)) * (np.arange(2) == kind[:, None])
    mixing = np.array([[1.0, 0.3], [0.05, 1.0]])
    seen = 150 + light @ mixing + rng.normal(0, 4, (n, 2))
    values = {"a": seen[:, 0], "b": seen[:, 1]}
    shares = spillover(values, {"a": kind == 0, "b": kind == 1})
    assert shares == pytest.approx(mixing, abs=0.02)
    apart = unmix(values, shares, [150, 150])
    assert apart["a"] == pytest.approx(150 + light[:, 0], abs=25)
    assert np.median(apart["b"][kind == 0]) == pytest.approx(150, abs=5)
    assert np.median(values["b"][kind == 0]) > 300


def test_without_bleed_through_nothing_changes() -> None:
    values = {"a": np.array([1.0, 2, 3]), "b": np.array([9.0, 8, 7])}
    apart = unmix(values, np.eye(2), [0, 0])
    assert all((apart[name] == values[name]).all() for name in values)


def test_channels_that_see_the_same_are_refused() -> None:
    values = {"a": np.arange(9.0), "b": np.arange(9.0)}
    with pytest.raises(DataError, match=r"97%.*\ba\b.*\bb\b"):
        unmix(values, np.array([[1, 0.97], [0.96, 1]]), [0, 0])


def test_background_is_the_field_s_own() -> None:
    lowest = np.array([10.0, 12, 11, 50, np.nan, 54])
    fields = np.array(["f", "f", "f", "g", "g", "g"], dtype=object)
    assert field_background(lowest, fields).tolist() == [11, 11, 11, 52, 52, 52]


# --- whether it matters ---------------------------------------------------------------------------


def two_markers(share: float, backgrounds: tuple[float, float] = (100.0, 100.0)):
    """Monocultures of a and b on one plate; `share` of a's light is seen in b; two fields."""
    rng = np.random.default_rng(2)
    n = 600
    is_a = np.arange(n) < n // 2
    second_field = np.arange(n) % 2 == 1
    light = rng.lognormal(6.5, 0.4, (n, 2)) * np.column_stack([is_a, ~is_a])
    level = np.where(second_field, backgrounds[1], backgrounds[0])
    seen = level[:, None] + light @ np.array([[1, share], [0, 1]]) + rng.normal(0, 5, (n, 2))
    cells = MarkerCells(
        {"a": seen[:, 0], "b": seen[:, 1]},
        np.where(is_a, "A", "B").astype(object),
        np.full(n, "p", dtype=object),
        np.where(is_a, "A1", "B1").astype(object),
    )
    return cells, {"a": level, "b": level}


RULES = {"A": Rule("a"), "B": Rule("b")}


@pytest.mark.parametrize(("share", "told"), [(0.0, False), (0.02, False), (0.4, True)])
def test_bleed_through_is_told_where_it_matters(share: float, told: bool) -> None:
    cells, _ = two_markers(share)
    lines = bleed_through(cells, RULES, "co-culture")
    assert bool(lines) == told
    if told:
        (line,) = lines
        assert "of the light of a is seen in the channel of b" in line
        assert "--unmix" in line
        after = unmix_cells(cells, RULES, per_plate=False, mixed="co-culture")
        assert bleed_through(after, RULES, "co-culture") == []


@pytest.mark.parametrize(("second", "told"), [(100.0, False), (110.0, False), (350.0, True)])
def test_an_uneven_background_is_told_where_it_matters(second: float, told: bool) -> None:
    cells, background = two_markers(0.0, (100.0, second))
    lines = uneven_background(cells, background, RULES, "co-culture")
    assert bool(lines) == told
    if told:
        assert "the background of a differs by 250 grey levels" in lines[0]
        assert "--background field" in lines[0]
