"""Outlines drawn on images, and the sample of fields that gets them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nucprof.core.sample import evenly_spaced
from nucprof.figures import overlay
from nucprof.figures.overlay import CELLS, NUCLEI, add_scale_bar, draw_overlay
from nucprof.io.pictures import write_picture


@pytest.fixture
def as_it_is(monkeypatch):
    monkeypatch.setattr(overlay, "MIN_SIDE_PX", 1)


def pixels(picture):
    return np.asarray(picture.convert("RGB"))


def coloured(picture, colour):
    return (picture == np.array(colour, np.uint8)).all(axis=2)


def test_outline_is_two_pixels_inside_each_object(as_it_is):
    labels = np.zeros((20, 30), np.uint32)
    labels[4:14, 3:13] = 70000
    labels[4:14, 13:23] = 2  # touches its neighbour
    picture = pixels(draw_overlay(np.arange(600.0).reshape(20, 30), [(labels, NUCLEI)]))
    assert picture.shape == (20, 30, 3)
    assert picture.dtype == np.uint8
    expected = labels > 0
    expected[6:12, 5:11] = False
    expected[6:12, 15:21] = False
    np.testing.assert_array_equal(coloured(picture, NUCLEI), expected)


def test_small_images_are_enlarged_and_large_ones_are_not():
    for shape, factor in (((300, 340), 3), ((800, 900), 1), ((1, 5), 800)):
        picture = draw_overlay(np.ones(shape, np.uint8), [])
        assert pixels(picture).shape == (shape[0] * factor, shape[1] * factor, 3)


def test_nuclei_are_grey_alone_and_blue_beside_the_cytoplasm(as_it_is):
    image = np.zeros((30, 30), np.uint16)
    image[:15] = 1000
    grey = pixels(draw_overlay(image, []))
    assert (grey[0, 0] == 255).all()
    assert (grey[-1, 0] == 0).all()
    labels = np.zeros((30, 30), np.uint8)
    labels[20:28, 5:15] = 1
    both = pixels(draw_overlay(image, [(labels, CELLS)], image.T))
    red, _, blue = both[3, 20].astype(int)  # nucleus, no cytoplasm
    assert blue > red + 100
    assert len(set(both[21, 6].tolist())) > 1  # the cell's outline
    assert len(set(both[20 + 4, 9].tolist())) == 1  # cytoplasm, no nucleus


def test_greys_are_the_shade_to_within_half_a_level(as_it_is):
    image = np.linspace(0, 4000, 64 * 64).reshape(64, 64).astype(np.uint16)
    grey = pixels(draw_overlay(image, []))
    assert (grey[..., 0] == grey[..., 1]).all()
    np.testing.assert_allclose(grey[..., 0], 255 * overlay._shade(image), atol=255 / 63 / 2 + 0.5)


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_picture_is_what_was_written(tmp_path, mode):
    rgb = np.random.default_rng(0).integers(0, 256, (7, 9, 3)).astype(np.uint8)
    picture = Image.fromarray(rgb).convert(mode)
    write_picture(tmp_path / "a" / "b.png", picture)
    with Image.open(tmp_path / "a" / "b.png") as read:
        assert read.mode == mode
        np.testing.assert_array_equal(pixels(read), pixels(picture))
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b.png"]


@given(st.integers(0, 300), st.integers(2, 40))
def test_sample_is_evenly_spaced(total, count):
    chosen = evenly_spaced(range(total), count)
    assert len(chosen) == min(total, count)
    steps = np.diff(chosen)
    assert (steps > 0).all()
    if total > count:
        assert (chosen[0], chosen[-1]) == (0, total - 1)
        assert steps.max() - steps.min() <= 1


def test_sample_of_one_and_none():
    assert evenly_spaced("abcde", 1) == ["c"]
    assert evenly_spaced("abcde", 0) == []


@pytest.mark.parametrize(
    ("pixel_um", "length_px"),
    [(None, 2 * 50), (0.5, 2 * 20 / 0.5), (0.16, 2 * 5 / 0.16)],  # 50 px, 20 um, 5 um
)
def test_the_scale_bar_has_its_length_in_an_enlarged_picture(pixel_um, length_px):
    picture = Image.new("L", (2 * 201, 2 * 201))
    add_scale_bar(picture, pixel_um, enlarged=2)
    rows = [np.flatnonzero(row) for row in np.asarray(picture) if row.any()]
    bar = rows[-1]  # the lowest row with anything in it
    assert bar[-1] - bar[0] == pytest.approx(length_px, abs=1)
