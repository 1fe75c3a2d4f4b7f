"""Registration: planted shifts, chance, moved images, lost cells."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucprof.core.registration import estimate_shift
from nucprof.core.verdict import flag_outliers
from nucprof.errors import DataError, FieldError


def nuclei(rng, count, area=(400, 400)):
    """Nuclei as (y, x, radius, radius, angle, brightness), anywhere in and around an area."""
    return np.column_stack(
        (
            rng.uniform(-60, area[0] + 60, count),
            rng.uniform(-60, area[1] + 60, count),
            rng.uniform(5, 9, (count, 2)),
            rng.uniform(0, np.pi, count),
            rng.uniform(300, 1500, count),
        )
    )


def draw(objects, shape, shift=(0.0, 0.0)):
    """Draw nuclei by formula, so that any fraction of a pixel is exact."""
    image = np.zeros(shape)
    for y, x, a, b, angle, level in objects:
        y, x = y + shift[0], x + shift[1]
        top, left = max(0, int(y) - 20), max(0, int(x) - 20)
        bottom, right = min(shape[0], int(y) + 21), min(shape[1], int(x) + 21)
        if top >= bottom or left >= right:
            continue
        yy, xx = np.mgrid[top:bottom, left:right]
        u = (yy - y) * np.cos(angle) + (xx - x) * np.sin(angle)
        v = (xx - x) * np.cos(angle) - (yy - y) * np.sin(angle)
        image[top:bottom, left:right] += level / (1 + np.exp(4 * ((u / a) ** 2 + (v / b) ** 2 - 1)))
    return image


def pair(seed=0, shape=(220, 260), other=None, shift=(7.3, -12.6), noise=15, density=1 / 1500):
    rng = np.random.default_rng(seed)
    count = int((shape[0] + 120) * (shape[1] + 120) * density)
    objects = nuclei(rng, count, shape)
    other = other or shape
    fixed = draw(objects, shape) + rng.normal(200, noise, shape)
    moving = draw(objects, other, shift) + rng.normal(150, noise, other)
    return fixed, moving


def error(found, shift):
    return np.hypot(found.shift_y - shift[0], found.shift_x - shift[1])


# --- planted shifts ------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    shift=st.tuples(st.floats(-60, 60), st.floats(-60, 60)),
    shape=st.sampled_from([(200, 200), (180, 300), (301, 199)]),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32]),
)
def test_planted_shifts_come_back(seed, shift, shape, dtype):
    fixed, moving = pair(seed, shape, shift=shift)
    scale = 0.08 if dtype == np.uint8 else 1
    found = estimate_shift(
        (fixed * scale).astype(dtype), (moving * scale).astype(dtype), max_shift_px=90
    )
    assert error(found, shift) < 0.15
    assert found.significant
    covered = np.prod([1 - abs(s) / n for s, n in zip(shift, shape, strict=True)])
    assert found.overlap == pytest.approx(covered, abs=0.02)


@pytest.mark.parametrize("other", [(160, 250), (260, 300), (230, 200)])
def test_images_of_other_size(other):
    shift = (-14.25, 9.5)
    found = estimate_shift(*pair(3, (220, 240), other, shift), max_shift_px=60)
    assert error(found, shift) < 0.15
    assert found.significant


@pytest.mark.parametrize("shape", [(700, 610), (1600, 1541)])
def test_large_images_are_searched_binned_and_still_exact(shape):
    fixed, moving = pair(1, shape, shift=(-101.37, 55.81), density=1 / 4000)
    found = estimate_shift(fixed, moving, max_shift_px=150)
    assert error(found, (-101.37, 55.81)) < 0.05


def published_shift(fixed, moving):
    """The scripts' way (METHOD, fault 5): cross-correlation with the mean left in."""
    product = np.fft.irfft2(np.conj(np.fft.rfft2(fixed)) * np.fft.rfft2(moving), fixed.shape)
    return np.unravel_index(product.argmax(), product.shape)


@pytest.mark.parametrize("background", ["constant", "gradient", "vignette"])
def test_background_does_not_lock_the_shift_to_zero(background):
    shift, shape = (-31.4, 22.2), (220, 260)
    fixed, moving = pair(5, shape, shift=shift, density=1 / 6000)
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    light = {
        "constant": np.full(shape, 3000.0),
        "gradient": 10.0 * xx + 6.0 * yy,
        "vignette": 4000 - 0.1 * ((yy - 100) ** 2 + (xx - 140) ** 2),
    }[background]
    found = estimate_shift(fixed + light, moving + light, max_shift_px=80)
    assert error(found, shift) < 0.3
    assert found.significant
    if background == "vignette":
        near = [
            min(i, n - i)
            for i, n in zip(published_shift(fixed + light, moving + light), shape, strict=True)
        ]
        assert max(near) < 10  # what the scripts would have found


def test_hot_pixels_stay_where_they_are_and_do_not_count():
    rng = np.random.default_rng(8)
    fixed, moving = pair(8, shift=(15.2, 20.7), density=1 / 4000)
    hot = rng.random(fixed.shape) < 2e-3
    fixed[hot], moving[hot] = 60000, 60000
    found = estimate_shift(fixed, moving, max_shift_px=60)
    assert error(found, (15.2, 20.7)) < 0.2
    assert found.significant


def test_low_signal():
    fixed, moving = pair(2, shift=(-9.3, 17.8), noise=500)
    found = estimate_shift(fixed, moving, max_shift_px=60)
    assert error(found, (-9.3, 17.8)) < 0.8
    assert found.significant


@pytest.mark.parametrize("seed", range(4))
def test_another_stain_that_shows_a_third_of_the_nuclei(seed):
    rng = np.random.default_rng(seed)
    shape, shift = (300, 320), (12.4, -30.9)
    objects = nuclei(rng, 120, shape)
    marked = objects[rng.random(len(objects)) < 0.33]
    marked[:, 5] = rng.uniform(200, 900, len(marked))  # the marker's brightness is its own
    fixed = draw(objects, shape) + rng.normal(200, 15, shape)
    moving = draw(marked, shape, shift) + rng.normal(100, 15, shape)
    found = estimate_shift(fixed, moving, max_shift_px=80)
    assert error(found, shift) < 0.25
    assert found.significant


def test_a_few_cells():
    rng = np.random.default_rng(11)
    objects = nuclei(rng, 6, (150, 150))
    objects[:, :2] = rng.uniform(40, 200, (6, 2))
    fixed = draw(objects, (240, 240)) + rng.normal(200, 10, (240, 240))
    moving = draw(objects, (240, 240), (8.5, -5.25)) + rng.normal(200, 10, (240, 240))
    found = estimate_shift(fixed, moving, max_shift_px=40)
    assert error(found, (8.5, -5.25)) < 0.25
    assert found.significant


# --- chance --------------------------------------------------------------------------------------


def test_fields_that_do_not_belong_together_are_told():
    called = []
    for seed in range(30):
        density = (1 / 1500, 1 / 6000, 1 / 20000)[seed % 3]
        fixed, _ = pair(2 * seed, (200, 200), density=density)
        _, moving = pair(2 * seed + 1, (200, 200), density=density)
        called.append(estimate_shift(fixed, moving, max_shift_px=60).significant)
    assert sum(called) == 0


def test_one_nucleus_each_proves_nothing():
    one, two = (draw([[y, 90, 7, 6, 0.3, 900]], (200, 200)) for y in (80, 95))
    noise = np.random.default_rng(0).normal(100, 10, (2, 200, 200))
    found = estimate_shift(one + noise[0], two + noise[1], max_shift_px=50)
    assert error(found, (15, 0)) < 0.5
    assert not found.significant


def test_common_vignetting_or_a_grid_proves_nothing():
    rng = np.random.default_rng(4)
    yy, xx = np.mgrid[:200, :200]
    vignette = 3000 - 0.1 * ((yy - 100) ** 2 + (xx - 100) ** 2)
    grid = 500 * (np.sin(2 * np.pi * yy / 20) * np.sin(2 * np.pi * xx / 20) + 1)
    for pattern in (vignette, grid):
        fixed, moving = pattern + rng.normal(0, 20, (2, 200, 200))
        assert not estimate_shift(fixed, moving, max_shift_px=50).significant


@pytest.mark.parametrize("which", ["fixed", "moving", "both"])
def test_an_empty_image_is_no_match_and_no_crash(which):
    fixed, moving = pair(0, (120, 130))
    if which in ("fixed", "both"):
        fixed = np.zeros((120, 130), np.uint16)
    if which in ("moving", "both"):
        moving = np.full((120, 130), 7, np.uint16)
    found = estimate_shift(fixed, moving, max_shift_px=40)
    assert not found.significant
    assert found.score == 0
    assert np.isnan(found.shift_y)


def test_signal_outside_the_overlap_is_no_crash():
    fixed, moving = np.zeros((2, 100, 100), np.uint8)
    fixed[2:8, 2:8], moving[90:97, 90:97] = 9, 9
    assert not estimate_shift(fixed, moving, max_shift_px=30).significant


def test_the_search_ends_at_the_largest_shift():
    fixed, moving = pair(6, (200, 200), shift=(50, 40))
    assert estimate_shift(fixed, moving, max_shift_px=65).significant
    near = estimate_shift(fixed, moving, max_shift_px=60)  # nuclei overlap there already
    assert near.score > near.threshold
    assert near.at_limit
    assert not near.significant
    assert not estimate_shift(fixed, moving, max_shift_px=30).significant


def test_same_seed_same_answer():
    images = pair(9, (150, 150))
    first, second = (estimate_shift(*images, max_shift_px=40, seed=4) for _ in range(2))
    assert first == second


def test_refusals():
    plane = np.ones((50, 50))
    with pytest.raises(DataError, match="min_overlap"):
        estimate_shift(plane, np.ones((20, 50)), max_shift_px=200, min_overlap=0.5)
    with pytest.raises(FieldError, match="one plane"):
        estimate_shift(plane, np.ones((3, 50, 50)))
    with pytest.raises(DataError, match="null samples"):
        estimate_shift(plane, plane, null_samples=1)


# --- the plate ----------------------------------------------------------------------------------


def test_outliers_of_a_plate():
    rng = np.random.default_rng(0)
    shifts = rng.normal((30, -12), 1.5, (40, 2))
    assert not flag_outliers(shifts).any()
    shifts[7] = 30, 40
    shifts[20] = -60, -12
    np.testing.assert_array_equal(np.flatnonzero(flag_outliers(shifts)), [7, 20])
    assert not flag_outliers(shifts[6:9]).any()  # three fields say nothing
    steady = np.tile([5.0, 5.0], (10, 1))
    steady[3] += 4  # within the floor
    assert not flag_outliers(steady).any()
    assert flag_outliers(np.zeros((0, 2))).shape == (0,)


# --- real images ---------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [slice(0, 1), slice(1, None)], ids=["nuclear", "markers"])
def test_real_fields(shared_data, channels):
    import tifffile

    plate = shared_data / "coculture"
    truth = json.loads((plate / "truth" / "shifts.json").read_text())
    for field, shift in truth.items():
        row, column, _ = field.split("-")
        images = [
            tifffile.imread(next((plate / part).glob(f"Well{row}{column}_*")))
            for part in ("CP", "GT")
        ]
        found = estimate_shift(images[0][0], images[1][channels].max(axis=0))
        assert error(found, shift) < 0.15
        assert found.significant
