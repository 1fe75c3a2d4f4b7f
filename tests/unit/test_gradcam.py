"""LayerCAM points to what decides, and attention is measured on the cell's own nucleus."""

import numpy as np
import pytest
import torch
from torch import nn

from nucprof.core.crops import resize_mask
from nucprof.errors import ModelError
from nucprof.learn.cnn.crop_data import CropsInMemory
from nucprof.learn.cnn.device import predict_logits
from nucprof.learn.cnn.gradcam import (
    attention_inside,
    attention_maps,
    choose_crops,
    deletion,
    layer_to_explain,
    random_maps,
)
from nucprof.learn.cnn.inputs import InputPath
from nucprof.learn.cnn.network import build_network

SIZE = 16


def bright_spot_network():
    """Class 1 where a spot in channel 1 is bright, class 0 where one in channel 0 is."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 2, 3, padding=1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(2, 2, bias=False),
    )  # fmt: skip
    with torch.no_grad():
        network[0].weight.zero_()
        network[0].weight[0, 0], network[0].weight[1, 1] = 1 / 9, 1 / 9
        network[4].weight.copy_(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
    return network


def inputs_of(crops, *, bfloat16=False):
    limits = np.tile(np.array([0, 1], np.float32), (len(crops), 2, 1))
    crops = CropsInMemory(crops.astype(np.float32))
    return InputPath(crops, limits, SIZE, "cpu", bfloat16=bfloat16)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_map_lies_on_the_spot_that_speaks_for_the_class(bfloat16):
    crops = np.zeros((2, 2, SIZE, SIZE))
    crops[:, 0, 2:6, 2:6] = 1  # speaks for class 0
    crops[:, 1, 9:13, 9:13] = 1  # speaks for class 1
    inputs = inputs_of(crops, bfloat16=bfloat16)
    maps = attention_maps(bright_spot_network(), inputs, np.array([0, 1]), np.array([0, 1]))
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), 1, atol=1e-5)
    assert maps[0, 1:7, 1:7].sum() > 0.95
    assert maps[1, 8:14, 8:14].sum() > 0.95


def test_where_nothing_speaks_for_the_class_the_map_is_empty():
    crops = np.zeros((1, 2, SIZE, SIZE))
    crops[0, 0, 2:6, 2:6] = 1
    inputs, one = inputs_of(crops), np.array([0])
    maps = attention_maps(bright_spot_network(), inputs, one, np.array([1]))
    assert not maps.any()
    found = attention_inside(maps, np.ones((1, SIZE, SIZE), bool))
    assert np.isnan(found.nucleus).all()
    assert np.isnan(found.with_ring).all()
    assert np.isnan(deletion(bright_spot_network(), inputs, one, np.array([1]), maps)).all()


def test_the_map_is_the_formula_of_layercam():
    """Sum over channels of relu(gradient) x output, relu; the gradient by hand."""
    crops = np.random.default_rng(0).random((1, 2, SIZE, SIZE)).astype(np.float32)
    network = bright_spot_network()
    blurred = torch.relu(network[0](torch.from_numpy(crops))).detach().numpy()[0]
    # margin of class 0: 2 (mean of channel 0 - mean of channel 1); only channel 0 speaks for it
    expected = blurred[0] / blurred[0].sum()
    maps = attention_maps(network, inputs_of(crops), np.array([0]), np.array([0]))
    np.testing.assert_allclose(maps[0], expected, rtol=1e-4)


def test_deletion_by_hand():
    crops = np.zeros((2, 2, SIZE, SIZE), np.float32)
    crops[:, 0, 4:8, 4:8] = 1
    inputs, network, both = inputs_of(crops), bright_spot_network(), np.array([0, 1])
    right, wrong = np.zeros((2, SIZE, SIZE), np.float32)
    right[3:9, 3:9], wrong[10:16, 10:16] = 1, 1
    maps = np.stack([right, wrong])
    # The spot becomes the mean, 16 / 256. A kernel of 3 x 3 sums a pixel 9 times, so that the mean
    # over the map is the mean over the crop (but for the border): before 16 / 256.
    spot = 16 / 256
    fall = deletion(network, inputs, both, np.array([0, 0]), maps)
    removed = round(0.2 * SIZE**2)
    after = (removed * spot) / 256
    assert fall[0] == pytest.approx(2 * (spot - after), abs=0.01)
    assert fall[1] == pytest.approx(2 * -(removed * spot) / 256, abs=0.02)
    assert fall[0] > 0.09 > 0 > fall[1]


def test_random_maps_are_as_coarse_as_those_of_the_layer():
    maps = random_maps(3, 48, seed=1)
    assert maps.shape == (3, 48, 48)
    np.testing.assert_array_equal(maps, random_maps(3, 48, seed=1))
    assert np.abs(np.diff(maps, axis=1)).max() < 0.3  # neighbours are alike


def test_attention_shares_by_hand():
    nuclei = np.zeros((2, SIZE, SIZE), bool)
    nuclei[:, 6:10, 6:10] = True
    maps = np.zeros((2, SIZE, SIZE))
    maps[0, 6:8, 6:10] = 0.75 / 8  # three quarters inside
    maps[0, 0, 0] = 0.25
    maps[1] = 1 / SIZE**2  # even
    found = attention_inside(maps, nuclei)
    np.testing.assert_allclose(found.nucleus, [0.75, 16 / 256])
    np.testing.assert_allclose(found.nucleus_area, 16 / 256)
    # the ring is one pixel here, corners left out: 16 + 4 x 4
    np.testing.assert_allclose(found.with_ring_area, 32 / 256)
    np.testing.assert_allclose(found.with_ring[1], found.with_ring_area[1])


def test_masks_follow_the_crops_enlargement():
    mask = np.zeros((4, 4), bool)
    mask[1:3, 2:4] = True
    large = resize_mask(mask, 8)
    expected = np.zeros((8, 8), bool)
    expected[2:6, 4:8] = True
    np.testing.assert_array_equal(large, expected)
    assert resize_mask(np.ones((2, 4), bool), 4).sum() == 8


@pytest.mark.parametrize("size", [32, 48, 64, 128, 224])
def test_the_layer_is_the_same_for_every_size(size):
    network = build_network("resnet18", 2, 2)
    assert layer_to_explain(network, 2, size) is network.layer1


def test_a_network_without_a_map_is_refused():
    with pytest.raises(ModelError, match="no convolutional map"):
        layer_to_explain(nn.Sequential(nn.Flatten(), nn.Linear(2 * 64, 2)), 2, 8)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "efficientnet_b0"])
def test_networks_with_changes_in_place_can_be_explained(name):
    crops = np.random.default_rng(0).random((2, 2, SIZE, SIZE))
    inputs = InputPath(
        CropsInMemory(crops.astype(np.float32)),
        np.tile(np.array([0, 1], np.float32), (2, 2, 1)), 64, "cpu",
    )  # fmt: skip
    network = build_network(name, 2, 2)
    before = predict_logits(network, inputs, np.array([0, 1]))
    maps = attention_maps(network, inputs, np.array([0, 1]), np.array([0, 1]))
    np.testing.assert_array_equal(predict_logits(network, inputs, np.array([0, 1])), before)
    assert maps.shape == (2, 64, 64)
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), 1, atol=1e-4)
    assert (maps >= 0).all()


PREDICTED = np.array([0, 0, 1, 1, 0, 1])
CONFIDENCE = np.array([0.9, 0.6, 0.7, 0.99, 0.8, 0.55])
TRUTH = np.array([0, 1, 1, 1, -1, 0])


@pytest.mark.parametrize(
    ("choose", "expected"),
    [
        # by true class where known: 0 has cells 0, 4 (predicted), 5; 1 has 1, 2, 3
        ("certain", [0, 4, 3, 2]),
        ("uncertain", [5, 4, 1, 2]),
        ("wrong", [5, 1]),
    ],
)
def test_chosen_crops(choose, expected):
    found = choose_crops(
        PREDICTED, CONFIDENCE, TRUTH, n_classes=2, per_class=2, choose=choose, seed=0
    )
    assert found.tolist() == expected


def test_random_crops_follow_the_seed():
    def draw(seed):
        return choose_crops(
            PREDICTED, CONFIDENCE, None, n_classes=2, per_class=2, choose="random", seed=seed
        ).tolist()

    assert draw(1) == draw(1)
    assert len({tuple(draw(s)) for s in range(10)}) > 1
