"""What speaks for an object: figures of scenes whose truth is drawn by hand."""

from dataclasses import fields

import numpy as np
import pytest
from scipy import ndimage as ndi

from nucprof.core.evidence import SURE, Evidence, measure_evidence


def disc(shape, y, x, radius):
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    return (yy - y) ** 2 + (xx - x) ** 2 <= radius**2


def scene(noise=5.0):
    """A bright and a dim nucleus, haze beside the bright one, a patch of nothing.

    Labels 3, 9, 20, 40.
    """
    shape = (120, 160)
    labels = np.zeros(shape, np.uint16)
    image = np.full(shape, 100.0)
    haze = disc(shape, 40, 52, 22)
    image[haze] += 150
    bright, dim = disc(shape, 40, 40, 10), disc(shape, 90, 40, 10)
    image[bright] += 850
    image[dim] += 200
    labels[disc(shape, 40, 62, 7)] = 20
    labels[bright], labels[dim] = 3, 9
    labels[disc(shape, 90, 120, 10)] = 40
    image = ndi.gaussian_filter(image, 0.7)
    return image + np.random.default_rng(0).normal(0, noise, shape), labels


def test_figures_of_a_known_scene():
    image, labels = scene()
    found = measure_evidence(image, labels)
    assert found.ids.tolist() == [3, 9, 20, 40]
    np.testing.assert_array_equal(found.areas, np.bincount(labels.ravel())[[3, 9, 20, 40]])
    # The bright nucleus lies partly on haze, the dim one on the background of 100.
    assert 800 < found.step[0] < 950
    assert found.step[1] == pytest.approx(200, rel=0.1)  # the blurred edge is dimmer
    assert found.contrast[:2] == pytest.approx([0.9, 0.97], abs=0.08)
    # A piece of haze has haze for a ring, and nothing has nothing.
    assert abs(found.contrast[2]) < 0.1
    assert abs(found.significance[3]) < 4
    assert (found.significance[:2] > 4 * SURE).all()
    assert (found.edge_share[:2] > 0.95).all()
    assert found.stands_out(0.7).tolist() == [True, True, False, False]


def test_brightness_does_not_matter_to_contrast():
    image, labels = scene()
    dark = measure_evidence(300 + 0.2 * image, labels)
    assert dark.contrast[:2] == pytest.approx(measure_evidence(image, labels).contrast[:2])
    assert dark.stands_out(0.7).tolist() == [True, True, False, False]


def test_depends_neither_on_gaps_nor_on_the_type():
    image, labels = scene()
    image = np.rint(image).astype(np.uint16)
    plain = measure_evidence(image, labels)
    other = measure_evidence(image.astype(np.float64), labels.astype(np.uint32) * 5000)
    assert other.ids.tolist() == (plain.ids * 5000).tolist()
    for name in ("areas", "step", "contrast", "edge_share", "touching"):
        np.testing.assert_allclose(getattr(other, name), getattr(plain, name))


def test_significance_is_the_step_over_its_standard_error():
    """In pure noise it is a z-score; a nucleus of known contrast has the z of a textbook."""
    rng = np.random.default_rng(1)
    labels = np.zeros((400, 400), np.int32)
    for k in range(100):
        labels[disc(labels.shape, 20 + 40 * (k // 10), 20 + 40 * (k % 10), 8)] = k + 1
    image = rng.normal(1000, 30, labels.shape)
    scores = measure_evidence(image, labels).significance
    assert scores.std() == pytest.approx(1, abs=0.25)
    assert abs(scores.mean()) < 0.4
    raised = measure_evidence(image + 60 * (labels > 0), labels).significance
    area = (labels == 1).sum()
    ring = disc(labels.shape, 20, 20, 11).sum() - disc(labels.shape, 20, 20, 9).sum()
    expected = 60 / (30 * np.sqrt(1 / area + 1 / ring))
    assert raised.mean() == pytest.approx(expected, rel=0.2)


def test_an_even_background_is_not_without_noise():
    image = np.zeros((60, 60), np.uint8)
    nucleus, nothing = disc(image.shape, 20, 20, 6), disc(image.shape, 45, 45, 6)
    image[nucleus] = 3
    found = measure_evidence(image, np.where(nucleus, 1, np.where(nothing, 2, 0)))
    assert np.isfinite(found.significance).all()
    assert found.stands_out(0.7).tolist() == [True, False]


def test_touching_and_enclosed_objects():
    labels = np.zeros((60, 90), np.int32)
    labels[10:30, 10:30], labels[10:30, 30:50] = 1, 2  # a side of twenty in common
    labels[5:55, 60:85] = 4
    labels[20:40, 65:80] = 5  # within 4
    image = np.where(labels > 0, 500.0, 100.0) + 5 * np.random.default_rng(0).random(labels.shape)
    found = measure_evidence(image, labels)
    outline = 4 * 20 - 4
    assert found.touching[:2] == pytest.approx([20 / outline] * 2)
    assert found.touching[3] == 1
    # An enclosed object has no ring; it is compared with the background.
    assert found.contrast[3] == pytest.approx(1, abs=0.05)
    assert found.stands_out(0.7).all()


@pytest.mark.parametrize("shape", [(0, 0), (5, 7)])
def test_no_objects(shape):
    found = measure_evidence(np.ones(shape), np.zeros(shape, np.uint8))
    assert found.ids.size == found.contrast.size == found.stands_out(0.7).size == 0


def test_an_object_that_fills_the_image():
    found = measure_evidence(np.ones((6, 6)), np.ones((6, 6), np.int32))
    assert np.isfinite(found.contrast).all()
    assert not found.stands_out(0.7).any()


def test_the_brightest_spots_of_pure_noise_do_not_stand_out():
    # What a network picks in an enlarged image of noise: bright pixels on a ring that is even by
    # chance. The truth is that nothing is there.
    shape = (512, 512)
    image = np.random.default_rng(1).normal(1000, 10, shape)
    bright = ndi.uniform_filter(image, 2)
    peaks = np.argwhere((bright == ndi.maximum_filter(bright, 15)) & (bright > 1015))
    labels = np.zeros(shape, np.int32)
    for label, (y, x) in enumerate(peaks, start=1):
        labels[y - 1 : y + 1, x - 1 : x + 1] = label
    assert len(peaks) > 250
    assert measure_evidence(image, labels).stands_out(0.7).sum() <= 1


def test_clumps_of_bright_pixels_in_a_dark_field_do_not_stand_out():
    # A camera that counts few photons: most pixels are equal, some are much brighter, and what a
    # network finds in the enlarged image are the clumps of these.
    rng = np.random.default_rng(0)
    image = np.where(rng.random((400, 400)) < 0.12, 30.0, 0.0) + rng.uniform(0, 3, (400, 400))
    smooth = ndi.uniform_filter(image, 4)
    peaks = np.argwhere((smooth == ndi.maximum_filter(smooth, 7)) & (smooth > 8))
    nucleus = disc(image.shape, 200, 200, 5)
    image[nucleus] += 200
    labels = np.zeros(image.shape, np.int32)
    for label, (y, x) in enumerate(peaks, start=2):
        labels[max(0, y - 2) : y + 2, max(0, x - 2) : x + 2] = label
    labels[disc(image.shape, 200, 200, 9)] = 0
    labels[nucleus] = 1
    found = measure_evidence(image, labels)
    assert len(found.ids) > 500
    assert found.ids[found.stands_out(0.7)].tolist()[:1] == [1]
    assert found.stands_out(0.7).sum() <= 3


@pytest.mark.parametrize("step", [20, 30])
def test_dim_nuclei_do_not_vanish_because_there_are_many(step):
    rng = np.random.default_rng(0)
    labels = np.zeros((512, 512), np.int32)
    for label, (y, x) in enumerate(np.argwhere(np.ones((15, 15))) * 33 + 25, start=1):
        labels[disc(labels.shape, *(np.array([y, x]) + rng.uniform(-4, 4, 2)), 10)] = label
    image = ndi.gaussian_filter(step * (labels > 0).astype(float), 1) + rng.normal(
        100, 10, labels.shape
    )
    found = measure_evidence(image, labels)
    assert found.stands_out(0.7).mean() > 0.95


def test_debris_is_small_and_dim_and_neither_alone_is():
    shape = (160, 200)
    labels, image = np.zeros(shape, np.int32), np.full(shape, 100.0)
    usual = [(25, 25), (25, 75), (25, 125), (25, 175), (75, 25)]
    others = {(75, 75): (3, 800), (75, 125): (9, 350), (75, 175): (3, 350)}
    drawn = dict.fromkeys(usual, (9, 800)) | others
    for label, ((y, x), (radius, level)) in enumerate(drawn.items(), start=1):
        labels[disc(shape, y, x, radius)] = label
        image[disc(shape, y, x, radius)] += level
    image += np.random.default_rng(0).normal(0, 5, shape)
    found = measure_evidence(image, labels)
    assert found.ids[found.debris].tolist() == [8]
    assert found.ids[found.stands_out(0.7)].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert found.stands_out(0).all()
    alone = measure_evidence(image, np.where(labels == 8, 8, 0))
    assert not alone.debris.any()


def objects(n, *, step, noise, contrast, significance, area=400, edge_share=0.85):
    """Evidence of equal objects."""
    figures = (step, contrast, noise, significance, edge_share, 0.0)
    columns = (np.full(n, value, float) for value in figures)
    return Evidence(np.arange(1, n + 1), np.full(n, area), *columns)


def together(*parts, structure):
    """Evidence of a field with all these objects, on a background of this structure."""
    columns = {}
    for field in fields(Evidence):
        if field.name not in ("ids", "level", "structure"):
            columns[field.name] = np.concatenate([getattr(part, field.name) for part in parts])
    ids = np.arange(1, len(columns["areas"]) + 1)
    return Evidence(ids, **columns, level=1.0, structure=structure)


def kept(*parts, structure):
    """How many of each kind stand out."""
    out = together(*parts, structure=structure).stands_out(0.7)
    ends = np.cumsum([len(part.ids) for part in parts])[:-1]
    return [int(part.sum()) for part in np.split(out, ends)]


# As they were measured in fields with real backgrounds.
BANDS = objects(98, step=14, noise=8.8, contrast=0.48, significance=9.6)
BRIGHT = objects(3, step=190, noise=17, contrast=0.87, significance=120)
NOISE = objects(90, step=2.1, noise=1.0, contrast=0.6, significance=4.5)
TAIL = objects(60, step=2.4, noise=1.0, contrast=0.72, significance=6.0)


def test_a_few_nuclei_stand_out_among_many_structures_of_the_background():
    # The median of the field is that of the structures, with which nothing dim can be told.
    assert kept(BRIGHT, BANDS, structure=5.4) == [3, 0]


@pytest.mark.parametrize(
    ("nuclei", "structure"),
    [
        # dim nuclei in low light, on a camera's noise alone
        (objects(60, step=14, noise=8.8, contrast=0.48, significance=9.6), 1.5),
        # on tissue that glows
        (objects(60, step=40, noise=11, contrast=0.5, significance=9), 11),
        # on a dark background
        (objects(60, step=40, noise=20, contrast=0.95, significance=9), 6),
    ],
)
def test_a_few_bright_objects_cost_no_nuclei(nuclei, structure):
    # Mitoses, dead cells or dust that glows, in a field of ordinary nuclei.
    assert kept(BRIGHT, nuclei, structure=structure) == [3, 60]


def test_where_most_objects_are_noise_the_rest_must_differ_from_it():
    # The tail of the same crowd is above five standard errors by number, not by nature.
    assert kept(NOISE, TAIL, BRIGHT, structure=16) == [0, 0, 3]
    # A few that are noise say nothing about the others.
    few = objects(12, step=2.1, noise=1.0, contrast=0.6, significance=4.5)
    assert kept(few, TAIL, structure=16) == [0, 60]


def test_nuclei_on_a_background_of_texture_are_no_noise_though_most_objects_are():
    texture = objects(180, step=25, noise=14, contrast=0.4, significance=4)
    nuclei = objects(50, step=58, noise=16, contrast=0.6, significance=9)
    assert kept(texture, nuclei, structure=10) == [0, 50]


def test_small_nuclei_in_low_light_are_no_noise_though_most_objects_are():
    specks = objects(60, step=8, noise=6, contrast=0.5, significance=4, area=14)
    nuclei = objects(50, step=11, noise=6, contrast=0.6, significance=8, area=50)
    assert kept(specks, nuclei, structure=1.6) == [0, 50]


def test_structure_is_one_for_the_noise_of_a_camera_and_more_for_texture():
    rng = np.random.default_rng(0)
    noise = rng.normal(500, 10, (400, 400)).astype(np.float32)
    clouds = ndi.gaussian_filter(rng.normal(size=(400, 400)), 6)
    nucleus = disc((400, 400), 200, 200, 10).astype(np.int32)
    plain = measure_evidence(noise, nucleus).structure
    assert plain == pytest.approx(1, abs=0.25)
    assert measure_evidence(noise + 200 * clouds, nucleus).structure > 4
    # Neither brightness nor the objects matter to it.
    brighter = measure_evidence(50 + 3 * noise + 5000 * nucleus, nucleus).structure
    assert brighter == pytest.approx(plain, rel=0.05)
