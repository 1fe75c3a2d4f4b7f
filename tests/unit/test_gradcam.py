"""Grad-CAM points to what decides, and attention is measured on the cell's own nucleus."""

import numpy as np
import pytest
import torch
from torch import nn

from nucprof.core.crops import resize_mask
from nucprof.errors import ModelError
from nucprof.learn.cnn.crop_data import CropsInMemory
from nucprof.learn.cnn.gradcam import (
    attention_inside,
    attention_maps,
    choose_crops,
    layer_to_explain,
)
from nucprof.learn.cnn.inputs import InputPath
from nucprof.learn.cnn.network import build_network

SIZE = 16
pytestmark = pytest.mark.filterwarnings("ignore:.*hooks.*:UserWarning")


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


def inputs_of(crops):
    limits = np.tile(np.array([0, 1], np.float32), (len(crops), 2, 1))
    return InputPath(CropsInMemory(crops.astype(np.float32)), limits, SIZE, "cpu")


def test_the_map_lies_on_the_spot_that_speaks_for_the_class():
    crops = np.zeros((2, 2, SIZE, SIZE))
    crops[:, 0, 2:6, 2:6] = 1  # speaks for class 0
    crops[:, 1, 9:13, 9:13] = 1  # speaks for class 1
    maps = attention_maps(
        bright_spot_network(), inputs_of(crops), np.array([0, 1]), np.array([0, 1])
    )
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), 1, atol=1e-5)
    assert maps[0, 1:7, 1:7].sum() > 0.95
    assert maps[1, 8:14, 8:14].sum() > 0.95


def test_where_nothing_speaks_for_the_class_the_map_is_even():
    crops = np.zeros((1, 2, SIZE, SIZE))
    crops[0, 0, 2:6, 2:6] = 1
    maps = attention_maps(bright_spot_network(), inputs_of(crops), np.array([0]), np.array([1]))
    np.testing.assert_allclose(maps, 1 / SIZE**2)


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


def test_the_deepest_map_of_at_least_seven_pixels_is_explained():
    network = build_network("resnet18", 2, 2)
    assert layer_to_explain(network, 2, 64) is network.layer2
    assert layer_to_explain(network, 2, 128) is network.layer3
    assert layer_to_explain(network, 2, 224) is network.layer4
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
    maps = attention_maps(network, inputs, np.array([0, 1]), np.array([0, 1]))
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
