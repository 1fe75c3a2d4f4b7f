"""Seeds that share an area, against the shortest ways of scipy's Dijkstra."""

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

from nucprof.core.propagation import propagate
from nucprof.errors import FieldError


def slowly(seeds, image, mask, regularisation):
    """Cost of the cheapest way from each label's seed to each pixel, ``(labels, H, W)``."""
    height, width = seeds.shape
    number = np.arange(seeds.size).reshape(seeds.shape)
    allowed = mask | (seeds > 0)
    rows, cols, costs = [], [], []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for y in range(height):
            for x in range(width):
                v, u = y + dy, x + dx
                if 0 <= v < height and 0 <= u < width and allowed[y, x] and allowed[v, u]:
                    length = (dy * dy + dx * dx) * regularisation**2
                    rows.append(number[y, x])
                    cols.append(number[v, u])
                    costs.append(np.sqrt((image[y, x] - image[v, u]) ** 2 + length))
    graph = sparse.coo_matrix((costs, (rows, cols)), (seeds.size, seeds.size)).tocsr()
    names = np.unique(seeds)[1:]
    ways = []
    for name in names:
        starts = number[seeds == name]
        ways.append(dijkstra(graph, directed=False, indices=starts).min(axis=0))
    return names, np.array(ways).reshape(len(names), height, width)


@pytest.mark.parametrize("regularisation", [0.05, 0.5])
def test_pixels_belong_to_the_seed_of_the_cheapest_way(regularisation):
    rng = np.random.default_rng(0)
    image = rng.random((18, 23))
    seeds = np.zeros((18, 23), np.int32)
    seeds[3:5, 4:6], seeds[12, 15:18], seeds[5, 20] = 7, 2, 9
    mask = rng.random((18, 23)) < 0.85
    found = propagate(seeds, image, mask, regularisation)
    names, ways = slowly(seeds, image, mask, regularisation)
    # Costs are counted in 256ths: a pixel whose ways cost nearly the same may go to either.
    least = ways.min(axis=0)
    reached = np.isfinite(least) & (seeds == 0)
    assert ((found > 0) == (np.isfinite(least) | (seeds > 0))).all()
    rows, cols = np.nonzero(reached)
    taken = ways[np.searchsorted(names, found[reached]), rows, cols]
    assert (taken - least[reached] < 0.1).all()
    assert np.mean(names[ways.argmin(axis=0)][reached] == found[reached]) > 0.95
    np.testing.assert_array_equal(found[seeds > 0], seeds[seeds > 0])


def test_an_edge_of_the_image_is_the_border_and_the_middle_where_there_is_none():
    seeds = np.zeros((21, 60), np.int32)
    seeds[8:13, 8:13], seeds[8:13, 47:52] = 1, 2
    mask = np.ones(seeds.shape, bool)
    even = propagate(seeds, np.zeros(seeds.shape), mask, 0.05)
    assert (np.abs((even == 1).sum(axis=1) - 30) <= 1).all()
    step = np.where(np.arange(60) < 40, 0.0, 1.0) * np.ones((21, 1))
    found = propagate(seeds, step, mask, 0.01)
    np.testing.assert_array_equal((found == 1).sum(axis=1), 40)


def test_nothing_grows_outside_the_mask_or_without_seeds():
    seeds = np.zeros((12, 12), np.int32)
    mask = np.zeros(seeds.shape, bool)
    mask[2:6, 2:6], mask[8:, 8:] = True, True
    assert not propagate(seeds, np.zeros(seeds.shape), mask, 0.05).any()
    seeds[3, 3] = 500
    found = propagate(seeds, np.zeros(seeds.shape), mask, 0.05)
    np.testing.assert_array_equal(found == 500, mask & (np.arange(12) < 7))


def test_shapes_must_agree():
    with pytest.raises(FieldError, match="the mask"):
        propagate(np.zeros((3, 3), int), np.zeros((3, 4)), np.ones((3, 3), bool), 0.05)
