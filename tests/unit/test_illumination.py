"""Uneven light: a vignette is found and taken out, a flat plate stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from nucprof.core.illumination import (
    FEWEST,
    Illumination,
    correct,
    enlarged,
    estimate,
    reduced,
)
from nucprof.errors import DataError

SHAPE = (150, 170)


def vignette(drop):
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    r2 = ((y - 70) / SHAPE[0]) ** 2 + ((x - 95) / SHAPE[1]) ** 2
    light = 1 - drop * r2 / r2.max()
    return light / light.mean()


def field(seed, drop, background=80.0, offset=100.0):
    """Nuclei of different brightness under a light, and the same under an even one."""
    rng = np.random.default_rng(seed)
    scene, labels = np.zeros(SHAPE), np.zeros(SHAPE, int)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for label, (cy, cx) in enumerate(rng.uniform((0, 0), SHAPE, (35, 2)), start=1):
        inside = (y - cy) ** 2 + (x - cx) ** 2 < rng.uniform(20, 40)
        scene[inside], labels[inside] = 400 * rng.lognormal(0, 0.3), label
    scene = ndi.gaussian_filter(scene, 0.8) + background
    noise = rng.normal(0, 6, SHAPE)

    def camera(light):
        return np.rint(scene * light + noise + offset).astype(np.uint16)

    return camera(vignette(drop)), camera(1.0), labels


def errors(drop, light, seeds=range(10)):
    """Relative errors of the nuclei's mean intensities, before and after."""
    before, after = [], []
    for seed in seeds:
        uneven, even, labels = field(seed, drop)
        ids = np.unique(labels)[1:]
        true = ndi.mean(even.astype(float), labels, ids)
        before.append(ndi.mean(uneven.astype(float), labels, ids) / true - 1)
        after.append(ndi.mean(correct(uneven, light).astype(float), labels, ids) / true - 1)
    return np.concatenate(before), np.concatenate(after)


@pytest.mark.parametrize("drop", [0.3, 0.5])
def test_a_vignette_goes(drop):
    light = estimate([reduced(field(seed, drop)[0]) for seed in range(40)], SHAPE)
    before, after = errors(drop, light)
    assert before.std() > 0.04
    assert after.std() < 0.02
    assert abs(after.mean()) < 0.02
    assert (light.gain - vignette(drop)).std() < 0.03


def test_a_flat_plate_stays_within_a_percent():
    light = estimate([reduced(field(seed, 0.0)[0]) for seed in range(40)], SHAPE)
    _, after = errors(0.0, light)
    assert np.abs(after).max() < 0.01


def test_an_offset_does_not_flatten_the_gain():
    for offset in (0.0, 1000.0):
        planes = [reduced(field(seed, 0.4, offset=offset)[0]) for seed in range(40)]
        gain = estimate(planes, SHAPE).gain
        assert (gain - vignette(0.4)).std() < 0.03


def test_too_few_fields():
    planes = [reduced(field(seed, 0.4)[0]) for seed in range(FEWEST - 1)]
    with pytest.raises(DataError, match="7 fields are too few, 8 are needed"):
        estimate(planes, SHAPE)


def test_empty_fields_are_even():
    light = estimate([np.zeros((20, 20), np.float32)] * FEWEST, (20, 20))
    assert light.is_even
    assert (light.gain == 1).all()


def test_noise_alone_is_even():
    rng = np.random.default_rng(0)
    planes = [rng.normal(100, 5, (64, 64)).astype(np.float32) for _ in range(20)]
    light = estimate(planes, (64, 64))
    np.testing.assert_allclose(light.gain, 1, atol=0.01)


def test_fields_with_a_few_nuclei_are_even():
    """They cover less than 1% of the pixels: the brighter half of the rest is noise."""
    y, x = np.mgrid[:256, :256]
    for seed in range(12):
        rng = np.random.default_rng(seed)
        planes = rng.normal(150, 5, (FEWEST, 256, 256))
        for plane in planes:
            for cy, cx in rng.uniform(0, 256, (3, 2)):
                plane[(y - cy) ** 2 + (x - cx) ** 2 < 25] += 400
        assert estimate(list(planes.astype(np.float32)), (256, 256)).is_even, seed


def test_debris_at_one_place_of_some_fields_is_not_illumination():
    planes = [field(seed, 0.0)[0] for seed in range(40)]
    for plane in planes[::8]:
        plane[10:50, 20:60] += 20000
    assert estimate([reduced(plane) for plane in planes], SHAPE).is_even
    planes = [field(seed, 0.4)[0] for seed in range(40)]
    for plane in planes[::8]:
        plane[10:50, 20:60] += 20000
    gain = estimate([reduced(plane) for plane in planes], SHAPE).gain
    assert (gain - vignette(0.4)).std() < 0.03


def test_a_known_dark_level_is_the_floor():
    planes = [reduced(field(seed, 0.4)[0]) for seed in range(40)]
    light = estimate(planes, SHAPE, dark=100.0)
    assert (light.floor == 100).all()
    _, after = errors(0.4, light)
    assert after.std() < 0.02


def test_large_images_are_binned_and_a_surface_is_enlarged_to_every_pixel():
    y, x = np.mgrid[:515, :1030]
    plane = (1 + 0.2 * (y / 515) - 0.3 * (x / 1030)).astype(np.float32)
    small = reduced(plane)
    assert small.shape == (103, 206)
    np.testing.assert_allclose(small[2, 3], plane[10:15, 15:20].mean(), rtol=1e-6)
    np.testing.assert_allclose(enlarged(small, plane.shape), plane, atol=2e-3)


def test_no_value_leaves_the_range_of_the_pixels():
    light = Illumination(np.full((2, 2), 0.5, np.float32), np.zeros((2, 2), np.float32))
    assert correct(np.full((2, 2), 200, np.uint8), light).max() == 255


def test_another_size_is_refused():
    light = estimate([reduced(field(seed, 0.4)[0]) for seed in range(8)], SHAPE)
    with pytest.raises(DataError, match="the illumination was estimated for"):
        correct(np.zeros((10, 10), np.uint16), light)
