"""Figures of a field, and which fields stand out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi

from nucprof.core.quality import (
    flag_fields,
    focus,
    measure_quality,
    saturated_share,
    unevenness,
)


@pytest.mark.parametrize("period", [8, 16, 30])
def test_focus_of_a_wave_is_that_of_its_frequency(period):
    wave = np.broadcast_to(np.sin(2 * np.pi * np.arange(40 * period) / period), (12, 40 * period))
    # The Laplacian multiplies a wave by its eigenvalue; smoothing leaves the ratio alone.
    eigenvalue = 2 - 2 * np.cos(2 * np.pi / period)
    assert focus(1000 + 300 * wave) == pytest.approx(eigenvalue**2, rel=0.05)


def test_focus_falls_with_blur_and_not_with_exposure():
    image = np.zeros((64, 64))
    image[20:40, 25:45] = 500
    sharp = focus(image)
    assert focus(100 + 7 * image) == pytest.approx(sharp, rel=1e-4)
    assert focus(ndi.gaussian_filter(image, 2)) < 0.5 * sharp
    assert focus(np.full((9, 9), 7)) == 0


def test_focus_of_a_large_image_is_sampled_in_its_quarters():
    rng = np.random.default_rng(0)
    small = ndi.gaussian_filter(rng.normal(0, 100, (256, 256)), 2, mode="wrap")
    large = np.tile(small, (6, 7))
    assert focus(large) == pytest.approx(focus(small), rel=0.05)
    assert focus(ndi.gaussian_filter(large, 3)) < 0.5 * focus(large)
    dirt = large.copy()
    dirt[:100] = 1e6  # at the edge, which is in none of the quarters' middles
    assert focus(dirt) == focus(large)


@pytest.mark.parametrize(
    ("top", "dtype", "share"),
    [
        (255, np.uint8, 5 / 100), (255, np.uint16, 5 / 100), (4095, np.uint16, 5 / 100),
        (65535, np.uint16, 5 / 100), (3000, np.uint16, 0), (254, np.uint8, 0),
        (1.0, np.float32, 4 / 100),
    ],
)  # fmt: skip
def test_saturated_share(top, dtype, share):
    image = (np.arange(100).reshape(10, 10) % 7).astype(dtype) / (100 if dtype == np.float32 else 1)
    image = image.astype(dtype)
    image.flat[:5] = top
    assert saturated_share(image) == pytest.approx(share)


def test_even_images_are_not_saturated():
    assert saturated_share(np.full((4, 4), 0.5)) == 0
    assert saturated_share(np.zeros((0, 4), np.uint8)) == 0


def test_objects_of_a_field_with_gapped_labels():
    labels = np.zeros((40, 60), np.uint32)
    labels[0:10, 5:15] = 70000  # touches the border, area 100
    labels[15:25, 5:15] = 3
    labels[15:25, 20:30] = 9
    labels[30:33, 40:43] = 12  # tiny, area 9
    image = np.where(labels > 0, 900, 100).astype(np.uint16)
    found = measure_quality(image, labels)
    assert found["objects"] == 4
    assert found["median_area_px"] == 100
    assert found["border_share"] == 0.25
    assert found["tiny_share"] == 0.25
    assert found["saturated_share"] == 0


def test_a_field_without_anything():
    found = measure_quality(np.zeros((5, 7)), np.zeros((5, 7), np.uint8))
    assert set(found.values()) == {0}


def test_shares_of_dim_and_of_oddly_sized_objects():
    labels = np.zeros((60, 200), np.int32)
    for k in range(8):
        labels[10:20, 5 + 20 * k : 15 + 20 * k] = k + 1
    labels[30:55, 5:45] = 9  # ten times the area of the others
    image = np.where(labels > 0, 900.0, 100.0)
    image[labels == 3] = 150  # a sixteenth of the others' step
    image += np.random.default_rng(0).normal(0, 3, image.shape)
    found = measure_quality(image, labels)
    assert found["dim_share"] == pytest.approx(1 / 9)
    assert found["odd_size_share"] == pytest.approx(1 / 9)
    assert found["illumination"] < 0.05


def test_unevenness_is_the_range_of_the_background_over_the_step():
    ramp = np.broadcast_to(np.linspace(100, 500, 400), (80, 400)).copy()
    labels = np.zeros(ramp.shape, np.int32)
    labels[20:40, 100:140] = 1
    ramp[labels > 0] = 5000
    # Medians of quarters of the ramp are three quarters of its range apart.
    assert unevenness(ramp, labels, 200.0) == pytest.approx(0.75 * 400 / 200, rel=0.02)
    assert unevenness(ramp, labels, 0.0) == 0


def plate(count=12, **changed):
    """Figures of like fields; ``changed`` sets figures of the last one."""
    wobble = 1 + 0.02 * np.cos(np.arange(count))
    figures = {
        "focus": (0.01 * wobble).tolist(),
        "saturated_share": [0.0] * count,
        "illumination": (0.2 * wobble).tolist(),
        "objects": np.round(100 * wobble).tolist(),
        "median_area_px": (300 * wobble).tolist(),
        "brightness": (900 * wobble).tolist(),
        "border_share": (0.1 * wobble).tolist(),
        "tiny_share": [0.01] * count,
        "dim_share": [0.01] * count,
        "odd_size_share": [0.02] * count,
    }
    for name, value in changed.items():
        figures[name][-1] = value
    return figures


def test_like_fields_are_not_flagged():
    assert flag_fields(plate()) == [[]] * 12


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"focus": 0.002}, "focus 0.002 (plate: 0.0"),
        ({"saturated_share": 0.05}, "saturated pixels 0.05 (plate: 0)"),
        ({"objects": 20}, "objects 20 (plate: "),
        ({"objects": 600}, "objects 600 (plate: "),
        ({"median_area_px": 90}, "median area 90 (plate: "),
        ({"brightness": 900 * 16}, "brightness of objects 1.44e+04 (plate: "),
        ({"brightness": 900 / 256}, "brightness of objects 3.52 (plate: "),
        ({"border_share": 0.5}, "objects at the border 0.5 (plate: 0.1)"),
        ({"tiny_share": 0.4}, "tiny objects 0.4 (plate: 0.01)"),
        ({"illumination": 0.9}, "uneven background 0.9 (plate: 0."),
        ({"dim_share": 0.24}, "dim objects 0.24 (plate: 0.01)"),
        ({"odd_size_share": 0.3}, "objects of odd size 0.3 (plate: 0.02)"),
    ],
)
def test_what_stands_out_is_said(changed, words):
    *others, last = flag_fields(plate(**changed))
    assert others == [[]] * 11
    assert len(last) == 1
    assert last[0].reason.startswith(words)
    assert last[0].name in changed
    assert last[0].advice


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"saturated_share": 0.06}, "saturated pixels 0.06 (limit: 0.05)"),
        ({"illumination": 1.5}, "uneven background 1.5 (limit: 1)"),
        ({"dim_share": 0.4}, "dim objects 0.4 (limit: 0.25)"),
        ({"odd_size_share": 0.5}, "objects of odd size 0.5 (limit: 0.3)"),
    ],
)
def test_a_plate_whose_fields_are_all_bad_is_flagged(changed, words):
    whole = {n: changed.get(n, v[0]) for n, v in plate().items()}
    flags = flag_fields({name: [value] * 12 for name, value in whole.items()})
    assert all([flag.reason for flag in field] == [words] for field in flags)
    assert "--" in flags[0][0].advice or "expose" in flags[0][0].advice


@pytest.mark.parametrize(
    "changed", [{"focus": 0.1}, {"border_share": 0.0}, {"objects": 70}, {"brightness": 2700}]
)
def test_what_is_fine_is_not(changed):
    assert flag_fields(plate(**changed)) == [[]] * 12


def test_no_objects_is_said_once_also_on_a_small_plate():
    empty = {"objects": 0, "median_area_px": 0, "border_share": 0, "tiny_share": 0}
    assert [flag.reason for flag in flag_fields(plate(**empty))[-1]] == ["no objects"]
    *others, last = flag_fields(plate(3, **empty))
    assert others == [[], []]
    assert [flag.reason for flag in last] == ["no objects"]
    assert flag_fields(plate(3, focus=1e-5)) == [[], [], []]
    assert flag_fields({name: [] for name in plate()}) == []


def test_the_modified_z_score():
    # Median 0.3, median absolute deviation 0.1: flagged above 0.3 + 3.5 * 0.1 / 0.6745 = 0.819.
    shares = [0.1, 0.2, 0.2, 0.3, 0.3, 0.3, 0.4, 0.4, 0.5, 0.81, 0.83]
    figures = plate(11)
    figures["border_share"] = shares
    flags = [bool(reasons) for reasons in flag_fields(figures)]
    assert flags == [False] * 10 + [True]


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(12)))
def test_the_order_of_fields_does_not_matter(order):
    figures = plate(focus=0.001, objects=7)
    straight = flag_fields(figures)
    mixed = flag_fields({name: [column[k] for k in order] for name, column in figures.items()})
    assert mixed == [straight[k] for k in order]
