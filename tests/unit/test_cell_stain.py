"""Channels are chosen by what they show around nuclei."""

import numpy as np
import pytest
from scipy import ndimage as ndi

from nucprof.core.cell_stain import (
    Stain,
    choose_stains,
    combine_stains,
    measure_stains,
    typical_stains,
)


def field(seed=0, shape=(200, 220), step=55):
    """Nuclei of 16 px in cells of 30 px, on a lattice; and noise of the same shape."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    nuclei, cells = np.zeros(shape, np.int32), np.zeros(shape, bool)
    for label, (y, x) in enumerate(
        (y, x) for y in range(30, shape[0] - 20, step) for x in range(30, shape[1] - 20, step)
    ):
        far = np.hypot(yy - y, xx - x)
        nuclei[far <= 8] = label + 5
        cells |= far <= 15
    return nuclei, cells, rng.normal(0, 8, (8, *shape))


def planes():
    nuclei, cells, noise = field()
    made = {
        "cytoplasm": 100 + 300 * cells + noise[0],
        "nuclear envelope and cytoplasm": 100 + 200 * cells + 200 * (nuclei > 0) + noise[1],
        "excluded from the nucleus": 100 + 300 * (cells & (nuclei == 0)) + noise[2],
        "nothing": 100 + noise[3],
        "slopes": 100 + np.linspace(0, 300, 220)[None] + noise[4],
        "nuclei alone": 100 + ndi.gaussian_filter(900.0 * (nuclei > 0), 1.5) + noise[5],
        "debris": 100 + noise[6],
    }
    made["debris"][4:14, 100:120] = 60000
    return nuclei, {name: np.clip(p, 0, 65535).astype(np.uint16) for name, p in made.items()}


def test_channels_that_end_with_the_cell_are_chosen():
    nuclei, made = planes()
    stains = dict(zip(made, measure_stains(nuclei, list(made.values())), strict=True))
    assert choose_stains(stains) == [
        "cytoplasm",
        "nuclear envelope and cytoplasm",
        "excluded from the nucleus",
    ]
    assert stains["cytoplasm"].background == pytest.approx(100, abs=15)
    assert stains["cytoplasm"].ring == pytest.approx(400, abs=15)
    assert stains["nothing"].share == pytest.approx(0.5, abs=0.15)
    assert stains["nuclei alone"].share == 0


def test_a_confluent_plate_uses_what_is_nearly_the_best():
    def stain(share):
        return Stain(100, 200, share)

    shares = {"a": stain(0.72), "b": stain(0.65), "c": stain(0.5)}
    assert choose_stains(shares) == ["a", "b"]
    assert choose_stains({"a": stain(0.55), "b": stain(0.0)}) == ["a", "b"]
    assert choose_stains({}) == []


def test_a_plate_is_the_median_of_its_fields():
    fields = [[Stain(90, 300, 0.9)], [Stain(100, 400, 1.0)], [Stain(5000, 60000, 0.1)]]
    assert typical_stains(fields) == [Stain(100, 400, 0.9)]


def test_background_is_0_and_a_cell_1_in_the_combined_channel():
    nuclei, made = planes()
    used = [made["cytoplasm"], made["excluded from the nucleus"]]
    both = combine_stains(used, measure_stains(nuclei, used))
    _, cells, _ = field()
    inside = ndi.binary_erosion(cells, iterations=2) & (ndi.binary_dilation(nuclei > 0) == 0)
    assert both.dtype == np.float32
    assert np.median(both[inside]) == pytest.approx(1, abs=0.05)
    assert np.median(both[~ndi.binary_dilation(cells, iterations=3)]) == pytest.approx(0, abs=0.1)


def test_a_field_without_nuclei_or_surroundings_is_not_measured():
    nuclei, made = planes()
    plane = [made["cytoplasm"]]
    assert measure_stains(np.zeros_like(nuclei), plane) is None
    assert measure_stains(np.where(nuclei == 5, 5, 0), plane) is None
    confluent, _, noise = field(step=24)
    assert measure_stains(confluent[30:170, 30:190], [noise[0][30:170, 30:190]]) is None
