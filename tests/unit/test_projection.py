"""Focal planes made into one image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from nucprof.core.projection import project, sharpness


def planes(dtype="uint16"):
    return np.array([[[[1, 9], [4, 0]]], [[[2, 3], [8, 1]]], [[[2, 0], [9, 1]]]], dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_max_and_mean_by_hand(dtype):
    brightest = project(iter(planes(dtype)), "max")
    assert brightest.tolist() == [[[2, 9], [9, 1]]]
    mean = project(iter(planes(dtype)), "mean")
    if dtype == "float32":
        np.testing.assert_allclose(mean, [[[5 / 3, 4], [7, 2 / 3]]], rtol=1e-6)
    else:
        assert mean.tolist() == [[[2, 4], [7, 1]]]
    assert brightest.dtype == mean.dtype == np.dtype(dtype)


def test_the_mean_of_bright_planes_does_not_overflow():
    bright = np.full((40, 1, 3, 3), 65535, np.uint16)
    assert (project(iter(bright), "mean") == 65535).all()


def test_best_focus_is_chosen_for_every_channel():
    rng = np.random.default_rng(0)
    sharp = np.zeros((2, 80, 80))
    for y, x in rng.integers(8, 72, (30, 2)):
        sharp[:, y - 3 : y + 3, x - 3 : x + 3] = 1000
    focus = (1, 3)  # the plane in which each channel is sharp
    stack = np.stack(
        [
            [ndi.gaussian_filter(sharp[c], 0.3 + 2 * abs(z - focus[c])) for c in range(2)]
            for z in range(5)
        ]
    )
    stack = (stack + 100 + rng.normal(0, 10, stack.shape)).astype(np.uint16)
    found = project(iter(stack), "best_focus")
    np.testing.assert_array_equal(found[0], stack[1, 0])
    np.testing.assert_array_equal(found[1], stack[3, 1])


def test_a_brighter_background_is_not_sharper():
    flat = np.full((40, 40), 5000, np.uint16)
    assert sharpness(flat) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("method", ["max", "mean", "best_focus"])
def test_one_plane_is_itself(method):
    one = planes()[:1]
    np.testing.assert_array_equal(project(iter(one), method), one[0])


def test_what_is_refused():
    with pytest.raises(ValueError, match="no focal plane"):
        project(iter(()), "max")
    with pytest.raises(ValueError, match="unknown projection 'sum'"):
        project(iter(planes()), "sum")
