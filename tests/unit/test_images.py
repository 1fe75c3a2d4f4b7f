"""Images as microscopes and programs write them, read as (C, H, W) (METHOD fault 13)."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import tifffile

from nucprof.errors import FieldError
from nucprof.io.images import (
    describe,
    read_channels,
    read_image,
    read_labels,
    write_image,
    write_labels,
)
from nucprof.plate.sources import Source

H, W = 23, 31  # neither is the other, nor a number of channels


def stack(channels, dtype="uint16"):
    """Pixels that tell their channel, row and column apart."""
    image = np.add.outer(np.arange(channels) * 50, np.add.outer(np.arange(H) * 2, np.arange(W)))
    return image.astype(dtype)


def save(path, data, **how):
    tifffile.imwrite(path, data, **how)
    return path


def assert_reads(path, expected, dtype=None):
    """Both readers agree with the pixels that were written."""
    image = read_image(path)
    np.testing.assert_array_equal(image, expected)
    assert image.dtype == np.dtype(dtype or expected.dtype)
    assert image.dtype.isnative
    info = describe(path)
    assert (info.planes, info.height, info.width) == expected.shape
    assert np.dtype(info.dtype) == expected.dtype


class TestTiff:
    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
    def test_fault_13_any_depth_size_and_number_of_channels(self, tmp_path, dtype):
        for channels in (1, 2, 4):
            path = save(
                tmp_path / f"{channels}.tif",
                stack(channels, dtype),
                photometric="minisblack",
                metadata={"axes": "CYX"},
            )
            assert_reads(path, stack(channels, dtype))

    def test_one_plane(self, tmp_path):
        assert_reads(save(tmp_path / "a.tif", stack(1)[0]), stack(1))

    def test_contiguous_samples_are_channels(self, tmp_path):
        data = np.moveaxis(stack(3, "uint8"), 0, -1)
        assert_reads(save(tmp_path / "a.tif", data, photometric="rgb"), stack(3, "uint8"))

    def test_planar_samples_are_channels(self, tmp_path):
        path = save(tmp_path / "a.tif", stack(3), photometric="rgb", planarconfig="separate")
        assert_reads(path, stack(3))

    def test_a_palette_means_nothing(self, tmp_path):
        colours = np.random.default_rng(0).integers(0, 2**16, (3, 256), dtype=np.uint16)
        path = save(
            tmp_path / "a.tif", stack(1, "uint8")[0], photometric="palette", colormap=colours
        )
        assert_reads(path, stack(1, "uint8"))

    def test_an_inverted_meaning_means_nothing(self, tmp_path):
        assert_reads(save(tmp_path / "a.tif", stack(1)[0], photometric="miniswhite"), stack(1))

    @pytest.mark.parametrize("axes", ["CYX", "ZCYX", "TZCYX"])
    def test_imagej_hyperstack_of_one_plane(self, tmp_path, axes):
        shape = (1,) * (len(axes) - 3) + stack(3).shape
        path = save(
            tmp_path / "a.tif", stack(3).reshape(shape), imagej=True, metadata={"axes": axes}
        )
        assert_reads(path, stack(3))

    def test_channels_last_by_name(self, tmp_path):
        data = np.moveaxis(stack(4), 0, -1)
        path = save(tmp_path / "a.tif", data, photometric="minisblack", metadata={"axes": "YXC"})
        assert_reads(path, stack(4))

    @pytest.mark.parametrize("channels", [2, 3, 4])
    def test_channels_last_where_nothing_names_the_axes(self, tmp_path, channels):
        data = np.moveaxis(stack(channels), 0, -1)
        path = save(tmp_path / "a.tif", data, photometric="minisblack", metadata=None)
        assert_reads(path, stack(channels))

    @pytest.mark.parametrize("channels", [2, 5])
    def test_pages_where_nothing_names_the_axes_are_channels(self, tmp_path, channels):
        path = save(tmp_path / "a.tif", stack(channels), photometric="minisblack", metadata=None)
        assert_reads(path, stack(channels))

    def test_a_narrow_image_of_few_channels_is_not_turned(self, tmp_path):
        narrow = stack(3)[:, :, :9]
        path = save(tmp_path / "a.tif", narrow, photometric="minisblack", metadata=None)
        assert_reads(path, narrow)

    @pytest.mark.parametrize("dtype", ["uint16", "float32"])
    def test_big_endian(self, tmp_path, dtype):
        path = save(
            tmp_path / "a.tif",
            stack(2, dtype),
            byteorder=">",
            photometric="minisblack",
            metadata={"axes": "CYX"},
        )
        assert path.read_bytes()[:2] == b"MM"
        assert_reads(path, stack(2, dtype))

    def test_bigtiff_and_compression(self, tmp_path):
        path = save(
            tmp_path / "a.tif",
            stack(2),
            bigtiff=True,
            compression="zlib",
            photometric="minisblack",
            metadata={"axes": "CYX"},
        )
        assert_reads(path, stack(2))

    def test_ome_tiff(self, tmp_path):
        path = save(tmp_path / "a.ome.tif", stack(4), metadata={"axes": "CYX"})
        assert_reads(path, stack(4))

    def test_a_suffix_that_lies(self, tmp_path):
        # the first bytes count, not the name
        assert_reads(save(tmp_path / "a.nd2.tif", stack(1)[0]).rename(tmp_path / "a.nd2"), stack(1))

    def test_several_images_are_refused(self, tmp_path):
        path = tmp_path / "a.tif"
        with tifffile.TiffWriter(path) as file:
            file.write(stack(1)[0], metadata=None)
            file.write(stack(1)[0][:9, :8], metadata=None)
        with pytest.raises(FieldError, match="holds 2 separate images"):
            read_image(path)

    @pytest.mark.parametrize(
        "how",
        [
            {"metadata": None},
            {"metadata": None, "compression": "zlib"},
            {"metadata": {"axes": "CYX"}, "ome": True},
            {"metadata": {"axes": "CYX"}, "imagej": True},
            {"metadata": {"axes": "CYX"}, "bigtiff": True, "byteorder": ">"},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("reader", [read_image, describe])
    def test_a_file_cut_short_is_never_a_smaller_image(self, tmp_path, how, reader):
        path = save(tmp_path / "a.tif", stack(3), photometric="minisblack", **how)
        whole = path.read_bytes()
        messages = []
        for kept in range(1, len(whole), 61):
            path.write_bytes(whole[:kept])
            try:
                found = reader(path)
            except FieldError as error:
                messages.append(str(error))
            else:  # all that is lost is what describes the pixels, or a header's pixels
                planes = len(found) if reader is read_image else found.planes
                assert planes == 3
                if reader is read_image:
                    np.testing.assert_array_equal(found, stack(3))
        assert len(messages) > 5
        assert all(str(path) in message for message in messages)

    @pytest.mark.parametrize(
        "head", [b"II*\0", b"MM\0*", b"II+\0", b"\xda\xce\xbe\x0a", b"\x89PNG"]
    )
    def test_what_only_begins_like_an_image(self, tmp_path, head):
        path = tmp_path / "a.tif"
        rng = np.random.default_rng(0)
        for rest in (b"garbage", bytes(60), b"\x08" + bytes(3) + b"\xff" * 60, rng.bytes(400)):
            path.write_bytes(head + rest)
            with pytest.raises(FieldError, match=r"a\.tif"):
                describe(path)

    def test_complex_pixels_are_refused(self, tmp_path):
        path = save(tmp_path / "a.tif", np.zeros((H, W), np.complex64))
        with pytest.raises(FieldError, match="pixels of type complex64; expected grey values"):
            read_image(path)

    @pytest.mark.parametrize("content", [b"", b"P", b"\x89PNG\r\n\x1a\n...."])
    def test_other_formats_are_named(self, tmp_path, content):
        path = tmp_path / "a.tif"
        path.write_bytes(content)
        with pytest.raises(
            FieldError, match=r"a\.tif (is neither TIFF, \.nd2 nor PNG|cannot be read)"
        ):
            read_image(path)

    def test_a_missing_file_says_what_to_run(self, tmp_path):
        with pytest.raises(FieldError, match="does not exist any more; run 'nucprof rename' again"):
            read_image(tmp_path / "a.tif")

    def test_pixel_size_of_imagej(self, tmp_path):
        path = save(
            tmp_path / "a.tif",
            stack(1)[0],
            imagej=True,
            resolution=(1 / 0.325, 1 / 0.325),
            metadata={"unit": "um"},
        )
        assert describe(path).pixel_size_um == pytest.approx(0.325, rel=1e-6)

    def test_pixel_size_in_centimetres(self, tmp_path):
        path = save(
            tmp_path / "a.tif", stack(1)[0], resolution=(20000, 20000), resolutionunit="CENTIMETER"
        )
        assert describe(path).pixel_size_um == pytest.approx(0.5)

    @pytest.mark.parametrize("ratio", [(1, 0), (0, 1), (0, 0)])
    def test_a_resolution_that_is_no_number(self, tmp_path, ratio):
        path = save(
            tmp_path / "a.tif", stack(1)[0], resolution=(20000, 20000), resolutionunit="CENTIMETER"
        )
        with tifffile.TiffFile(path, mode="r+b") as file:
            file.pages[0].tags["XResolution"].overwrite(ratio)
        assert describe(path).pixel_size_um is None

    def test_the_size_of_imagej_pixels_without_unit_is_unknown(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", stack(1)[0], imagej=True, resolution=(1, 1))
        assert describe(tmp_path / "a.tif").pixel_size_um is None

    def test_pixel_size_without_unit_is_unknown(self, tmp_path):
        assert describe(save(tmp_path / "a.tif", stack(1)[0])).pixel_size_um is None


class TestRealTraps:
    def test_planar_samples_whose_name_lists_two_channels(self, shared_data):
        path = sorted((shared_data / "coculture" / "GT").glob("*ChannelDNA,GFP*.tif"))[0]
        image = read_image(path)
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            assert page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
            strips = [
                zlib.decompress(path.read_bytes()[start : start + size])
                for start, size in zip(page.dataoffsets, page.databytecounts, strict=True)
            ]
            stored = np.frombuffer(b"".join(strips), page.dtype).reshape(image.shape)
            np.testing.assert_array_equal(image, stored)
        assert image.shape == (3, 640, 640)
        assert describe(path).planes == 3

    def test_a_palette_file_gives_its_stored_numbers(self, shared_data):
        from PIL import Image

        path = sorted((shared_data / "bbbc013" / "images").glob("Channel1*.tif"))[0]
        with Image.open(path) as stored:
            assert stored.mode == "P"
            numbers = np.array(stored)
        np.testing.assert_array_equal(read_image(path), numbers[None])


class TestChannels:
    def test_planes_of_one_file_in_the_order_asked_for(self, tmp_path):
        path = save(tmp_path / "a.tif", stack(4), photometric="minisblack")
        found = read_channels([Source(path, 2), Source(path, 0)])
        np.testing.assert_array_equal(found, stack(4)[[2, 0]])

    def test_one_file_per_channel(self, tmp_path):
        paths = [(save(tmp_path / f"{c}.tif", stack(3)[c])) for c in range(3)]
        found = read_channels([Source(paths[1], 0), Source(paths[2], 0)])
        np.testing.assert_array_equal(found, stack(3)[1:])

    def test_channels_of_different_size_are_refused(self, tmp_path):
        a = save(tmp_path / "a.tif", stack(1)[0])
        b = save(tmp_path / "b.tif", stack(1)[0][:-1])
        with pytest.raises(
            FieldError, match=r"The channels differ in size: \[\(22, 31\), \(23, 31\)\]"
        ):
            read_channels([Source(a, 0), Source(b, 0)])

    def test_a_plane_that_the_file_no_longer_has(self, tmp_path):
        path = save(tmp_path / "a.tif", stack(2), photometric="minisblack")
        with pytest.raises(FieldError, match=r"a\.tif holds 2 planes"):
            read_channels([Source(path, 0), Source(path, 2)])

    def test_channels_of_different_type_become_one_type(self, tmp_path):
        a = save(tmp_path / "a.tif", stack(1, "uint8")[0])
        b = save(tmp_path / "b.tif", stack(1, "uint16")[0] + 1000)
        found = read_channels([Source(a, 0), Source(b, 0)])
        assert found.dtype == np.uint16
        assert found[1, 0, 0] == 1000


class TestWriting:
    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    def test_images_survive(self, tmp_path, dtype, channels):
        path = tmp_path / "made" / "a.tif"
        write_image(path, stack(channels, dtype), ["DAPI", "FITC", "Cy3", "Cy5"][:channels])
        assert_reads(path, stack(channels, dtype))

    def test_a_plane_survives(self, tmp_path):
        write_image(tmp_path / "a.tif", stack(1)[0])
        assert_reads(tmp_path / "a.tif", stack(1))


class TestLabels:
    def labels(self, largest, dtype):
        labels = np.zeros((H, W), dtype)
        labels[2:5, 3:9] = 7
        labels[10:12, 20:30] = largest
        return labels

    @pytest.mark.parametrize(
        ("largest", "stored"),
        [
            (8, "uint16"),
            (65535, "uint16"),
            (65536, "uint32"),
            (70000, "uint32"),
            (2**32 - 1, "uint32"),
        ],
    )
    def test_fault_13_labels_above_65535(self, tmp_path, largest, stored):
        labels = self.labels(largest, np.int64)
        write_labels(tmp_path / "m.tif", labels)
        found = read_labels(tmp_path / "m.tif")
        assert found.dtype == stored
        np.testing.assert_array_equal(found, labels)

    def test_plain_tiff(self, tmp_path):
        # ImageJ's own format refuses 32-bit unsigned
        write_labels(tmp_path / "m.tif", self.labels(70000, np.int64))
        with tifffile.TiffFile(tmp_path / "m.tif") as file:
            assert not file.is_imagej
            assert file.pages[0].dtype == np.uint32

    def test_no_object(self, tmp_path):
        write_labels(tmp_path / "m.tif", np.zeros((H, W), np.int32))
        found = read_labels(tmp_path / "m.tif")
        assert found.dtype == np.uint16
        assert not found.any()

    @pytest.mark.parametrize("wrong", [-1, 2**32])
    def test_labels_that_fit_no_label_image_are_not_wrapped(self, tmp_path, wrong):
        with pytest.raises(FieldError, match=f"label {wrong} does not fit"):
            write_labels(tmp_path / "m.tif", self.labels(wrong, np.int64))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32"])
    def test_masks_made_elsewhere(self, tmp_path, dtype):
        path = save(tmp_path / "m.tif", self.labels(101, dtype))
        found = read_labels(path)
        assert found.dtype.kind == "u"
        np.testing.assert_array_equal(found, self.labels(101, np.uint32))

    @pytest.mark.parametrize("value", [0.5, np.nan, np.inf])
    def test_fractions_are_no_labels(self, tmp_path, value):
        path = save(tmp_path / "m.tif", self.labels(value, np.float32))
        with pytest.raises(FieldError, match=r"m\.tif"):
            read_labels(path)

    @pytest.mark.parametrize("dtype", ["int16", "int32", "float32"])
    def test_negative_numbers_are_no_labels(self, tmp_path, dtype):
        path = save(tmp_path / "m.tif", self.labels(-3, dtype))
        with pytest.raises(FieldError, match=r"m\.tif holds negative labels"):
            read_labels(path)

    def test_several_planes_are_no_label_image(self, tmp_path):
        path = save(tmp_path / "m.tif", stack(2), photometric="minisblack")
        with pytest.raises(FieldError, match="has 2 planes; a label image has one"):
            read_labels(path)
