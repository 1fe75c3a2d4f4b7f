"""Cells and their nuclei."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucprof.core.cells import match_cells
from nucprof.errors import DataError, FieldError


def boxes(shape, *objects, dtype=np.uint32):
    labels = np.zeros(shape, dtype)
    for label, top, left, bottom, right in objects:
        labels[top:bottom, left:right] = label
    return labels


def test_nuclei_take_their_cells_labels():
    cells = boxes((20, 40), (70000, 0, 0, 20, 10), (5, 0, 10, 20, 20), (9, 0, 30, 5, 35))
    nuclei = boxes((20, 40), (1, 5, 2, 10, 6), (2, 5, 8, 10, 16), (3, 10, 22, 14, 26))
    matched = match_cells(cells, nuclei)
    assert matched.nucleus_of == {70000: 1, 5: 2}
    assert matched.without_nucleus.tolist() == [9]
    assert matched.without_cell.tolist() == [3]
    # Nucleus 2 reaches two pixels into cell 70000: that part is nobody's nucleus.
    np.testing.assert_array_equal(
        matched.nuclei, boxes((20, 40), (70000, 5, 2, 10, 6), (5, 5, 10, 10, 16))
    )
    assert set(np.unique(matched.cells)) == {0, 5, 70000}
    assert matched.cells.dtype == cells.dtype


def test_a_cell_keeps_its_largest_nucleus():
    cells = boxes((20, 20), (1, 0, 0, 20, 20))
    nuclei = boxes((20, 20), (8, 2, 2, 6, 6), (4, 10, 10, 18, 18))
    matched = match_cells(cells, nuclei)
    assert matched.nucleus_of == {1: 4}
    assert matched.without_cell.tolist() == [8]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**16))
def test_nothing_is_lost_and_nothing_overlaps(seed):
    rng = np.random.default_rng(seed)
    names = np.array([0, 2, 3, 300, 65536], np.uint32)
    cells = np.kron(rng.choice(names, (4, 5)), np.ones((4, 4), np.uint32))
    nuclei = np.kron(rng.choice(names, (8, 10)), np.ones((2, 2), np.uint32))
    matched = match_cells(cells, nuclei)
    everything = set(np.unique(cells[cells > 0]).tolist())
    kept = set(np.unique(matched.cells[matched.cells > 0]).tolist())
    assert kept | set(matched.without_nucleus.tolist()) == everything
    assert not kept & set(matched.without_nucleus.tolist())
    assert kept == set(np.unique(matched.nuclei[matched.nuclei > 0]).tolist())
    inside = matched.nuclei > 0
    np.testing.assert_array_equal(matched.nuclei[inside], matched.cells[inside])
    used = set(matched.nucleus_of.values())
    assert used | set(matched.without_cell.tolist()) == set(np.unique(nuclei[nuclei > 0]).tolist())
    assert len(used) == len(matched.nucleus_of)
    for cell, nucleus in matched.nucleus_of.items():
        np.testing.assert_array_equal(matched.nuclei == cell, (cells == cell) & (nuclei == nucleus))
    whole = matched.cytoplasm + matched.nuclei
    np.testing.assert_array_equal(whole, matched.cells)


def test_nuclei_by_threshold_when_there_is_no_mask():
    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[:60, :100]
    plane = rng.normal(100, 3, (60, 100))
    # A dim and a bright nucleus: one threshold for the field would lose the dim one.
    dim, bright = (yy - 30) ** 2 + (xx - 25) ** 2 < 64, (yy - 30) ** 2 + (xx - 75) ** 2 < 64
    plane[dim] += 60
    plane[bright] += 2000
    cells = boxes((60, 100), (7, 10, 5, 50, 45), (400, 10, 55, 50, 95))
    matched = match_cells(cells, None, plane)
    for label, truth in ((7, dim), (400, bright)):
        found = matched.nuclei == label
        assert (found & truth).sum() / (found | truth).sum() > 0.8
    assert matched.without_nucleus.size == 0


def test_a_cell_of_one_grey_level_has_no_nucleus():
    matched = match_cells(boxes((9, 9), (3, 1, 1, 8, 8)), None, np.full((9, 9), 5, np.uint8))
    assert matched.without_nucleus.tolist() == [3]
    assert not matched.cells.any()


def test_noise_is_no_nucleus():
    plane = np.random.default_rng(1).normal(100, 5, (60, 60))
    matched = match_cells(boxes((60, 60), (3, 5, 5, 55, 55)), None, plane)
    assert matched.without_nucleus.tolist() == [3]


def test_empty():
    nothing = np.zeros((5, 6), np.uint16)
    for nuclei, plane in ((nothing, None), (None, np.ones((5, 6)))):
        matched = match_cells(nothing, nuclei, plane)
        assert not matched.cells.any()
        assert matched.without_nucleus.size == matched.without_cell.size == 0


def test_refusals():
    cells = np.ones((4, 4), np.uint16)
    with pytest.raises(DataError, match="nuclear channel"):
        match_cells(cells, None, None)
    with pytest.raises(FieldError, match="different images"):
        match_cells(cells, np.ones((4, 5), np.uint16))
