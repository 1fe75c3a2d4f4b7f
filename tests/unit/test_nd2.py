"""Nikon .nd2 files: positions, times, focal planes, channels, names and pixel size."""

from __future__ import annotations

import nd2
import numpy as np
import pytest
from nd2_writer import write_nd2

from nucprof.errors import FieldError
from nucprof.io.images import Position, describe, read_image

H, W = 23, 31


def stack(*lead, dtype="uint16"):
    """Pixels that are all different."""
    shape = (*lead, H, W)
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def test_the_library_reads_what_the_helper_writes(tmp_path):
    data = stack(2, 3, 4, 2)
    path = write_nd2(tmp_path / "a.nd2", data, "PTZCYX")
    with nd2.ND2File(path) as file:
        assert dict(file.sizes) == {"P": 2, "T": 3, "Z": 4, "C": 2, "Y": H, "X": W}
        np.testing.assert_array_equal(file.asarray(), data)


def test_channels_names_and_pixel_size(tmp_path):
    path = write_nd2(
        tmp_path / "a.nd2", stack(2), "CYX", names=["DAPI", "Cy 5"], pixel_size_um=0.65
    )
    info = describe(path)
    assert (info.planes, info.height, info.width, info.dtype) == (2, H, W, "uint16")
    assert info.names == ("DAPI", "Cy 5")
    assert info.pixel_size_um == 0.65
    np.testing.assert_array_equal(read_image(path), stack(2))


def test_one_channel(tmp_path):
    path = write_nd2(tmp_path / "a.nd2", stack(1, dtype="uint8"), "CYX")
    np.testing.assert_array_equal(read_image(path), stack(1, dtype="uint8"))


def test_an_uncalibrated_camera_has_no_pixel_size(tmp_path):
    assert describe(write_nd2(tmp_path / "a.nd2", stack(2), "CYX")).pixel_size_um is None


@pytest.mark.parametrize("axes", ["PTZCYX", "TPZCYX", "PZCYX", "TZCYX"])
def test_any_order_of_the_loops(tmp_path, axes):
    lengths = {"P": 2, "T": 3, "Z": 4, "C": 2}
    data = stack(*(lengths[a] for a in axes[:-2]))
    path = write_nd2(tmp_path / "a.nd2", data, axes)
    info = describe(path)
    assert (len(info.positions), info.times, info.z) == tuple(
        lengths[a] if a in axes else 1 for a in "PTZ"
    )
    at = {"P": len(info.positions) - 1, "T": min(1, info.times - 1)}
    planes = data[tuple(at.get(a, slice(None)) for a in axes)]  # (Z, C, Y, X)
    np.testing.assert_array_equal(read_image(path, at["P"], at["T"], "max"), planes.max(axis=0))
    np.testing.assert_array_equal(read_image(path, at["P"], at["T"], 3), planes[2])


def test_positions_have_their_names(tmp_path):
    path = write_nd2(tmp_path / "a.nd2", stack(2, 1), "PCYX", positions=["B02", "C11"])
    assert describe(path).positions == (Position("B02"), Position("C11"))


def test_an_acquisition_that_stopped_early_is_never_read_as_zeros(tmp_path):
    data = stack(3, 2)
    path = write_nd2(tmp_path / "a.nd2", data, "PCYX", frames=2)
    np.testing.assert_array_equal(read_image(path, 1), data[1])
    with pytest.raises(FieldError, match=r"ends before position 3.*the acquisition stopped early"):
        read_image(path, 2)


class TestTheRealFile:
    @pytest.fixture
    def path(self, shared_data):
        return shared_data / "nd2" / "pims_cluster.nd2"

    def test_what_it_holds(self, path):
        info = describe(path)
        assert (info.times, info.z, info.planes, info.height, info.width) == (3, 10, 2, 31, 38)
        assert info.names == ("5-FAM/pH 9.0", "FM 4-64/2% CHAPS")
        assert info.pixel_size_um == pytest.approx(0.1678, abs=1e-4)

    def test_its_planes(self, path):
        whole = nd2.imread(path)  # T, Z, C, Y, X
        np.testing.assert_array_equal(read_image(path, 0, 2, "max"), whole[2].max(axis=0))
        np.testing.assert_array_equal(read_image(path, 0, 1, 10), whole[1, 9])
        mean = np.rint(whole[0].mean(axis=0))
        np.testing.assert_array_equal(read_image(path, 0, 0, "mean"), mean)

    @pytest.mark.parametrize(
        ("time", "projection", "told"),
        [(None, "max", r"3 time points \(T\): choose with rename.time"),
         (0, None, r"10 focal planes \(Z\): choose with rename.projection"),
         (3, "max", "3 time points, number 4"), (0, 11, "10 focal planes, number 11")],
    )  # fmt: skip
    def test_a_choice_is_needed(self, path, time, projection, told):
        with pytest.raises(FieldError, match=told):
            read_image(path, 0, time, projection)

    def test_cut_short(self, path, tmp_path):
        whole = path.read_bytes()
        cut = tmp_path / "cut.nd2"
        cut.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(FieldError, match=r"cut\.nd2 cannot be read"):
            read_image(cut)
