"""Which objects of a field stay; planes and masks that a backend is given."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucprof.errors import FieldError, FieldExcluded
from nucprof.io.images import write_labels
from nucprof.segmentation.backends.base import Planes
from nucprof.segmentation.backends.labels import LabelsSettings, Masks, find_masks
from nucprof.segmentation.objects import clean_cells, clean_nuclei
from nucprof.segmentation.planes import combine_channels, split_planes


def boxes(*objects, shape=(40, 60), dtype=np.uint32):
    labels = np.zeros(shape, dtype)
    for label, top, left, bottom, right in objects:
        labels[top:bottom, left:right] = label
    return labels


NOTHING = np.zeros((40, 60), np.uint16)


def dropped(objects):
    return {reason: gone.tolist() for reason, gone in objects.dropped.items() if len(gone)}


def test_nuclei_at_the_border_leave_where_asked():
    nuclei = boxes((5, 0, 3, 8, 9), (70000, 10, 10, 20, 20))
    gone = clean_nuclei(nuclei, drop_border=True)
    assert gone.ids.tolist() == [5, 70000]
    assert dropped(gone) == {"border": [5]}
    assert gone.kept == 1
    np.testing.assert_array_equal(gone.masks["nuclei"], np.where(nuclei == 5, 0, nuclei))
    kept = clean_nuclei(nuclei, drop_border=False)
    assert dropped(kept) == {}
    assert kept.kept == 2
    np.testing.assert_array_equal(kept.masks["nuclei"], nuclei)


def test_phantoms_leave_and_those_at_the_border_leave_for_that():
    nuclei = boxes((5, 0, 3, 8, 9), (7, 10, 10, 20, 20), (9, 25, 25, 33, 33))
    found = clean_nuclei(nuclei, drop_border=True, phantoms=np.array([5, 9]))
    assert dropped(found) == {"border": [5], "low_contrast": [9]}
    np.testing.assert_array_equal(found.masks["nuclei"], np.where(nuclei == 7, 7, 0))
    cells = boxes((5, 0, 1, 9, 11), (7, 8, 8, 22, 22), (9, 24, 24, 35, 35), (11, 24, 40, 35, 50))
    found = clean_cells(cells, nuclei, NOTHING, drop_border=True, phantoms=np.array([9]))
    assert dropped(found) == {"border": [5], "low_contrast": [9], "no_nucleus": [11]}
    np.testing.assert_array_equal(found.masks["cells"], np.where(cells == 7, 7, 0))


def test_cells_and_nuclei_under_the_cells_label():
    cells = boxes((3, 2, 2, 18, 18), (70000, 5, 25, 20, 40), (8, 22, 5, 30, 12), (9, 0, 45, 10, 60))
    nuclei = boxes((1, 6, 6, 12, 12), (2, 8, 28, 14, 36), (4, 2, 48, 6, 52), (6, 33, 30, 38, 36))
    found = clean_cells(cells, nuclei, NOTHING, drop_border=True)
    # Nucleus 4 belongs to cell 9 at the border and leaves with it; nucleus 6 has no cell.
    assert dropped(found) == {"border": [9], "no_nucleus": [8], "no_cell": [70001]}
    assert found.ids.tolist() == [3, 8, 9, 70000, 70001]
    assert found.kept == 2
    np.testing.assert_array_equal(
        found.masks["nuclei"], boxes((3, 6, 6, 12, 12), (70000, 8, 28, 14, 36))
    )
    np.testing.assert_array_equal(
        found.masks["cells"], boxes((3, 2, 2, 18, 18), (70000, 5, 25, 20, 40))
    )


def test_without_a_nuclei_mask_the_stain_decides():
    cells = boxes((3, 2, 2, 18, 18), (4, 22, 22, 34, 34))
    rng = np.random.default_rng(0)
    stain = rng.normal(100, 3, cells.shape)
    stain[6:12, 6:12] += 900
    found = clean_cells(cells, None, stain, drop_border=True)
    assert dropped(found) == {"no_nucleus": [4]}
    assert set(np.unique(found.masks["nuclei"])) == {0, 3}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**16), st.booleans())
def test_objects_in_are_kept_plus_dropped(seed, drop_border):
    rng = np.random.default_rng(seed)
    names = np.array([0, 0, 2, 3, 300, 65536], np.uint32)
    cells = np.kron(rng.choice(names, (5, 6)), np.ones((4, 4), np.uint32))
    nuclei = np.kron(rng.choice(names, (10, 12)), np.ones((2, 2), np.uint32))
    found = clean_cells(cells, nuclei, np.zeros(cells.shape), drop_border=drop_border)
    kept = set(np.unique(found.masks["cells"]).tolist()) - {0}
    assert kept == set(np.unique(found.masks["nuclei"]).tolist()) - {0}
    gone = [label for labels in found.dropped.values() for label in labels.tolist()]
    assert len(gone) == len(set(gone))
    assert not kept & set(gone)
    assert kept | set(gone) == set(found.ids.tolist())
    assert found.kept == len(kept)


def test_a_field_without_cells():
    empty = np.zeros((9, 9), np.uint16)
    found = clean_cells(empty, empty, empty, drop_border=True)
    assert found.kept == len(found.ids) == 0
    assert not found.masks["cells"].any()


def test_cytoplasm_plane_is_the_average_of_the_channels_beside_the_nuclear_one():
    rng = np.random.default_rng(1)
    image = rng.integers(0, 4000, (3, 20, 22)).astype(np.uint16)
    image[2] //= 100  # a dim channel counts as much as a bright one
    nuclear, cyto = split_planes(image, "cells")
    np.testing.assert_array_equal(nuclear, image[0])
    expected = np.zeros((20, 22))
    for plane in image[1:]:
        padded = np.pad(plane, 1, mode="symmetric")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
        smooth = np.median(windows, axis=(2, 3))
        low, high = np.percentile(smooth, (1, 99))
        expected += (smooth - low) / (high - low) / 2
    np.testing.assert_allclose(cyto, expected, atol=1e-5)
    np.testing.assert_array_equal(split_planes(image[:1], "cells")[1], combine_channels(image[:1]))


def test_nuclei_on_one_channel_are_seen_as_they_are():
    image = np.arange(60, dtype=np.uint8).reshape(1, 6, 10)
    nuclear, cyto = split_planes(image, "nuclei")
    assert cyto is None
    np.testing.assert_array_equal(nuclear, image[0])
    two, _ = split_planes(np.concatenate([image, image]), "nuclei")
    np.testing.assert_allclose(two, combine_channels(image), atol=1e-6)


def read_masks(found, name, mode, shape):
    return Masks(mode).segment(Planes(np.zeros(shape), None, name, found))


@pytest.mark.parametrize(
    "where", ["rep1/cells/B-02-01.tif", "cells/B-02-01.tiff", "rep1/B-02-01.tif", "B-02-01.tif"]
)
def test_masks_made_elsewhere_are_found(tmp_path, where):
    write_labels(tmp_path / where, boxes((3, 1, 1, 4, 4)))
    found = find_masks(LabelsSettings(path=tmp_path), "rep1", "B-02-01", "cells")
    assert found["cells"] == tmp_path / where
    read = read_masks(found, "rep1/B-02-01", "cells", (40, 60))
    assert read.nuclei is None  # a mask without a folder of its kind is of the mode's
    np.testing.assert_array_equal(read.labels("cells"), boxes((3, 1, 1, 4, 4)))


def test_masks_of_both_kinds(tmp_path):
    for kind, label in (("nuclei", 1), ("cells", 5)):
        write_labels(tmp_path / kind / "B-02-01.tif", boxes((label, 1, 1, 4, 4)))
    found = find_masks(LabelsSettings(path=tmp_path), "p", "B-02-01", "cells")
    read = read_masks(found, "p/B-02-01", "cells", (40, 60))
    assert (read.labels("nuclei").max(), read.labels("cells").max()) == (1, 5)
    assert set(find_masks(LabelsSettings(path=tmp_path), "p", "B-02-01", "nuclei")) == {"nuclei"}


def test_a_missing_mask_leaves_the_field_out_and_a_wrong_one_fails_it(tmp_path):
    found = find_masks(LabelsSettings(path=tmp_path), "p", "B-02-01", "nuclei")
    with pytest.raises(FieldExcluded, match=r"p/B-02-01 has no mask .*B-02-01\.tif"):
        read_masks(found, "p/B-02-01", "nuclei", (40, 60))
    write_labels(found["nuclei"], boxes((3, 1, 1, 4, 4)))
    with pytest.raises(FieldError, match=r"\(40, 60\), but its image is \(40, 61\)"):
        read_masks(found, "p/B-02-01", "nuclei", (40, 61))
