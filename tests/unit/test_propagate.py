"""Cells grown from nuclei."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi

from nucprof.errors import DataError, FieldError
from nucprof.segmentation.propagate import propagate_cells


def disc(shape, y, x, radius):
    yy, xx = np.ogrid[: shape[0], : shape[1]]
    return (yy - y) ** 2 + (xx - x) ** 2 <= radius**2


def field(shape=(80, 120), noise=2.0, seed=0):
    """Two touching cells of different brightness and one alone; the truth under gapped labels."""
    rng = np.random.default_rng(seed)
    nuclei, truth = (np.zeros(shape, np.uint32) for _ in range(2))
    plane = np.full(shape, 100.0)
    for label, y, x, level in ((9, 25, 30, 300), (70000, 25, 62, 600), (4, 60, 95, 350)):
        cell = disc(shape, y, x, 17) & (truth == 0)
        truth[cell] = label
        plane[cell] = level
        nuclei[disc(shape, y, x, 6)] = label
    plane = ndi.gaussian_filter(plane, 1) + rng.normal(0, noise, shape)
    return nuclei, plane, truth


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_cells_follow_their_stain(dtype):
    nuclei, plane, truth = field()
    cells = propagate_cells(nuclei, plane.astype(dtype), max_reach_px=30)
    assert cells.dtype == nuclei.dtype
    for label in (4, 9, 70000):
        own, true = cells == label, truth == label
        assert (own & true).sum() / (own | true).sum() > 0.85


def test_the_reach_ends_a_cell_on_bright_background():
    nuclei = np.zeros((60, 60), np.uint16)
    nuclei[disc(nuclei.shape, 30, 30, 5)] = 3
    plane = np.full((60, 60), 50.0)
    cells = propagate_cells(nuclei, plane, max_reach_px=8, threshold=10)
    distance = ndi.distance_transform_edt(nuclei == 0)
    np.testing.assert_array_equal(cells == 3, distance <= 8)


def test_equal_stain_is_shared_half_way():
    nuclei = np.zeros((21, 61), np.int32)
    nuclei[8:13, 8:13], nuclei[8:13, 48:53] = 1, 2
    cells = propagate_cells(nuclei, np.full((21, 61), 9.0), max_reach_px=100, threshold=1)
    assert (cells[:, :29] == 1).all()
    assert (cells[:, 32:] == 2).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16))
def test_nuclei_stay_and_cells_are_connected_to_them(seed):
    rng = np.random.default_rng(seed)
    nuclei = np.kron(
        rng.choice(np.array([0, 0, 0, 1, 5, 400], np.uint16), (6, 7)), np.ones((5, 5), np.uint16)
    )
    plane = ndi.gaussian_filter(rng.random(nuclei.shape), 2)
    cells = propagate_cells(nuclei, plane, max_reach_px=6)
    np.testing.assert_array_equal(cells[nuclei > 0], nuclei[nuclei > 0])
    for label in np.unique(cells[cells > 0]):
        parts, count = ndi.label(cells == label, np.ones((3, 3)))
        assert all((nuclei[parts == k] == label).any() for k in range(1, count + 1))


def test_no_nuclei_no_cells_and_dark_stain_only_nuclei():
    nothing = np.zeros((20, 20), np.uint16)
    assert not propagate_cells(nothing, np.ones((20, 20)), max_reach_px=5).any()
    nuclei = nothing.copy()
    nuclei[5:9, 5:9] = 2
    np.testing.assert_array_equal(
        propagate_cells(nuclei, np.zeros((20, 20)), max_reach_px=5), nuclei
    )


def test_refusals():
    with pytest.raises(FieldError, match="nuclei are"):
        propagate_cells(np.zeros((3, 3), int), np.zeros((3, 4)), max_reach_px=5)
    with pytest.raises(DataError, match="max_reach_px"):
        propagate_cells(np.zeros((3, 3), int), np.zeros((3, 3)), max_reach_px=-1)


def test_a_stain_that_edges_the_nucleus_does_not_shut_its_cell_in():
    nuclei, plane, truth = field()
    ring = ndi.binary_dilation(nuclei == 9, iterations=2) & (nuclei != 9)
    plane[ring] += 500  # e.g. a stain of the nuclear envelope
    cells = propagate_cells(nuclei, plane, max_reach_px=30)
    own, true = cells == 9, truth == 9
    assert (own & true).sum() / (own | true).sum() > 0.75
