"""Stacks of crops."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from nucprof.io.stacks import read_stack, write_single_crops, write_stack

CHANNELS = ("DAPI", "FITC", "Cy3", "Cy5", "A", "B", "C")


def crops(count, channels, size=6, dtype="uint16"):
    """Every pixel different, in order."""
    return (
        np.arange(count * channels * size * size).reshape(count, channels, size, size).astype(dtype)
    )


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64", "int32"])
def test_pixels_survive(tmp_path, dtype):
    path = tmp_path / "B-02-01.tif"
    made = crops(3, 2, dtype=dtype)
    write_stack(path, made, CHANNELS[:2])
    found = read_stack(path)
    assert found.dtype == made.dtype
    np.testing.assert_array_equal(found, made)


@pytest.mark.parametrize("dtype", ["uint16", "float64"])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_any_number_of_cells_and_channels(tmp_path, count, channels, dtype):
    # one cell, one channel, three samples: none may be taken for something else
    path = tmp_path / "s.tif"
    made = crops(count, channels, dtype=dtype)
    write_stack(path, made, CHANNELS[:channels])
    np.testing.assert_array_equal(read_stack(path), made)


def test_it_opens_in_fiji_and_names_its_channels(tmp_path):
    path = tmp_path / "s.tif"
    write_stack(path, crops(2, 3), CHANNELS[:3])
    with tifffile.TiffFile(path) as file:
        assert file.is_imagej
        assert file.series[0].axes == "TCYX"
        assert file.imagej_metadata["channels"] == 3
        assert file.imagej_metadata["frames"] == 2
        assert list(file.imagej_metadata["Labels"]) == ["DAPI", "FITC", "Cy3"] * 2


def test_it_can_be_mapped_into_memory(tmp_path):
    path = tmp_path / "s.tif"
    made = crops(4, 2)
    write_stack(path, made, CHANNELS[:2])
    mapped = tifffile.memmap(path, mode="r")
    np.testing.assert_array_equal(mapped.reshape(made.shape), made)
    del mapped  # closed before the file could be written again


def test_no_cell_no_file(tmp_path):
    # TIFFs of size zero do not exist; an older stack would be somebody else's cells
    path = tmp_path / "s.tif"
    write_stack(path, crops(2, 2), CHANNELS[:2])
    write_stack(path, crops(0, 2), CHANNELS[:2])
    assert list(tmp_path.iterdir()) == []
    write_stack(path, crops(0, 2), CHANNELS[:2])
    assert list(tmp_path.iterdir()) == []


def test_single_crops_bear_the_cells_names(tmp_path):
    made = crops(2, 3)
    write_single_crops(tmp_path / "B-02-01", ["B-02-01_0003", "B-02-01_70000"], made)
    for name, crop in zip(["B-02-01_0003", "B-02-01_70000"], made, strict=True):
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "B-02-01" / f"{name}.tif"), crop)


def test_single_crops_and_names_must_be_as_many(tmp_path):
    with pytest.raises(ValueError, match="longer"):
        write_single_crops(tmp_path, ["B-02-01_0003"], crops(2, 3))
