"""Whole batches equal a slow reference that treats one crop and one channel at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from nucprof.core.crops import extract_crops, real_boxes
from nucprof.learn.cnn.augment import (
    Augmentation,
    augment,
    crop_limits,
    from_numpy,
    network_input,
    normalise,
    pad_square,
    percentiles,
    plate_limits,
    resize,
    to_float,
)
from nucprof.learn.cnn.crop_data import CropsInMemory, RealPixels

RNG = np.random.default_rng(0)
CROPS = RNG.integers(0, 65536, size=(6, 2, 12, 12), dtype=np.uint16)


def draw(n, channels, seed=0):
    return Augmentation.draw(n, channels, torch.Generator().manual_seed(seed))


def slow_augment(crop, angle, flip, brightness, contrast):
    """One crop `(C, S, S)`: every output pixel asks the input where it came from."""
    size = crop.shape[-1]
    centre = (size - 1) / 2
    y, x = np.mgrid[:size, :size] - centre
    x = -x if flip else x
    rows = np.sin(angle) * x + np.cos(angle) * y + centre
    columns = np.cos(angle) * x - np.sin(angle) * y + centre
    out = []
    for channel, b, c in zip(crop, brightness, contrast, strict=True):
        turned = map_coordinates(channel, [rows, columns], order=1, mode="reflect") * b
        out.append(np.clip((turned - turned.mean()) * c + turned.mean(), 0, 1))
    return np.stack(out)


@pytest.mark.parametrize("seed", range(3))
def test_augmentation_equals_the_slow_reference(seed):
    crops = RNG.random((6, 2, 15, 15))
    parameters = draw(6, 2, seed)
    fast = augment(torch.from_numpy(crops).float(), parameters).numpy()
    for i, crop in enumerate(crops):
        slow = slow_augment(
            crop, float(parameters.angle[i]), bool(parameters.flip[i]),
            parameters.brightness[i].numpy(), parameters.contrast[i].numpy(),
        )  # fmt: skip
        np.testing.assert_allclose(fast[i], slow, atol=2e-4)


def fixed(angle, flip):
    one = torch.ones(1, 1)
    return Augmentation(torch.tensor([angle]), torch.tensor([flip]), one, one)


def test_quarter_turns_and_mirrors_are_exact():
    crop = torch.from_numpy(RNG.random((1, 1, 8, 8))).float()
    turned = augment(crop, fixed(np.pi / 2, False))
    np.testing.assert_allclose(turned[0, 0], np.rot90(crop[0, 0], 1), atol=1e-5)
    mirrored = augment(crop, fixed(0.0, True))
    np.testing.assert_allclose(mirrored[0, 0], crop[0, 0].flip(1), atol=1e-5)


def test_parameters_cover_their_ranges_and_follow_the_seed():
    parameters = draw(4000, 3)
    assert 0 <= parameters.angle.min() < 0.1
    assert 6.2 < parameters.angle.max() <= 2 * np.pi
    assert 0.45 < parameters.flip.float().mean() < 0.55
    for factor in (parameters.brightness, parameters.contrast):
        assert 0.8 <= factor.min() < 0.81
        assert 1.19 < factor.max() <= 1.2
    assert torch.equal(draw(5, 2, 3).angle, draw(5, 2, 3).angle)
    assert not torch.equal(draw(5, 2, 3).angle, draw(5, 2, 4).angle)


@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 40),
    low=st.sampled_from([0.0, 0.1, 5.0, 49.0]),
    high=st.sampled_from([51.0, 95.0, 99.9, 100.0]),
)
@settings(max_examples=60, deadline=None)
def test_percentiles_equal_numpys(seed, size, low, high):
    crops = np.random.default_rng(seed).random((2, 3, 1, size)).astype(np.float32)
    expected = np.percentile(crops, [low, high], axis=(2, 3))
    found = percentiles(torch.from_numpy(crops), low=low, high=high)
    np.testing.assert_allclose(found.numpy(), np.moveaxis(expected, 0, -1), atol=1e-5)


def test_uint16_keeps_its_upper_half():
    np.testing.assert_array_equal(to_float(from_numpy(CROPS)).numpy(), CROPS.astype(np.float32))
    small = CROPS.astype(np.uint8)
    np.testing.assert_array_equal(to_float(from_numpy(small)).numpy(), small.astype(np.float32))


def test_normalised_per_crop_and_channel():
    limits = crop_limits(CropsInMemory(CROPS))
    scaled = normalise(to_float(from_numpy(CROPS)), torch.from_numpy(limits)).numpy()
    for i, crop in enumerate(CROPS):
        for c, channel in enumerate(crop):
            low, high = np.percentile(channel, [0.1, 99.9])
            expected = np.clip((channel - low) / (high - low), 0, 1)
            np.testing.assert_allclose(scaled[i, c], expected, atol=1e-4)


def test_a_flat_channel_is_zero_and_not_missing():
    flat = torch.full((1, 1, 4, 4), 7.0)
    assert normalise(flat, percentiles(flat)).abs().max() == 0


def test_plate_limits_keep_intensity_and_every_culture_counts_alike():
    values = [0.0, 10.0, 10.0, 10.0, 1000.0]
    crops = CropsInMemory(np.stack([np.full((1, 4, 4), v, np.float32) for v in values]))
    plates, cultures = np.array(["p", "p", "p", "p", "q"]), np.array(list("abbba"))
    limits = plate_limits(crops, np.arange(5), plates, cultures)
    # of plate p half the pixels are 0 and half 10, however many wells each culture has
    np.testing.assert_allclose(limits["p"], [[0, 10]])
    np.testing.assert_allclose(limits["q"], [[1000, 1000]])
    without = plate_limits(crops, np.array([1, 2]), plates[:2], cultures[1:3])
    np.testing.assert_allclose(without["p"], [[10, 10]])


def test_limits_of_a_crop_at_the_edge_are_those_of_its_real_pixels():
    """A camera offset moves limits by as much and changes no input; padding takes no part."""
    image = RNG.integers(0, 1000, (2, 40, 40), dtype=np.uint16)
    centres = np.array([[2.0, 3.0], [20.0, 20.0], [39.0, 20.0]])
    inputs = []
    for offset in (0, 2000):
        shown = image + np.uint16(offset)
        crops, padded = extract_crops(shown, None, np.arange(3), centres, 16, masked=False)
        assert padded.tolist() == [True, False, True]
        held = CropsInMemory(crops, RealPixels(real_boxes(centres, 16, (40, 40))))
        limits = crop_limits(held)
        parts = (shown[:, :10, :11], shown[:, 12:28, 12:28], shown[:, 31:, 12:28])
        expected = [np.percentile(part.reshape(2, -1), [0.1, 99.9], axis=1).T for part in parts]
        np.testing.assert_allclose(limits, expected, rtol=1e-5)
        inputs.append(network_input(from_numpy(crops), torch.from_numpy(limits), 16))
    np.testing.assert_allclose(inputs[0], inputs[1], atol=1e-5)


def test_limits_of_a_masked_crop_are_those_of_its_cell():
    image = RNG.integers(500, 1000, (2, 20, 20), dtype=np.uint16)
    labels = np.zeros((20, 20), int)
    labels[3:12, 0:6] = 4
    centre = np.array([[7.0, 2.5]])
    crops, _ = extract_crops(image, labels, np.array([4]), centre, 16, masked=True)
    held = CropsInMemory(crops, RealPixels(real_boxes(centre, 16, (20, 20)), masked=True))
    expected = np.percentile(image[:, 3:12, 0:6].reshape(2, -1), [0.1, 99.9], axis=1).T
    np.testing.assert_allclose(crop_limits(held)[0], expected, rtol=1e-5)
    whole = plate_limits(held, np.array([0]), np.array(["p"]), np.array(["a"]))
    np.testing.assert_allclose(whole["p"], expected, rtol=1e-5)
    empty = CropsInMemory(np.zeros((1, 2, 4, 4), np.uint16), RealPixels(masked=True))
    np.testing.assert_array_equal(crop_limits(empty), 0)


def test_padding_and_resizing():
    assert pad_square(torch.ones(1, 1, 3, 6)).tolist()[0][0][0] == [0] * 6
    assert pad_square(torch.ones(1, 1, 3, 6)).sum() == 18
    assert pad_square(torch.ones(1, 1, 6, 3)).shape[-2:] == (6, 6)
    grown = resize(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]]), 4)
    np.testing.assert_allclose(grown[0, 0, 0], [0, 0.25, 0.75, 1])
    stripes = torch.tensor([0.0, 1.0]).repeat(1, 1, 8, 4)
    assert resize(stripes, 4).std() < 0.1  # smoothed, not sampled


def test_network_input_has_the_networks_size_and_range():
    limits = torch.from_numpy(crop_limits(CropsInMemory(CROPS)))
    for parameters in (None, draw(6, 2)):
        ready = network_input(from_numpy(CROPS), limits, 32, parameters)
        assert ready.shape == (6, 2, 32, 32)
        assert ready.dtype == torch.float32
        assert ready.min() >= 0
        assert ready.max() <= 1
