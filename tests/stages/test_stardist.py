"""The StarDist backend with the network of the package, in a process of its own.

TensorFlow never enters the test process: every check runs in one spawned worker.
"""

import json
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage as ndi

from nucprof.errors import ModelError
from nucprof.segmentation.weights import resolve_model

FOLDER = resolve_model("nucprof-fluo", backend="stardist")
HELPERS = Path(__file__).parents[1] / "helpers"


@pytest.fixture(scope="module")
def worker():
    sys.path.insert(0, str(HELPERS))  # a spawned process takes it over
    context = multiprocessing.get_context("spawn")
    import stardist_worker

    def run(name, *args):
        return pool.submit(getattr(stardist_worker, name), *args).result(timeout=300)

    with ProcessPoolExecutor(1, mp_context=context) as pool:
        yield run
    sys.path.remove(str(HELPERS))


def nuclei(diameter=26.0, shape=(190, 250), seed=0, dtype=np.uint16):
    """Bright ellipses on a jittered lattice: image, labels and centroids."""
    rng = np.random.default_rng(seed)
    step = 1.7 * diameter
    labels = np.zeros(shape, np.int32)
    image = np.zeros(shape)
    centres = []
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    for cy in np.arange(0.8 * step, shape[0] - 0.6 * step, step):
        for cx in np.arange(0.8 * step, shape[1] - 0.6 * step, step):
            y, x = cy + rng.uniform(-0.06, 0.06) * step, cx + rng.uniform(-0.06, 0.06) * step
            a, b = diameter / 2 * rng.uniform(0.9, 1.1, 2)
            inside = ((yy - y) / a) ** 2 + ((xx - x) / b) ** 2 < 1
            labels[inside] = len(centres) + 1
            image[inside] = rng.uniform(0.6, 1.0)
            centres.append((y, x))
    image = ndi.gaussian_filter(image, 0.04 * diameter)
    image = image + 0.08 + rng.normal(0, 0.015, shape)
    top = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 9000}.get(np.dtype(dtype), 1.0)
    return np.clip(image / image.max() * top, 0, top).astype(dtype), labels, np.array(centres)


def overlaps(truth, found):
    """Intersection over union of every true object with the found one that covers it most."""
    values = []
    for label in np.unique(truth)[1:]:
        inside = truth == label
        hits = np.bincount(found[inside], minlength=2)
        hits[0] = 0
        best = found == hits.argmax()
        values.append((inside & best).sum() / (inside | best).sum() if hits.any() else 0.0)
    return np.array(values)


@pytest.mark.parametrize(
    ("diameter", "scale", "shape"),
    [(26, 1.0, (190, 250)), (13, 2.0, (96, 143)), (60, 0.5, (400, 331))],
)
def test_finds_known_nuclei_in_the_original_frame(worker, diameter, scale, shape):
    image, truth, centres = nuclei(diameter, shape)
    found = worker("segment", image, {"scale": scale})
    assert found.dtype == np.int32
    assert found.shape == shape
    assert found.max() == len(np.unique(found)) - 1 == truth.max()
    assert overlaps(truth, found).min() > 0.7
    measured = ndi.center_of_mass(found > 0, found, np.arange(1, found.max() + 1))
    nearest = np.linalg.norm(centres[:, None] - np.array(measured)[None], axis=-1).min(axis=1)
    offset = np.sort(nearest)
    # Half a pixel of the image the network saw would show here.
    assert np.median(offset) < 0.02 * diameter + 0.3


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_outlines_are_sharper_than_the_network_s(worker, scale):
    image, truth, _ = nuclei(26 / scale, (120, 160))
    smooth, sharp = (
        overlaps(truth, worker("segment", image, {"scale": scale, "sharpen": how}))
        for how in (False, True)
    )
    assert sharp.mean() > smooth.mean() + 0.01
    assert sharp.mean() > 0.88


@pytest.mark.parametrize("value", [0, 37])
def test_constant_image_has_no_objects(worker, value):
    found = worker("segment", np.full((70, 90), value, np.uint16), {})
    assert found.shape == (70, 90)
    assert not found.any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (5, 3), (17, 200)])
def test_tiny_images_are_no_error(worker, shape):
    image = np.random.default_rng(0).integers(0, 99, shape).astype(np.uint8)
    for scale in (0.4, 1.0, 3.0):
        assert worker("segment", image, {"scale": scale}).shape == shape


def test_the_type_of_the_image_does_not_matter(worker):
    image, _, _ = nuclei(dtype=np.uint8)
    reference = worker("segment", image, {})
    for dtype in (np.uint16, np.float32, np.float64, np.int32):
        np.testing.assert_array_equal(worker("segment", image.astype(dtype), {}), reference)


@pytest.mark.parametrize("shape", [(203, 245), (176, 320)])
def test_same_masks_as_predict_instances(worker, shape):
    image, _, _ = nuclei(shape=shape, seed=4)
    expected = worker("stock", image, None)
    found = worker("segment", image, {"sharpen": False})
    assert found.max() == expected.max() > 3
    assert np.mean(found == expected) > 0.999


def test_tiles_do_not_show(worker):
    image, _, _ = nuclei(20, (420, 400), seed=2)
    whole = worker("segment", image, {}, 1024)
    tiled = worker("segment", image, {}, 64)
    assert tiled.max() == whole.max()
    assert np.mean((tiled > 0) == (whole > 0)) > 0.999
    assert overlaps(whole, tiled).min() > 0.95


def test_two_runs_are_equal(worker):
    image, _, _ = nuclei(seed=5)
    np.testing.assert_array_equal(worker("segment", image, {}), worker("segment", image, {}))


def test_thresholds_reach_the_network(worker):
    image, _, _ = nuclei()
    assert worker("segment", image, {"prob_thresh": 0.999}).max() == 0
    loose = worker("segment", image, {"prob_thresh": 0.2, "nms_thresh": 1.0}).max()
    assert loose > worker("segment", image, {}).max()


def test_out_of_memory_goes_on_with_smaller_tiles_and_says_so(worker):
    image, _, _ = nuclei(20, (480, 470), seed=2)
    found, tile, records = worker("out_of_memory_above", 330, image)
    assert tile == 128
    assert [level for level, _ in records] == ["WARNING", "WARNING"]
    assert "128 px" in records[-1][1]
    assert found.max() == worker("segment", image, {}).max()


def test_out_of_memory_at_the_smallest_tile_is_an_error(worker):
    image, _, _ = nuclei(20, (480, 470), seed=2)
    with pytest.raises(ModelError, match="out of memory"):
        worker("out_of_memory_above", 40, image)


def test_masks_do_not_depend_on_the_number_of_threads(worker):
    import stardist_worker

    image, _, _ = nuclei(20, (420, 400), seed=2)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        two = pool.submit(stardist_worker.segment, image, {"threads": 2}).result(timeout=300)
    np.testing.assert_array_equal(two, worker("segment", image, {"threads": 1}))


def test_another_number_of_threads_in_one_process_is_refused(worker):
    worker("segment", np.zeros((32, 32)), {"threads": 1})
    with pytest.raises(ModelError, match="threads"):
        worker("segment", np.zeros((32, 32)), {"threads": 2})


@pytest.mark.parametrize("diameter", [11.0, 27.0, 80.0])
def test_scale_of_a_plate(worker, diameter):
    images = [nuclei(diameter, (int(9 * diameter),) * 2, seed)[0] for seed in range(2)]
    choice = worker("measure", images)
    assert choice.diameter_px == pytest.approx(diameter, rel=0.12)
    canonical = json.loads((FOLDER / "nucprof.json").read_text())["canonical_diameter_px"]
    assert choice.canonical_diameter_px == canonical
    assert 0.75 < choice.scale * diameter / canonical < 1.35


def test_a_glow_wider_than_nuclei_does_not_decide_the_scale(worker):
    image, _, _ = nuclei(13.0, (200, 200), 3)
    yy, xx = np.mgrid[:200, :200]
    glow = 2.5 * float(image.max()) * np.exp(-((yy - 100) ** 2 + (xx - 110) ** 2) / (2 * 55**2))
    choice = worker("measure", [(image + glow).astype(np.float32)])
    assert choice.diameter_px == pytest.approx(13, rel=0.25)


def test_scale_of_images_without_nuclei_is_1(worker):
    assert worker("measure", [np.zeros((60, 80), np.uint8)]).scale == 1.0


def sparse_field(number, diameter, seed, dtype):
    """Nuclei on read and shot noise of a camera: image and labels."""
    rng = np.random.default_rng(seed)
    labels, signal = np.zeros((256, 256), np.int32), np.zeros((256, 256))
    yy, xx = np.mgrid[:256, :256]
    for label in range(1, number + 1):
        while True:
            y, x = rng.uniform(0.7 * diameter, 256 - 0.7 * diameter, 2)
            inside = np.hypot(yy - y, (xx - x) * rng.uniform(0.85, 1.15)) / (diameter / 2)
            if not labels[inside < 1.4].any():
                break
        labels[inside < 1] = label
        signal = np.maximum(signal, 1 / (1 + np.exp((inside - 1) * diameter / 3)))
    top, noise = (14, 0.8) if dtype == np.uint8 else (500, 15)
    image = 4 * noise + signal * top * (
        1 + 0.1 * ndi.gaussian_filter(rng.normal(size=signal.shape), 2)
    )
    image = rng.normal(image, noise * np.sqrt(1 + signal))
    return np.clip(np.rint(image), 0, np.iinfo(dtype).max).astype(dtype), labels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_sparse_or_empty_plate_has_few_or_no_objects(worker, dtype):
    """A plate each of large, middle and small nuclei; two of its three fields hold none or one."""
    true = found = false = 0
    for seed, diameter in enumerate((10, 24, 60)):
        fields = [sparse_field(n, diameter, 10 * seed + n, dtype) for n in (0, 1, 3)]
        masks = worker("find", [image for image, _ in fields], 0.7)
        for (_, truth), mask in zip(fields, masks, strict=True):
            hits = int((overlaps(truth, mask) > 0.5).sum())
            true, found = true + truth.max(), found + hits
            false += len(np.unique(mask)) - 1 - hits
    assert true == 12
    assert found >= 11
    assert false <= 1
    empty = [sparse_field(0, 1, 90 + k, dtype)[0] for k in range(3)]
    assert not any(mask.any() for mask in worker("find", empty, 0.7))


def test_folder_that_is_no_model_is_a_model_error(worker, tmp_path):
    with pytest.raises(ModelError, match="lacks weights_best"):
        worker("broken", tmp_path)
    (tmp_path / "weights_best.h5").write_bytes(b"no weights")
    with pytest.raises(ModelError, match="not a StarDist"):
        worker("broken", tmp_path)
    (tmp_path / "config.json").write_bytes((FOLDER / "config.json").read_bytes())
    with pytest.raises(ModelError, match="not a StarDist"):
        worker("broken", tmp_path)


def test_module_alone_does_not_import_tensorflow():
    code = (
        "import sys, nucprof.segmentation.stardist;"
        "print([m for m in ('tensorflow', 'torch', 'keras', 'stardist') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_loading_and_segmenting_are_silent():
    code = (
        "import numpy as np; from pathlib import Path;"
        "from nucprof.segmentation.stardist import StarDistBackend;"
        f"StarDistBackend(Path({str(FOLDER)!r})).segment(np.eye(40))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout + run.stderr == ""
