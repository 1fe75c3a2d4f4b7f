"""The classical segmentation: planted nuclei, hard cases, and annotated images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi

from nucprof.errors import DataError
from nucprof.segmentation.watershed import segment_watershed


def disc(shape, y, x, radius):
    yy, xx = np.ogrid[: shape[0], : shape[1]]
    return (yy - y) ** 2 + (xx - x) ** 2 <= radius**2


def picture(discs, shape=(160, 200), noise=3.0, background=100.0, seed=0):
    """Draw discs (y, x, radius, brightness); give image and truth."""
    rng = np.random.default_rng(seed)
    image, truth = np.zeros(shape), np.zeros(shape, np.int64)
    for label, (y, x, radius, level) in enumerate(discs, start=1):
        own = disc(shape, y, x, radius)
        image[own], truth[own] = level, label
    return ndi.gaussian_filter(image, 1.0) + background + rng.normal(0, noise, shape), truth


def found(truth, labels, overlap=0.5):
    """How many true objects have a found object with at least this intersection over union."""
    pairs, shared = np.unique(np.stack((truth.ravel(), labels.ravel())), axis=1, return_counts=True)
    true, ours = np.bincount(truth.ravel()), np.bincount(labels.ravel())
    union = true[pairs[0]] + ours[pairs[1]] - shared
    return int(((shared / union > overlap) & (pairs > 0).all(axis=0)).sum())


APART = [
    (30, 30, 9, 400),
    (30, 80, 11, 500),
    (80, 50, 8, 450),
    (120, 120, 12, 380),
    (70, 160, 10, 600),
]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_separate_nuclei(dtype):
    image, truth = picture(APART)
    scale = 0.3 if dtype == np.uint8 else 1
    labels = segment_watershed((image * scale).astype(dtype))
    assert labels.dtype == np.int32
    assert labels.shape == image.shape
    assert labels.max() == len(APART)
    assert found(truth, labels, 0.8) == len(APART)
    assert sorted(np.unique(labels)) == list(range(len(APART) + 1))


def test_touching_nuclei_are_parted():
    discs = [(60, 60, 14, 500), (60, 86, 14, 500), (110, 130, 12, 500), (131, 142, 12, 500)]
    image, truth = picture(discs)
    labels = segment_watershed(image)
    assert labels.max() == 4
    assert found(truth, labels, 0.7) == 4


def test_large_textured_nuclei_stay_whole():
    rng = np.random.default_rng(1)
    discs = [(60, 60, 30, 900), (150, 150, 34, 800), (60, 180, 28, 1000)]
    image, truth = picture(discs, (220, 240))
    image += (truth > 0) * 150 * ndi.gaussian_filter(rng.normal(0, 6, image.shape), 2)
    labels = segment_watershed(image)
    assert labels.max() == 3
    assert found(truth, labels, 0.8) == 3


def test_dim_nuclei_beside_bright_ones_stay():
    discs = [(30, 30, 10, 2000), (30, 90, 10, 550), (90, 40, 10, 2500), (90, 130, 10, 500)]
    image, truth = picture(discs)
    labels = segment_watershed(image)
    assert labels.max() == 4
    assert found(truth, labels, 0.7) == 4


@pytest.mark.parametrize("light", ["gradient", "glow"])
def test_uneven_background(light):
    image, truth = picture(APART)
    yy, xx = np.mgrid[: image.shape[0], : image.shape[1]]
    image += {
        "gradient": 2.0 * xx,
        "glow": 300 * np.exp(-((yy - 110) ** 2 + (xx - 60) ** 2) / (2 * 60**2)),
    }[light]
    labels = segment_watershed(image, threshold="local")
    assert found(truth, labels, 0.6) == len(APART)
    assert labels.max() == len(APART)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16), st.floats(1.5, 40), st.sampled_from([(64, 64), (90, 130), (61, 40)]))
def test_noise_holds_no_nuclei(seed, level, shape):
    rng = np.random.default_rng(seed)
    assert not segment_watershed(rng.normal(100, level, shape)).any()
    assert not segment_watershed(rng.poisson(level, shape).astype(np.uint16)).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (40, 50)])
@pytest.mark.parametrize("value", [0, 77])
def test_a_constant_image_holds_no_nuclei(shape, value):
    labels = segment_watershed(np.full(shape, value, np.uint16))
    assert labels.shape == shape
    assert not labels.any()


def test_hot_pixels_and_missing_values_do_not_matter():
    image, truth = picture(APART)
    image[5, 5], image[100, 20], image[0, 0] = 60000, np.nan, np.inf
    assert found(truth, segment_watershed(image), 0.7) == len(APART)


def test_the_given_diameter_and_least_area_count():
    image, truth = picture([*APART, (140, 30, 2, 500)])
    assert segment_watershed(image).max() == len(APART)  # a speck of 5 px among nuclei of 20
    assert segment_watershed(image, min_area=5).max() == len(APART) + 1
    assert segment_watershed(image, min_area=300).max() == 3
    dumbbell, _ = picture([(60, 60, 14, 500), (60, 82, 14, 500)])
    assert segment_watershed(dumbbell, diameter=28).max() == 2
    assert segment_watershed(dumbbell, diameter=120).max() == 1
    assert found(truth, segment_watershed(image, threshold="local"), 0.7) == len(APART)


def test_refusals():
    with pytest.raises(DataError, match="one plane"):
        segment_watershed(np.zeros((2, 5, 5)))
    with pytest.raises(DataError, match="diameter"):
        segment_watershed(np.zeros((5, 5)), diameter=0)


def test_annotated_images(shared_data):
    import tifffile

    scores = []
    for path in sorted((shared_data / "nuclei" / "images").glob("*.tif"))[::15]:
        truth = tifffile.imread(path.parents[1] / "masks" / path.name).astype(np.int64)
        labels = segment_watershed(tifffile.imread(path))
        true, ours = np.unique(truth).size - 1, int(labels.max())
        scores.append(2 * found(truth, labels) / (true + ours))
    assert np.mean(scores) > 0.82


def test_real_fields_of_one_size(shared_data):
    import tifffile

    for path in sorted((shared_data / "bbbc013" / "images").glob("Channel2-*"))[::12]:
        labels = segment_watershed(tifffile.imread(path))
        areas = np.bincount(labels.ravel())[1:]
        assert 40 < labels.max() < 400
        assert np.percentile(areas, 90) < 4 * np.percentile(areas, 25)
