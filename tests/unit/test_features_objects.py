"""Features equal scikit-image's, which is the slow reference here."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from skimage.feature import graycomatrix, graycoprops
from skimage.measure import regionprops_table

from nucprof.core.features import feature_names, measure_objects, measure_patches
from nucprof.errors import FieldError, UserError

SHAPE = {
    "Area": "area",
    "ConvexArea": "area_convex",
    "FilledArea": "area_filled",
    "MajorAxisLength": "axis_major_length",
    "MinorAxisLength": "axis_minor_length",
    "Eccentricity": "eccentricity",
    "EquivalentDiameter": "equivalent_diameter_area",
    "Extent": "extent",
    "MaxFeretDiameter": "feret_diameter_max",
    "Orientation": "orientation",
    "Perimeter": "perimeter",
    "PerimeterCrofton": "perimeter_crofton",
    "Solidity": "solidity",
}
INTENSITY = {
    "MeanIntensity": "intensity_mean",
    "MaxIntensity": "intensity_max",
    "MinIntensity": "intensity_min",
    "StdIntensity": "intensity_std",
}
TEXTURE = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "ASM")
IDS = (1, 2, 7, 12345, 70000)


# --- the slow references -------------------------------------------------------------------------


def reference_table(image, labels):
    """DESIGN's names -> scikit-image's values, one channel."""
    properties = ["label", "centroid", *SHAPE.values(), *INTENSITY.values()]
    table = regionprops_table(labels, image.astype(np.float64), properties=properties)
    out = {ours: table[theirs] for ours, theirs in (SHAPE | INTENSITY).items()}
    return out | {"label": table["label"], "y": table["centroid-0"], "x": table["centroid-1"]}


def grey_levels(values):
    top = values.max(initial=0)
    if top <= 0:
        return np.zeros(values.shape, dtype=np.int64)
    return np.floor(255 * np.maximum(values.astype(np.float64), 0) / top).astype(np.int64)


def reference_texture(grey, mask=None):
    """Texture of one crop; pairs touching a pixel outside `mask` are left out."""
    if mask is None:
        mask = np.ones(grey.shape, dtype=bool)
    # Level 256 stands for what is masked; its row and column are cut off afterwards.
    marked = np.where(mask, grey, 256).astype(np.uint16)
    pairs = graycomatrix(marked, [1], [0], levels=257)[:256, :256]
    i, j = np.nonzero(pairs[:, :, 0, 0])
    out = {p.lower(): graycoprops(pairs, p)[0, 0] for p in TEXTURE}
    if len(set(i)) < 2 or len(set(j)) < 2:
        # graycoprops gives 1 or rounding noise here, as its 1e-15 happens to be met or not.
        out["correlation"] = 1.0
    return out


def centred_box(image, y, x, size):
    top, left = (int(np.floor(c + 0.5)) - size // 2 for c in (y, x))
    return image[max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)]


def padded_box(image, y, x, size):
    top, left = (int(np.floor(c + 0.5)) - size // 2 for c in (y, x))
    return np.pad(image, size)[top + size : top + 2 * size, left + size : left + 2 * size]


def assert_angles_equal(ours, theirs):
    """Equal modulo pi: an axis has no direction."""
    assert_allclose(np.abs(np.sin(ours - theirs)), 0, atol=1e-6)


# --- random fields -------------------------------------------------------------------------------


@st.composite
def label_images(draw):
    """Blobs, rings, lines and dust, overlapping as they fall; gapped labels of any integer type."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    labels = np.zeros((height, width), dtype=draw(st.sampled_from(["int32", "uint32", "int64"])))
    y, x = np.mgrid[:height, :width]
    for label in draw(st.lists(st.sampled_from(IDS), max_size=6)):
        cy, cx = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        a, b = draw(st.floats(0.4, 15)), draw(st.floats(0.4, 15))
        angle = draw(st.floats(0, 3.2))
        u = (np.cos(angle) * (y - cy) + np.sin(angle) * (x - cx)) / a
        v = (np.cos(angle) * (x - cx) - np.sin(angle) * (y - cy)) / b
        distance = u * u + v * v
        inner = draw(st.sampled_from([0, 0, 0, 0.3, 0.8]))
        labels[(distance <= 1) & (distance >= inner)] = label
    if draw(st.booleans()):
        dust = np.random.default_rng(draw(st.integers(0, 1000))).random(labels.shape)
        labels[dust < 0.1] = 0
        labels[dust > 0.93] = 3
    return labels


@st.composite
def fields(draw, channels=2):
    labels = draw(label_images())
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    dtype = draw(st.sampled_from(["uint8", "uint16", "float32", "float64", "int32"]))
    image = rng.gamma(2.0, draw(st.sampled_from([0.3, 5.0, 60.0])), (channels, *labels.shape))
    image += draw(st.sampled_from([0, 0, 180]))
    image[1] *= draw(st.sampled_from([0, 1]))
    return np.minimum(image, 255).astype(dtype), labels


# --- objects -------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(fields())
def test_shape_and_intensity_equal_regionprops(field):
    image, labels = field
    ours = measure_objects(image, labels, ["DAPI", "Cy5"], "Nuclei", textures=False)
    assert list(ours)[3:] == feature_names(["DAPI", "Cy5"], "Nuclei", textures=False)
    if not labels.any():
        assert all(len(column) == 0 for column in ours.values())
        return
    for channel, plane in zip(["DAPI", "Cy5"], image, strict=True):
        theirs = reference_table(plane, labels)
        assert_allclose(ours["ObjectNumber"], theirs["label"], rtol=0)
        assert_allclose(ours["Center_Y"], theirs["y"], rtol=1e-12)
        assert_allclose(ours["Center_X"], theirs["x"], rtol=1e-12)
        for name in INTENSITY:
            column = ours[f"Nuclei_Intensity_{name}_{channel}"]
            assert_allclose(column, theirs[name], rtol=1e-6, atol=1e-9, err_msg=name)
    for name in set(SHAPE) - {"Orientation"}:
        column = ours[f"Nuclei_AreaShape_{name}"]
        # A line's minor axis is 0, and the root of rounding noise in the reference.
        assert_allclose(column, theirs[name], rtol=1e-6, atol=1e-6, err_msg=name)
    round_ = theirs["Eccentricity"] < 1e-3
    assert_angles_equal(
        ours["Nuclei_AreaShape_Orientation"][~round_], theirs["Orientation"][~round_]
    )


@settings(max_examples=20, deadline=None)
@given(fields())
def test_texture_within_objects_equals_graycomatrix(field):
    image, labels = field
    ours = measure_objects(image, labels, ["A", "B"], "Cells", shape=False)
    for row, label in enumerate(ours["ObjectNumber"]):
        mask = labels == label
        for channel, plane in zip("AB", image, strict=True):
            grey = np.zeros(labels.shape, dtype=np.int64)
            grey[mask] = grey_levels(plane[mask])
            for name, value in reference_texture(grey, mask).items():
                title = "ASM" if name == "asm" else name.capitalize()
                column = ours[f"Cells_Texture_{title}_{channel}"]
                assert_allclose(column[row], value, rtol=1e-6, atol=1e-9, err_msg=title)


@settings(max_examples=30, deadline=None)
@given(fields(), st.integers(1, 20))
def test_texture_of_masked_crops_equals_graycomatrix(field, size):
    image, labels = field
    ours = measure_objects(
        image, labels, ["A", "B"], "Nuclei", shape=False,
        texture_background="include", patch_size=size,
    )  # fmt: skip
    for row, label in enumerate(ours["ObjectNumber"]):
        y, x = ours["Center_Y"][row], ours["Center_X"][row]
        for channel, plane in zip("AB", image, strict=True):
            crop = padded_box(np.where(labels == label, plane, 0), y, x, size)
            for name, value in reference_texture(grey_levels(crop)).items():
                title = "ASM" if name == "asm" else name.capitalize()
                column = ours[f"Nuclei_Texture_{title}_{channel}"]
                assert_allclose(column[row], value, rtol=1e-6, atol=1e-9, err_msg=title)


def test_rows_belong_to_their_labels_when_others_leave():
    """Fault 2 of the published scripts: values must not move to another cell."""
    rng = np.random.default_rng(0)
    labels = np.kron(np.arange(1, 10).reshape(3, 3), np.ones((8, 8), dtype=np.int32))
    image = rng.integers(0, 4000, (1, 24, 24)).astype(np.uint16)
    everything = measure_objects(image, labels, ["DAPI"], "Nuclei")
    kept = np.array([2, 5, 9])
    fewer = measure_objects(image, np.where(np.isin(labels, kept), labels, 0), ["DAPI"], "Nuclei")
    for name, column in fewer.items():
        assert_allclose(column, everything[name][kept - 1], err_msg=name)


def test_bright_even_object_keeps_its_spread():
    image = np.full((1, 30, 30), 65534, dtype=np.uint16)
    image[0, 0, 0] = 65535
    ours = measure_objects(image, np.ones((30, 30), dtype=np.uint8), ["A"], "Cells")
    expected = np.sqrt((1 / 900) * (1 - 1 / 900))
    assert_allclose(ours["Cells_Intensity_StdIntensity_A"], [expected], rtol=1e-9)


def test_one_pixel():
    labels = np.zeros((5, 5), dtype=np.uint16)
    labels[2, 3] = 12345
    ours = measure_objects(np.full((1, 5, 5), 9, dtype=np.uint8), labels, ["A"], "Nuclei")
    values = {name.split("_")[-1] if "Area" in name else name: v[0] for name, v in ours.items()}
    assert values["ObjectNumber"] == 12345
    assert values["Area"] == values["ConvexArea"] == values["FilledArea"] == 1
    assert values["MaxFeretDiameter"] == 1
    assert values["Perimeter"] == values["FormFactor"] == values["MajorAxisLength"] == 0
    assert values["Nuclei_Intensity_StdIntensity_A"] == 0
    assert values["Nuclei_Texture_Contrast_A"] == values["Nuclei_Texture_ASM_A"] == 0
    assert values["Nuclei_Texture_Correlation_A"] == 1


def test_form_factor_of_a_square():
    labels = np.zeros((20, 20), dtype=np.uint8)
    labels[5:15, 5:15] = 1
    ours = measure_objects(np.zeros((1, 20, 20), np.uint8), labels, ["A"], "Nuclei")
    # The border pixels' centres are 9 apart on each side.
    assert_allclose(ours["Nuclei_AreaShape_Perimeter"], [36])
    assert_allclose(ours["Nuclei_AreaShape_FormFactor"], [4 * np.pi * 100 / 36**2])


def test_hole_of_a_ring_beside_an_empty_row():
    """As many runs as rows, and still a hole: runs must not be counted for rows."""
    labels = np.zeros((6, 5), dtype=np.uint8)
    labels[0:3, 0:3] = 1
    labels[1, 1] = 0
    labels[5, 0] = 1
    ours = measure_objects(np.zeros((1, 6, 5), np.uint8), labels, ["A"], "Nuclei")
    assert ours["Nuclei_AreaShape_FilledArea"] == 10
    assert ours["Nuclei_AreaShape_Area"] == 9


def test_negative_pixels_have_grey_level_0():
    image = np.array([[[-5.0, 10.0, -1.0, 10.0]]])
    labels = np.ones((1, 4), dtype=np.uint8)
    ours = measure_objects(image, labels, ["A"], "Nuclei")
    assert ours["Nuclei_Texture_Dissimilarity_A"] == 255
    assert ours["Nuclei_Intensity_MinIntensity_A"] == -5


def test_inputs_are_not_changed_and_views_are_measured_alike():
    rng = np.random.default_rng(1)
    image = rng.integers(0, 255, (2, 20, 30)).astype(np.uint16)
    labels = rng.integers(0, 3, (20, 30)).astype(np.int64)
    expected = measure_objects(image.copy(), labels.copy(), ["A", "B"], "Nuclei")
    strided = np.asfortranarray(image)
    strided.flags.writeable = False
    again = measure_objects(strided, np.asfortranarray(labels), ["A", "B"], "Nuclei")
    for name, column in expected.items():
        assert_allclose(again[name], column, rtol=0, err_msg=name)


# --- patches -------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(fields(), st.integers(1, 20), st.data())
def test_patches_equal_their_boxes(field, size, data):
    """Fault 3: every patch is measured by itself, however many overlap or leave the image."""
    image, _ = field
    _, height, width = image.shape
    position = st.tuples(st.floats(0, height - 1), st.floats(0, width - 1))
    centroids = np.array(data.draw(st.lists(position, max_size=5))).reshape(-1, 2)
    ours = measure_patches(image, centroids, ["A", "B"], patch_size=size)
    assert list(ours) == feature_names(["A", "B"], "Patch", shape=False)
    for row, (y, x) in enumerate(centroids):
        for channel, plane in zip("AB", image, strict=True):
            box = centred_box(plane.astype(np.float64), y, x, size)
            values = {name: column[row] for name, column in ours.items()}
            prefix = "Patch_Intensity"
            assert_allclose(values[f"{prefix}_MeanIntensity_{channel}"], box.mean(), rtol=1e-9)
            assert values[f"{prefix}_MaxIntensity_{channel}"] == box.max()
            assert values[f"{prefix}_MinIntensity_{channel}"] == box.min()
            assert_allclose(
                values[f"{prefix}_StdIntensity_{channel}"], box.std(), rtol=1e-9, atol=1e-9
            )
            for name, value in reference_texture(grey_levels(box)).items():
                title = "ASM" if name == "asm" else name.capitalize()
                assert_allclose(
                    values[f"Patch_Texture_{title}_{channel}"], value, rtol=1e-6, atol=1e-9
                )


def test_a_patch_does_not_know_its_neighbours():
    rng = np.random.default_rng(2)
    image = rng.integers(0, 4000, (1, 50, 70)).astype(np.uint16)
    centroids = np.array([[25.0, 30.0], [26.0, 33.0], [2.0, 1.0]])
    together = measure_patches(image, centroids, ["A"], patch_size=20)
    for k, centroid in enumerate(centroids):
        alone = measure_patches(image, centroid[None], ["A"], patch_size=20)
        for name, column in alone.items():
            assert column[0] == together[name][k], name


# --- what is refused -----------------------------------------------------------------------------

IMAGE = np.zeros((1, 4, 4), dtype=np.uint8)
LABELS = np.ones((4, 4), dtype=np.uint8)


@pytest.mark.parametrize(
    ("image", "labels", "channels", "message"),
    [
        (IMAGE, LABELS[:3], ["A"], "label image"),
        (IMAGE, LABELS, ["A", "B"], "2 channels are named"),
        (IMAGE[0], LABELS, ["A"], "label image"),
        (IMAGE, LABELS.astype(float), ["A"], "integer"),
        (np.full((1, 4, 4), np.nan), LABELS, ["A"], "channel A holds values"),
    ],
)
def test_fields_that_cannot_be_measured(image, labels, channels, message):
    with pytest.raises(FieldError, match=message):
        measure_objects(image, labels, channels, "Nuclei")


def test_wrong_settings_are_named():
    with pytest.raises(UserError, match="exclude, include"):
        measure_objects(IMAGE, LABELS, ["A"], "Nuclei", texture_background="leave")
    with pytest.raises(UserError, match="patch_size is 0"):
        measure_patches(IMAGE, np.array([[1.0, 1.0]]), ["A"], patch_size=0)


def test_centroids_of_another_field_are_refused():
    with pytest.raises(FieldError, match="outside the image"):
        measure_patches(IMAGE, np.array([[1.0, 9.0]]), ["A"])


@given(fields(channels=3))
@settings(max_examples=40, deadline=None)
def test_correlation_equals_pearson(field):
    image, labels = field
    channels = ["A", "B", "C_2"]
    ours = measure_objects(image, labels, channels, "Nuclei", shape=False, textures=False)
    for n, label in enumerate(ours["ObjectNumber"]):
        pixels = image[:, labels == label].astype(np.float64)
        for i, j in ((0, 1), (0, 2), (1, 2)):
            name = f"Nuclei_Correlation_Correlation_{channels[i]}_{channels[j]}"
            flat = np.ptp(pixels[i]) == 0 or np.ptp(pixels[j]) == 0
            expected = 0.0 if flat else np.corrcoef(pixels[i], pixels[j])[0, 1]
            assert_allclose(ours[name][n], expected, rtol=1e-6, atol=1e-9)
