"""Features are scaled by the reference wells of a plate, whatever else grows on it."""

import numpy as np
import pandas as pd
import pytest

from nucprof.errors import DataError
from nucprof.learn.scaling import Scaler, refuse_erasing_scaling, without_wells
from nucprof.plate.columns import PLATE, REFERENCE, WELL

# two cultures, of which one has twice the wells: each counts as much
REFERENCES = pd.DataFrame({
    PLATE: ["p1"] * 6 + ["p2"] * 2,
    WELL: ["B02", "B02", "B03", "B03", "C02", "C02", "B02", "C02"],
    REFERENCE: ["a"] * 4 + ["b"] * 2 + ["a", "b"],
    "f": [1.0, 3.0, 1.0, 3.0, 9.0, 11.0, 100.0, 300.0],
    "c": 0.1,
})  # fmt: skip


def test_centre_and_spread_are_those_of_the_cultures_and_each_counts_alike():
    scaler = Scaler("plate", ["f", "c"]).fit(REFERENCES, ["p1", "p2"])
    cells = pd.DataFrame({PLATE: ["p1", "p1", "p2", "p1"], WELL: "D02",
                          "f": [6.0, 7.0, 300.0, np.nan], "c": 0.1})  # fmt: skip
    # p1: a is 2 +- 1, b is 10 +- 1, so the mean is 6 and the variance 1 + 16
    expected = [[0, 0], [1 / np.sqrt(17), 0], [1, 0], [np.nan, 0]]
    np.testing.assert_allclose(scaler.transform(cells), expected, atol=1e-12)
    assert scaler.cultures == ["a", "b"]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_what_else_grows_on_a_plate_does_not_change_how_a_cell_looks(share):
    n = round(100 * share)
    cells = pd.DataFrame({PLATE: "p1", WELL: "D02", "f": [9.0] * n + [1.0] * (100 - n)})
    scaled = Scaler("plate", ["f"]).fit(REFERENCES, ["p1"]).transform(cells)[:, 0]
    np.testing.assert_allclose(scaled, (cells["f"] - 6) / np.sqrt(17))


def test_a_plate_without_reference_wells_is_refused_by_name():
    with pytest.raises(DataError, match=r"plate p3 has no reference well of a, b"):
        Scaler("plate", ["f"], ["a", "b"]).fit(REFERENCES, ["p1", "p3"])
    with pytest.raises(DataError, match=r"plate p1 has no reference well of any culture"):
        Scaler("plate", ["f"]).fit(None, ["p1"])
    with pytest.raises(DataError, match=r"plate p2 has no reference well of c"):
        Scaler("plate", ["f"], ["c"]).fit(REFERENCES.assign(reference="c")[:6], ["p1", "p2"])


def test_only_cultures_that_all_plates_have_are_used():
    more = pd.concat([REFERENCES, REFERENCES[:2].assign(**{REFERENCE: "extra", "f": 1e6})])
    scaler = Scaler("plate", ["f"]).fit(more, ["p1", "p2"])
    assert scaler.cultures == ["a", "b"]
    pd.testing.assert_frame_equal(
        scaler.means, Scaler("plate", ["f"]).fit(REFERENCES, ["p1", "p2"]).means
    )


def test_tested_wells_give_no_scale_unless_a_plate_has_no_others():
    tested = REFERENCES.loc[[0, 6], [PLATE, WELL]]
    left = without_wells(REFERENCES, tested)
    assert left[WELL].tolist() == ["B03", "B03", "C02", "C02", "B02", "C02"]
    assert without_wells(None, tested) is None


def test_well_scaling_uses_a_wells_own_cells_and_plates_do_not_mix():
    cells = pd.DataFrame({PLATE: ["p1", "p1", "p2", "p2"], WELL: "A01",
                          "f": [1.0, 3.0, 10.0, 30.0]})  # fmt: skip
    scaled = Scaler("well", ["f"]).fit(None, ["p1", "p2"]).transform(cells)
    np.testing.assert_allclose(scaled[:, 0], [-1, 1, -1, 1])


def test_well_scaling_of_monocultures_is_refused():
    refuse_erasing_scaling("well", "mixed")
    with pytest.raises(DataError, match="erases the signal"):
        refuse_erasing_scaling("well", "mono")
