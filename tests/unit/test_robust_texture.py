"""The robust textures equal their slow reference, and stay where exposure, offset or size move."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import ndimage as ndi
from skimage.feature import graycomatrix, graycoprops

from nucprof.core.features import feature_names, measure_objects, measure_patches

NAMES = ("Contrast", "Dissimilarity", "Homogeneity", "Energy", "Correlation", "ASM")
TAPS = np.array([1, 4, 6, 4, 1]) / 16


# --- the slow reference --------------------------------------------------------------------------


def despeckled(values, mask):
    """Every pixel limited to the range of its neighbours within the mask, one by one."""
    out = values.copy()
    for y, x in np.argwhere(mask):
        box = (slice(max(y - 1, 0), y + 2), slice(max(x - 1, 0), x + 2))
        around = mask[box].copy()
        around[y - box[0].start, x - box[1].start] = False
        if around.any():
            near = values[box][around]
            out[y, x] = np.clip(values[y, x], near.min(), near.max())
    return out


def smoothed(values, mask):
    def blur(array):
        once = ndi.correlate1d(array, TAPS, axis=1, mode="constant")
        return ndi.correlate1d(once, TAPS, axis=0, mode="constant")

    return blur(np.where(mask, values, 0.0)) * (1 / np.where(mask, blur(mask.astype(float)), 1.0))


def levels(values, mask):
    """32 levels over the 1st to 99th percentile of the object's 1024 steps; 32 outside."""
    inside = smoothed(despeckled(values.astype(float), mask), mask)[mask]
    low, high = inside.min(), inside.max()
    scale = 1024 / (high - low) if high > low else 0.0
    steps = np.minimum(np.floor((inside - low) * scale), 1023).astype(int)
    ends = sorted(
        (np.percentile(steps, 1, method="higher"), np.percentile(steps, 99, method="lower"))
    )
    out = np.full(mask.shape, 32, dtype=np.uint16)
    out[mask] = np.clip(32 * (steps - ends[0]) // (ends[1] - ends[0] + 1), 0, 31)
    return out


def reference(values, mask):
    pairs = graycomatrix(levels(values, mask), [1], [0], levels=33)[:32, :32].astype(np.int64)
    out = {name: graycoprops(pairs, name.lower())[0, 0] for name in NAMES[:3]}
    counts, n = pairs.ravel(), int(pairs.sum())
    i, j = np.nonzero(pairs[:, :, 0, 0])
    varies = len(set(i)) > 1 and len(set(j)) > 1
    out["Correlation"] = graycoprops(pairs, "correlation")[0, 0] if varies else 1.0
    # the chance that two different pairs are alike
    out["ASM"] = float((counts * (counts - 1)).sum() / (n * (n - 1))) if n > 1 else float(n)
    out["Energy"] = np.sqrt(out["ASM"])
    return out


@st.composite
def masked_images(draw):
    """Blobs, rings and dust of several labels, on images of every type."""
    shape = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    kind = draw(st.sampled_from(["blobs", "dust", "whole", "lines"]))
    if kind == "blobs":
        noise = ndi.gaussian_filter(rng.normal(size=shape), 2)
        labels = np.where(noise > np.median(noise), 7, np.where(noise < -0.05, 70000, 0))
    elif kind == "dust":
        labels = rng.choice([0, 0, 3, 12345], size=shape)
    else:
        labels = np.ones(shape, dtype=int)
        if kind == "lines":
            labels[::2] = 0
    dtype = draw(st.sampled_from(["uint8", "uint16", "float32", "float64"]))
    image = ndi.gaussian_filter(rng.gamma(2.0, 30.0, (2, *shape)), (0, 1, 1)) + rng.normal(
        0, draw(st.sampled_from([0.0, 3.0])), (2, *shape)
    )
    image[1] *= draw(st.sampled_from([0, 1, 5]))
    # whole numbers, also as floats: their sums are exact, whatever their order
    return np.clip(np.rint(image), 0, 255).astype(dtype), labels


@settings(max_examples=80, deadline=None)
@given(masked_images())
def test_objects_equal_the_slow_reference(field):
    image, labels = field
    ours = measure_objects(image, labels, ["A", "B"], "Nuclei", shape=False, texture_set="robust")
    for row, label in enumerate(ours["ObjectNumber"]):
        for channel, plane in zip("AB", image, strict=True):
            for name, value in reference(plane, labels == label).items():
                column = ours[f"Nuclei_Texture_{name}Robust_{channel}"]
                assert_allclose(column[row], value, rtol=1e-9, atol=1e-12, err_msg=name)


@settings(max_examples=25, deadline=None)
@given(masked_images(), st.integers(1, 14), st.data())
def test_patches_equal_the_slow_reference(field, size, data):
    image, _ = field
    y, x = (data.draw(st.floats(0, length - 1)) for length in image.shape[1:])
    ours = measure_patches(image, np.array([[y, x]]), ["A", "B"], patch_size=size)
    top, left = (int(np.floor(c + 0.5)) - size // 2 for c in (y, x))
    box = image[:, max(top, 0) : top + size, max(left, 0) : left + size]
    for channel, plane in zip("AB", box, strict=True):
        for name, value in reference(plane, np.ones(plane.shape, dtype=bool)).items():
            column = ours[f"Patch_Texture_{name}Robust_{channel}"]
            assert_allclose(column[0], value, rtol=1e-9, atol=1e-12, err_msg=name)


def test_values_worked_out_by_hand():
    """One row 0 0 0 ... 9 9 9: two levels, and one pair that is unlike."""
    image = np.repeat([[[0.0, 9.0]]], 50, axis=2)
    ours = measure_patches(image, np.array([[0.0, 49.0]]), ["A"], patch_size=200)
    got = [ours[f"Patch_Texture_{name}Robust_A"][0] for name in ("Contrast", "Correlation")]
    # The filter makes four grey levels between 0 and 9, of 1, 5, 11 and 15 sixteenths: the steps
    # 64, 320, 704 and 960 of 1024. The percentiles are the ends, so a level is 32 steps.
    pixels = np.array([0] * 48 + [2, 10, 22, 30] + [31] * 48)
    left, right = pixels[:-1], pixels[1:]
    assert_allclose(got[0], ((left - right) ** 2).mean())
    assert_allclose(got[1], np.corrcoef(left, right)[0, 1])


# --- what it is for ------------------------------------------------------------------------------


def nuclei(exposure, seed=0, hot=False, offset=0.0, same_texture=False):
    """120 elliptic nuclei with chromatin, as a camera sees them; every nucleus is a field."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(120):
        cell = np.random.default_rng([seed, number])
        radius = cell.uniform(6, 18)
        y, x = np.mgrid[:46, :46] - 22.5
        distance = np.hypot(y / 1.1, x * 1.1) / radius
        grain = ndi.gaussian_filter(cell.normal(size=y.shape), 1.8)
        strength = 0.2 if same_texture else cell.uniform(0.1, 0.35)
        signal = (1 + strength * grain / grain.std()).clip(0.2) / (1 + np.exp((distance - 1) * 12))
        camera = np.random.default_rng([seed, number, int(1000 * exposure)])
        seen = camera.poisson((signal + 0.08) * 4000 * exposure) + camera.normal(100, 3, y.shape)
        seen = np.rint(seen + offset).clip(0)
        mask = distance < 0.95
        if hot:
            where = np.argwhere(mask)
            seen[tuple(where[rng.integers(len(where))])] = 60_000
        rows.append(measure_objects(seen[None], mask.astype(int), ["A"], "Nuclei"))
    return {
        key: np.concatenate([row[key] for row in rows]) for key in rows[0] if key.endswith("_A")
    } | {"area": np.concatenate([row["Nuclei_AreaShape_Area"] for row in rows])}


@pytest.fixture(scope="module")
def plain():
    return nuclei(1.0)


def shifts(plain, other, suffix):
    """Mean shift of every texture, in standard deviations between cells."""
    keys = [f"Nuclei_Texture_{name}{suffix}_A" for name in NAMES]
    return np.array([(other[k] - plain[k]).mean() / plain[k].std() for k in keys])


@pytest.mark.parametrize(
    ("change", "largest"),
    [
        ({"exposure": 0.1}, 0.07),
        ({"exposure": 1.0, "hot": True}, 0.05),
        ({"exposure": 1.0, "offset": 2000}, 1e-9),
    ],
)
def test_exposure_hot_pixels_and_offset_move_the_published_set_only(plain, change, largest):
    other = nuclei(**change)
    assert np.abs(shifts(plain, other, "")).max() > 0.3
    assert np.abs(shifts(plain, other, "Robust")).max() <= largest


def test_energy_is_no_measure_of_size():
    cells = nuclei(1.0, same_texture=True)

    def with_area(name):
        return np.corrcoef(cells["area"], cells[f"Nuclei_Texture_{name}_A"])[0, 1]

    assert with_area("Energy") < -0.8
    assert abs(with_area("EnergyRobust")) < 0.3
    assert abs(with_area("ASMRobust")) < 0.3


def test_the_sets_can_be_told_apart():
    image, labels = np.ones((1, 4, 4)), np.ones((4, 4), dtype=int)
    found = {
        name: [
            key
            for key in measure_objects(image, labels, ["A"], "Nuclei", texture_set=name)
            if "_Texture_" in key
        ]
        for name in ("published", "robust", "both")
    }
    assert found["published"] == [f"Nuclei_Texture_{name}_A" for name in NAMES]
    assert found["robust"] == [f"Nuclei_Texture_{name}Robust_A" for name in NAMES]
    assert found["both"] == found["published"] + found["robust"]
    names = feature_names(["A"], "Nuclei", shape=False, texture_set="robust")
    assert [name for name in names if "_Texture_" in name] == found["robust"]
    none = measure_objects(image, labels, ["A"], "Nuclei", textures=False)
    assert not [key for key in none if "_Texture_" in key]
