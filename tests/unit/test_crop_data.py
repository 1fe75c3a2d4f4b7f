"""Crops come back by their number, whether they are held or streamed."""

import numpy as np
import pytest

from nucprof.errors import DataError
from nucprof.io.stacks import write_stack
from nucprof.learn.cnn.crop_data import CropsInMemory, StreamedCrops, batches, map_stack, open_crops

RNG = np.random.default_rng(0)


def write(tmp_path, shapes, dtype=np.uint16):
    paths, stacks = [], []
    for number, shape in enumerate(shapes):
        stack = RNG.integers(0, 60000, size=shape).astype(dtype)
        path = tmp_path / f"B-{number + 1:02d}-01.tif"
        write_stack(path, stack, [f"c{i}" for i in range(shape[1])])
        paths.append(path)
        stacks.append(stack)
    return paths, stacks


@pytest.mark.parametrize("share", [0.5, 0.0])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_held_and_streamed_crops_are_those_asked_for(tmp_path, share, dtype):
    paths, stacks = write(tmp_path, [(4, 3, 6, 6), (2, 3, 6, 6)], dtype)
    stack_of, row_of = np.array([1, 0, 0, 1]), np.array([1, 3, 0, 0])
    crops = open_crops(paths, stack_of, row_of, [2, 0], memory_share=share)
    assert isinstance(crops, StreamedCrops if share == 0 else CropsInMemory)
    assert crops.shape == (4, 2, 6, 6)
    numbers = np.array([3, 0, 1, 1])
    expected = np.stack([stacks[stack_of[n]][row_of[n]][[2, 0]] for n in numbers])
    found = crops.rows(numbers)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(1, 1, 6, 6), (1, 3, 6, 6), (5, 1, 6, 6), (3, 4, 6, 8)])
def test_stacks_with_axes_of_length_one(tmp_path, shape):
    (path,), (stack,) = write(tmp_path, [shape])
    np.testing.assert_array_equal(map_stack(path), stack)


def test_streaming_keeps_few_stacks_open(tmp_path, monkeypatch):
    monkeypatch.setattr("nucprof.learn.cnn.crop_data._OPEN_STACKS", 2)
    paths, stacks = write(tmp_path, [(1, 1, 4, 4)] * 5)
    crops = open_crops(paths, np.arange(5), np.zeros(5, int), [0], memory_share=0)
    np.testing.assert_array_equal(crops.rows(np.arange(5)), np.concatenate(stacks))
    assert len(crops._open) == 2
    crops.close()
    assert not crops._open


def test_an_index_that_does_not_fit_its_stack_is_refused(tmp_path):
    paths, _ = write(tmp_path, [(2, 1, 4, 4)])
    with pytest.raises(DataError, match="crop --force"):
        open_crops(paths, np.array([0]), np.array([2]), [0])
    with pytest.raises(DataError, match="crop --force"):
        open_crops(paths, np.array([0]), np.array([0]), [1])
    with pytest.raises(DataError, match="nucprof crop"):
        open_crops([], np.array([], int), np.array([], int), [0])


def test_stacks_of_different_patch_sizes_are_refused(tmp_path):
    paths, _ = write(tmp_path, [(2, 1, 4, 4), (2, 1, 6, 6)])
    with pytest.raises(DataError, match="differ in channels or size"):
        open_crops(paths, np.array([0, 1]), np.array([0, 0]), [0])


def test_a_broken_stack_is_named(tmp_path):
    path = tmp_path / "B-02-01.tif"
    path.write_bytes(b"II*\0 nothing")
    with pytest.raises(DataError, match=r"B-02-01\.tif cannot be read"):
        map_stack(path)


def test_batches_cover_all_once():
    parts = list(batches(np.arange(10), 4))
    assert [len(p) for p in parts] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(10))
