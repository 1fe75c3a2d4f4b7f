"""Cells that cannot be judged in a round: against planted losses."""

import numpy as np
import pytest

from nucprof.core.lost import lost_cells
from nucprof.errors import FieldError


def field_of_squares(dtype=np.uint32):
    labels = np.zeros((60, 80), dtype)
    for label, y, x in ((3, 10, 10), (70000, 10, 40), (12, 35, 10), (5, 35, 60)):
        labels[y : y + 12, x : x + 12] = label
    return labels


@pytest.mark.parametrize("large", [False, True])
def test_cells_are_lost_for_their_own_reason(large):
    labels = field_of_squares()
    if large:
        labels[labels == 70000] = 4_000_000_000
    name = 4_000_000_000 if large else 70000
    rng = np.random.default_rng(1)
    painted = np.where(labels > 0, 1000, 100) + rng.normal(0, 5, labels.shape)
    stain = rng.normal(100, 5, labels.shape)
    stain[labels > 0] += 900
    stain[labels == 12] = 100  # washed away
    stain[labels == 3] -= 500  # dim, but there
    stain[35:36, 10:22] = 1000  # a twelfth of nucleus 12
    valid = np.ones(labels.shape, bool)
    lost = lost_cells(labels, labels, (painted, stain), valid)
    assert lost["outside_overlap"].size == 0
    assert lost["lost_nucleus"].tolist() == [12]
    assert (
        lost_cells(labels, labels, (painted, stain), valid, lost_ratio=0.05)["lost_nucleus"].size
        == 0
    )
    valid[:, 70:] = False
    valid[:11] = False
    lost = lost_cells(labels, labels, (painted, stain), valid)
    assert lost["outside_overlap"].tolist() == [3, 5, name]
    assert lost["lost_nucleus"].tolist() == [12]
    without = lost_cells(labels, labels, None, valid)
    assert without["outside_overlap"].tolist() == [3, 5, name]
    assert without["lost_nucleus"].size == 0


def test_half_of_all_nuclei_lost_and_a_whole_cell_outside():
    nucleus = field_of_squares()
    cell = nucleus.copy()
    cell[35:47, 72:79] = 5  # the cell reaches farther than its nucleus
    stain = np.where(np.isin(nucleus, (3, 5)), 2000, 80).astype(np.uint16)
    valid = np.ones(nucleus.shape, bool)
    valid[:, 76:] = False
    painted = np.where(nucleus > 0, 2000, 80).astype(np.uint16)
    lost = lost_cells(cell, nucleus, (painted, stain), valid)
    assert lost["outside_overlap"].tolist() == [5]
    assert lost["lost_nucleus"].tolist() == [12, 70000]


def test_no_cells_nothing_lost():
    empty = np.zeros((9, 9), np.uint16)
    stains = np.ones((9, 9)), np.ones((9, 9))
    lost = lost_cells(empty, empty, stains, np.zeros((9, 9), bool))
    assert all(ids.size == 0 for ids in lost.values())


def planted(seed, *, lost=0.2, fainter=1.0, fainter_in_round=1.0, lamp=0.0, background=200.0):
    """A field of disks of two kinds: labels, the two stains, and which labels are gone."""
    rng = np.random.default_rng(seed)
    size, pitch = 420, 28
    yy, xx = np.mgrid[:size, :size]
    labels = np.zeros((size, size), np.uint16)
    painted, stain = np.zeros((2, size, size))
    gone, label = [], 0
    for y in range(pitch // 2, size, pitch):
        for x in range(pitch // 2, size, pitch):
            label += 1
            away = np.hypot(yy - y - rng.uniform(-5, 5), xx - x - rng.uniform(-5, 5))
            disk = np.clip((8 - away) / 2, 0, 1)  # an edge two pixels wide
            level, second = rng.uniform(600, 2500), label % 2
            level /= fainter if second else 1
            labels[away < 7] = label
            painted += level * disk
            if rng.random() < lost:
                gone.append(label)
            else:
                stain += level / (fainter_in_round if second else 1) * disk
    light = 1 - lamp * (yy**2 + xx**2) / (2 * size**2)
    painted += background + rng.normal(0, 15, painted.shape)
    stain = (stain + background) * light + rng.normal(0, 15, stain.shape)
    return labels, (painted, stain), np.array(gone)


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"fainter": 3},
        {"fainter": 4},
        {"fainter": 5},
        {"fainter_in_round": 5},
        {"lamp": 0.6, "background": 2000.0},
        {"lost": 0.8},
        {"lost": 0.8, "fainter": 5},
        {"lost": 0.0, "fainter": 5},
    ],
    ids=str,
)
def test_dim_classes_and_lamps_lose_nothing_but_what_is_lost(kind):
    """One grey level per field took 90% of a class five times fainter, and none of the other."""
    labels, stains, gone = planted(3, **kind)
    found = lost_cells(labels, labels, stains, np.ones(labels.shape, bool))["lost_nucleus"]
    there = labels.max() - len(gone)
    assert len(np.setdiff1d(found, gone)) <= 0.005 * there
    assert len(np.intersect1d(found, gone)) >= 0.95 * len(gone)


def test_a_blank_round_has_lost_everything():
    labels, (painted, _), _ = planted(0)
    blank = np.random.default_rng(1).normal(200, 15, labels.shape)
    found = lost_cells(labels, labels, (painted, blank), np.ones(labels.shape, bool))
    assert len(found["lost_nucleus"]) > 0.95 * labels.max()


def test_what_cell_painting_does_not_show_cannot_be_lost():
    labels, _, _ = planted(0)
    nothing = np.random.default_rng(1).normal(200, 15, (2, *labels.shape))
    found = lost_cells(labels, labels, tuple(nothing), np.ones(labels.shape, bool))
    assert len(found["lost_nucleus"]) < 0.05 * labels.max()


def test_images_of_two_sizes_are_refused():
    labels = field_of_squares()
    with pytest.raises(FieldError, match="one shape"):
        lost_cells(labels, labels, (labels, labels[:-1]), labels > 0)
