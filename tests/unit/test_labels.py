import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from nucprof.core.labels import (
    ObjectIndex,
    clear_border,
    decode_ids,
    encode_ids,
    keep_labels,
    label_dtype,
    smallest_labels,
    touches_border,
)
from nucprof.errors import DataError, FieldError

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64"]
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)


@st.composite
def label_images(draw):
    dtype = np.dtype(draw(st.sampled_from(INTEGERS)))
    ids = [i for i in (0, 0, 1, 5, 127, 255, 12345, 70000) if i <= np.iinfo(dtype).max]
    return draw(hnp.arrays(dtype, draw(SHAPES), elements=st.sampled_from(ids)))


@given(label_images())
def test_index_says_where_every_object_is(labels):
    objects = ObjectIndex.of(labels)
    assert_array_equal(objects.ids, np.setdiff1d(labels, [0]))
    painted = np.zeros_like(labels)
    for k, label in enumerate(objects.ids):
        y, x = np.nonzero(labels == label)
        assert objects.areas[k] == len(y)
        assert_allclose(objects.centroids[k], [y.mean(), x.mean()], rtol=1e-12)
        assert_array_equal(objects.boxes[k], [y.min(), x.min(), y.max() + 1, x.max() + 1])
        runs = objects.runs
        for j in range(runs.first[k], runs.first[k + 1]):
            painted[runs.row[j], runs.start[j] : runs.stop[j]] = label
    assert_array_equal(painted, labels)


def test_index_of_a_field_without_cells():
    objects = ObjectIndex.of(np.zeros((4, 6), dtype=np.uint16))
    assert len(objects) == 0
    assert objects.boxes.shape == (0, 4)
    assert objects.centroids.shape == (0, 2)
    assert objects.shape == (4, 6)


def test_a_label_that_wraps_a_row_is_not_one_run():
    objects = ObjectIndex.of(np.array([[0, 0, 4], [4, 0, 0]]))
    assert_array_equal(objects.boxes, [[0, 0, 2, 3]])
    assert_array_equal(objects.runs.row, [0, 1])


@given(label_images())
def test_clearing_the_border_leaves_the_other_labels_alone(labels):
    height, width = labels.shape
    y, x = np.mgrid[:height, :width]
    edge = (y == 0) | (x == 0) | (y == height - 1) | (x == width - 1)
    expected = sorted({int(v) for v in labels[edge]} - {0})
    before = labels.copy()
    cleared, dropped = clear_border(labels)
    assert dropped.tolist() == touches_border(labels).tolist() == expected
    assert cleared.dtype == labels.dtype
    assert_array_equal(cleared, [[0 if v in expected else v for v in row] for row in labels])
    assert_array_equal(labels, before)


@given(label_images(), st.sets(st.sampled_from([1, 5, 255, 70000, 99])))
def test_keeping_labels(labels, ids):
    expected = [[v if v in ids else 0 for v in row] for row in labels.tolist()]
    kept = keep_labels(labels, ids)
    assert kept.dtype == labels.dtype
    assert_array_equal(kept, expected)


def test_smallest_type_that_holds_the_labels():
    assert label_dtype(0) is label_dtype(65535) is np.uint16
    assert label_dtype(65536) is label_dtype(2**32 - 1) is np.uint32
    small = smallest_labels(np.array([[0, 65535]], dtype=np.int64))
    large = smallest_labels(np.array([[0, 70000]], dtype=np.int64))
    assert (small.dtype, small[0, 1]) == (np.uint16, 65535)
    assert (large.dtype, large[0, 1]) == (np.uint32, 70000)


@pytest.mark.parametrize("labels", [np.array([[2**32]]), np.array([[-1, 3]])])
def test_labels_that_fit_no_label_image(labels):
    with pytest.raises(FieldError, match="does not fit a label image"):
        smallest_labels(labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((3, 3)), "float64 of shape"),
        (np.zeros((3, 3, 3), dtype=int), "two-dimensional"),
        (np.zeros((3, 3), dtype=bool), "bool"),
        (np.array([[0, -2]]), "label -2 is negative"),
    ],
)
def test_arrays_that_are_no_label_images(labels, message):
    with pytest.raises(FieldError, match=message):
        ObjectIndex.of(labels)


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ([], ""),
        ([7], "7"),
        ([3, 2, 1, 2], "1-3"),
        ([1, 2, 3, 4, 5, 7, 9, 10, 11, 12], "1-5,7,9-12"),
        ([0, 70000, 70001], "0,70000-70001"),
    ],
)
def test_ids_are_written_as_ranges(ids, text):
    assert encode_ids(ids) == text
    assert decode_ids(text).tolist() == sorted(set(ids))


@given(st.sets(st.integers(0, 300)))
def test_ids_come_back(ids):
    assert decode_ids(encode_ids(ids)).tolist() == sorted(ids)


@pytest.mark.parametrize("text", ["1-", "a", "3-1", "5,4", "1,,2", "-3", "1-3,3", "1 2", "1.5"])
def test_text_that_is_no_list_of_ids(text):
    with pytest.raises(DataError, match=r"1-5,7,9-12"):
        decode_ids(text)


def test_negative_ids_are_refused():
    with pytest.raises(DataError, match="-4 is no label"):
        encode_ids([3, -4])
