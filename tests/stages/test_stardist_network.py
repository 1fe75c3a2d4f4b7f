"""The network itself: by torch as by TensorFlow, in two precisions, and turned."""

import itertools
import json
import multiprocessing
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage as ndi

from nucprof.errors import ModelError
from nucprof.segmentation.stardist_model import read_config, read_thresholds
from nucprof.segmentation.symmetries import average_symmetries, turn_back, turn_image
from nucprof.segmentation.weights import resolve_model

FOLDER = resolve_model("nucprof-fluo", backend="stardist")
HELPERS = Path(__file__).parents[1] / "helpers"


@pytest.fixture(scope="module")
def tensorflow():
    """TensorFlow's answer, from a process of its own."""
    sys.path.insert(0, str(HELPERS))  # a spawned process takes it over
    import stardist_worker

    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield lambda *args: pool.submit(stardist_worker.outputs, *args).result(timeout=300)
    sys.path.remove(str(HELPERS))


def window(shape=(96, 128)):
    rng = np.random.default_rng(0)
    blobs = np.zeros(shape)
    for y, x in rng.uniform(15, np.array(shape) - 15, (9, 2)).astype(int):
        blobs[y, x] = 1
    image = ndi.gaussian_filter(blobs, 8)
    return (image / image.max() + rng.normal(0, 0.05, shape)).astype(np.float32)


def test_torch_says_what_tensorflow_says(tensorflow):
    from nucprof.segmentation.stardist_torch import load_predict

    prob, dist = load_predict(FOLDER, read_config(FOLDER), "cpu", 1)(window())
    expected = tensorflow(window())
    assert prob.shape == (48, 64)
    assert prob.max() > 0.5
    np.testing.assert_allclose(prob, expected[0], atol=2e-5)
    np.testing.assert_allclose(dist, expected[1], atol=2e-3)


def test_without_tensorflow_torch_runs_the_network_on_the_cpu(tensorflow, monkeypatch):
    from nucprof.segmentation import stardist
    from nucprof.segmentation.backends.stardist import StarDistSettings, precision

    monkeypatch.setattr("nucprof.machine.util.find_spec", lambda name: None)
    monkeypatch.setattr(stardist, "_LOADED", {})
    assert precision(StarDistSettings(), "auto") == "float32"
    network = stardist.load_network(FOLDER, precision="float32", device="cpu", threads=1)
    expected = tensorflow(window())
    for found, true, tolerance in zip(
        network.predict(window()), expected, (2e-5, 2e-3), strict=True
    ):
        np.testing.assert_allclose(found, true, atol=tolerance)


def test_bfloat16_is_near_float32(tensorflow):
    prob, dist = tensorflow(window(), "bfloat16")
    full = tensorflow(window())
    assert prob.dtype == dist.dtype == np.float32
    assert np.abs(prob - full[0]).max() < 0.1
    inside = full[0] > 0.5
    assert np.median(np.abs(dist - full[1])[inside]) < 0.3
    # Networks of both precisions live in one process.
    np.testing.assert_array_equal(tensorflow(window())[0], full[0])


def test_shape_and_thresholds_are_those_of_the_library(tensorflow):
    config = read_config(FOLDER)
    held = json.loads((FOLDER / "config.json").read_text())
    own = json.loads((FOLDER / "thresholds.json").read_text())
    assert config.divisor == 2**3 * 2
    assert config.grid == held["grid"][0]
    assert read_thresholds(FOLDER) == (own["prob"], own["nms"])
    # No pixel farther than the reach (and the block that is pooled with it) changes an output.
    changed = window((256, 256))
    before = tensorflow(changed.copy())[0]
    changed[: 128 - config.reach - config.divisor] = 9
    after = tensorflow(changed)[0]
    np.testing.assert_allclose(after[64:], before[64:], atol=1e-6)
    assert np.abs(after[:64] - before[:64]).max() > 1e-3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"unet_batch_norm": True}, "unet_batch_norm"),
        ({"n_channel_in": 3}, "3 channels"),
        ({"grid": [1, 2]}, "square grid"),
    ],
)
def test_networks_of_other_kinds_are_refused(tmp_path, change, words):
    shutil.copytree(FOLDER, tmp_path / "m")
    held = json.loads((FOLDER / "config.json").read_text()) | change
    (tmp_path / "m" / "config.json").write_text(json.dumps(held))
    with pytest.raises(ModelError, match=words):
        read_config(tmp_path / "m")


@pytest.mark.parametrize("grid", [1, 2, 4])
def test_turned_and_turned_back_is_where_it_was(grid):
    """A made-up network that reports its window on the grid, and the way to a fixed point."""
    rng = np.random.default_rng(0)
    image = rng.random((24, 32)).astype(np.float32)

    def predict(window):
        # Rays: how far the window's brightest pixel lies along each of eight directions.
        y, x = np.unravel_index(window.argmax(), window.shape)
        yy, xx = np.mgrid[: window.shape[0] : grid, : window.shape[1] : grid]
        angles = np.arange(8) * np.pi / 4
        way = (y - yy)[..., None] * np.sin(angles) + (x - xx)[..., None] * np.cos(angles)
        return window[::grid, ::grid].copy(), way.astype(np.float32)

    image[12, 16] = 2
    expected = predict(image)
    for way in itertools.product((False, True), repeat=3):
        prob, dist = turn_back(*predict(turn_image(image, way, grid)), way)
        np.testing.assert_array_equal(prob, expected[0])
        np.testing.assert_allclose(dist, expected[1], atol=1e-5)
    prob, dist = average_symmetries(predict, image, grid)
    np.testing.assert_allclose(prob, expected[0], atol=1e-6)
    np.testing.assert_allclose(dist, expected[1], atol=1e-5)
