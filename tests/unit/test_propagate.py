"""Cells grown from nuclei."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi

from nucprof.errors import DataError, FieldError
from nucprof.segmentation.propagate import camera_noise, fill_holes, propagate_cells

METHODS = ["propagation", "distance", "watershed"]


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


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_cells_follow_their_stain(method, dtype):
    nuclei, plane, truth = field()
    cells = propagate_cells(nuclei, plane.astype(dtype), method=method).labels
    assert cells.dtype == nuclei.dtype
    for label in (4, 9, 70000):
        own, true = cells == label, truth == label
        assert (own & true).sum() / (own | true).sum() > 0.85


def test_the_reach_ends_a_cell_on_bright_background():
    nuclei = np.zeros((60, 60), np.uint16)
    nuclei[disc(nuclei.shape, 30, 30, 5)] = 3
    plane = np.full((60, 60), 50.0)
    cells = propagate_cells(nuclei, plane, reach=0.8, threshold=10).labels
    distance = ndi.distance_transform_edt(nuclei == 0)
    diameter = np.sqrt(4 / np.pi * (nuclei > 0).sum())
    np.testing.assert_array_equal(cells == 3, distance <= 0.8 * diameter)


@pytest.mark.parametrize("method", METHODS)
def test_equal_stain_is_shared_half_way(method):
    nuclei = np.zeros((21, 61), np.int32)
    nuclei[8:13, 8:13], nuclei[8:13, 48:53] = 1, 2
    cells = propagate_cells(nuclei, np.full((21, 61), 9.0), method=method, threshold=1).labels
    assert (cells[:, :29] == 1).all()
    assert (cells[:, 32:] == 2).all()


def only_inside(cells, label):
    """Background that meets no object but one."""
    parts, _ = ndi.label(cells == 0)
    others = ndi.binary_dilation((cells > 0) & (cells != label)) & (parts > 0)
    return (parts > 0) & ~np.isin(parts, np.unique(parts[others]))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from(METHODS))
def test_nuclei_stay_and_cells_are_connected_to_them(seed, method):
    rng = np.random.default_rng(seed)
    nuclei = np.kron(
        rng.choice(np.array([0, 0, 0, 1, 5, 400], np.uint16), (6, 7)), np.ones((5, 5), np.uint16)
    )
    plane = ndi.gaussian_filter(rng.random(nuclei.shape), 2)
    cells = propagate_cells(nuclei, plane, method=method).labels
    np.testing.assert_array_equal(cells[nuclei > 0], nuclei[nuclei > 0])
    for label in np.unique(cells[cells > 0]):
        parts, count = ndi.label(cells == label, np.ones((3, 3)))
        assert all((nuclei[parts == k] == label).any() for k in range(1, count + 1))
        outside, _ = ndi.label(np.pad(cells != label, 1, constant_values=True))
        enclosed = (outside[1:-1, 1:-1] != outside[0, 0]) & (cells != label)
        assert not (enclosed & (cells == 0) & only_inside(cells, label)).any()


def test_no_nuclei_no_cells_and_no_stain_a_rim():
    nothing = np.zeros((40, 40), np.uint16)
    assert not propagate_cells(nothing, np.ones((40, 40))).labels.any()
    nuclei = nothing.copy()
    nuclei[disc(nuclei.shape, 20, 20, 6)] = 2
    dark = propagate_cells(nuclei, np.full((40, 40), 7.0))
    assert np.isnan(dark.threshold)
    away = ndi.distance_transform_edt(nuclei == 0)
    diameter = np.sqrt(4 / np.pi * (nuclei > 0).sum())
    np.testing.assert_array_equal(dark.labels == 2, away <= 0.5 * diameter)
    rim = propagate_cells(nuclei, np.zeros((40, 40)), threshold=1).labels
    np.testing.assert_array_equal(rim, nuclei)


def test_an_unstained_cell_among_stained_ones_is_its_nucleus():
    nuclei, plane, _ = field()
    plane[50:, 75:] = 100 + np.random.default_rng(1).normal(0, 2, plane[50:, 75:].shape)
    cells = propagate_cells(nuclei, plane).labels
    np.testing.assert_array_equal(cells == 4, nuclei == 4)
    assert (cells == 9).sum() > 3 * (nuclei == 9).sum()


def test_a_field_without_background_takes_that_of_the_plate():
    shape, rng = (60, 60), np.random.default_rng(0)
    nuclei, truth = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    for label, (y, x) in enumerate([(15, 15), (15, 45), (45, 15), (45, 45)], start=1):
        nuclei[disc(shape, y, x, 8)] = label
        truth[y - 15 : y + 15, x - 15 : x + 15] = label
    depth = ndi.gaussian_filter((nuclei > 0).astype(float), 6)  # thinner away from the nucleus
    plane = 100 + 100 * (0.3 + depth / depth.max()) + rng.normal(0, 2, shape)
    alone = propagate_cells(nuclei, plane)
    known = propagate_cells(nuclei, plane, background=100)
    assert known.threshold == pytest.approx(100 + 0.25 * 100, abs=8)
    assert alone.threshold > 130
    assert (known.labels > 0).all()
    assert np.mean(known.labels == truth) > 0.95


def test_debris_does_not_move_the_threshold():
    nuclei, plane, _ = field()
    dirty = plane.copy()
    dirty[2:6, 100:110] = 60000
    clean = propagate_cells(nuclei, plane)
    found = propagate_cells(nuclei, dirty, method="distance")
    assert found.threshold == pytest.approx(clean.threshold, rel=0.02)
    assert 105 < clean.threshold < 200


@pytest.mark.parametrize("kind", ["round", "spread", "processes", "confluent"])
def test_simulated_cells_are_found(kind):
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    from cells import score, simulate

    nuclei, plane, truth = simulate(kind, 22, seed=5, side=200)
    hits, found, true, dice = score(truth, propagate_cells(nuclei, plane).labels)
    assert 2 * hits / (found + true) >= 0.85
    assert np.mean(dice) > 0.75


def test_holes_that_one_object_encloses_are_filled():
    labels = np.zeros((12, 20), np.int32)
    labels[1:8, 1:8] = 5
    labels[3:5, 3:5] = 0
    labels[1:8, 8:15] = 9
    labels[4, 7:9] = 0  # between two objects
    filled = fill_holes(labels)
    expected = labels.copy()
    expected[3:5, 3:5] = 5
    np.testing.assert_array_equal(filled, expected)


def test_the_noise_of_a_slope_is_that_of_the_camera():
    rng = np.random.default_rng(0)
    slope = np.add.outer(np.arange(200.0), 3 * np.arange(150.0))
    assert camera_noise(slope) == 0
    assert camera_noise(slope + rng.normal(0, 7, slope.shape)) == pytest.approx(7, rel=0.03)


def test_refusals():
    with pytest.raises(FieldError, match="nuclei are"):
        propagate_cells(np.zeros((3, 3), int), np.zeros((3, 4)))
    with pytest.raises(DataError, match="reach"):
        propagate_cells(np.zeros((3, 3), int), np.zeros((3, 3)), reach=-1)


def test_a_stain_that_edges_the_nucleus_does_not_shut_its_cell_in():
    nuclei, plane, truth = field()
    ring = ndi.binary_dilation(nuclei == 9, iterations=2) & (nuclei != 9)
    plane[ring] += 500  # e.g. a stain of the nuclear envelope
    cells = propagate_cells(nuclei, plane).labels
    own, true = cells == 9, truth == 9
    assert (own & true).sum() / (own | true).sum() > 0.75
