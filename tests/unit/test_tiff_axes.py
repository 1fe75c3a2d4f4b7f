"""TIFF files with focal planes, times and positions: ImageJ, OME in one file and in sets."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from ome_set_writer import write_set

from nucprof.errors import FieldError
from nucprof.io.images import describe, read_image, write_image

H, W = 12, 15


def stack(*lead, dtype="uint16"):
    shape = (*lead, H, W)
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


class TestImageJ:
    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
    def test_a_hyperstack(self, tmp_path, dtype):
        data = stack(3, 4, 2, dtype=dtype)
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, data, imagej=True, metadata={"axes": "TZCYX", "unit": "um"},
                         resolution=(2.0, 2.0))  # fmt: skip
        info = describe(path)
        assert (info.times, info.z, info.planes, info.pixel_size_um) == (3, 4, 2, 0.5)
        np.testing.assert_array_equal(read_image(path, 0, 2, "max"), data[2].max(axis=0))
        np.testing.assert_array_equal(read_image(path, 0, 1, 4), data[1, 3])

    def test_labels_name_the_channels(self, tmp_path):
        path = tmp_path / "a.tif"
        labels = [f"c:{c + 1}/2 z:{z + 1}/3 - {n}" for z in range(3) for c, n in enumerate("ab")]
        metadata = {"axes": "ZCYX", "Labels": labels}
        tifffile.imwrite(path, stack(3, 2), imagej=True, metadata=metadata)
        assert describe(path).names == ("a", "b")

    @pytest.mark.parametrize("unit", ["micron", "\\u00B5m"])
    def test_spellings_of_the_micrometre(self, tmp_path, unit):
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, stack(1), imagej=True, metadata={"axes": "CYX", "unit": unit},
                         resolution=(4.0, 4.0))  # fmt: skip
        assert describe(path).pixel_size_um == 0.25


class TestOmeInOneFile:
    def write(self, path, count=3, **how):
        data = stack(count, 4, 2)
        with tifffile.TiffWriter(path, ome=True, **how) as file:
            for i in range(count):
                file.write(
                    data[i],
                    photometric="minisblack",
                    metadata={
                        "axes": "ZCYX",
                        "Name": f"B0{i + 2}",
                        "Channel": {"Name": ["DAPI", "GFP"]},
                        "PhysicalSizeX": 650.0,
                        "PhysicalSizeXUnit": "nm",
                    },
                )
        return data

    @pytest.mark.parametrize("how", [{}, {"bigtiff": True}])
    def test_series_are_positions(self, tmp_path, how):
        path = tmp_path / "a.ome.tif"
        data = self.write(path, **how)
        info = describe(path)
        assert [p.name for p in info.positions] == ["B02", "B03", "B04"]
        assert (info.z, info.planes, info.names) == (4, 2, ("DAPI", "GFP"))
        assert info.pixel_size_um == pytest.approx(0.65)
        np.testing.assert_array_equal(read_image(path, 2, projection=2), data[2, 1])
        np.testing.assert_array_equal(read_image(path, 1, projection="max"), data[1].max(axis=0))

    def test_a_position_that_is_not_there(self, tmp_path):
        path = tmp_path / "a.ome.tif"
        self.write(path)
        with pytest.raises(FieldError, match="3 positions, number 4 was asked for"):
            read_image(path, 3, projection="max")

    @pytest.mark.parametrize(
        "how",
        [{"tile": (16, 16)}, {"compression": "zlib"}, {"compression": "lzw"}, {"rowsperstrip": 3}],
        ids=str,
    )
    def test_tiles_and_compression(self, tmp_path, how):
        path = tmp_path / "a.ome.tif"
        data = stack(3, 2)
        tifffile.imwrite(path, data, metadata={"axes": "ZCYX"}, photometric="minisblack", **how)
        np.testing.assert_array_equal(read_image(path, projection=3), data[2])

    def test_samples_and_focal_planes(self, tmp_path):
        path = tmp_path / "a.ome.tif"
        data = stack(3, 3, dtype="uint8")
        last = np.moveaxis(data, 1, -1)
        tifffile.imwrite(path, last, metadata={"axes": "ZYXS"}, photometric="rgb")
        np.testing.assert_array_equal(read_image(path, projection=2), data[1])

    def test_wells_of_a_plate(self, tmp_path):
        path = tmp_path / "a.ome.tif"
        self.write(path, 2)
        text = tifffile.TiffFile(path)
        with text as file:
            xml = file.ome_metadata
        ids = [part.split('"')[0] for part in xml.split('<Image ID="')[1:]]
        samples = "".join(
            f'<Well ID="Well:{i}" Row="2" Column="{10 + i}"><WellSample ID="WellSample:{i}" '
            f'Index="{i}"><ImageRef ID="{image}"/></WellSample></Well>'
            for i, image in enumerate(ids)
        )
        plate = f'<Plate ID="Plate:0">{samples}</Plate>'
        start = xml.index("<Image ")
        tifffile.tiffcomment(path, (xml[:start] + plate + xml[start:]).encode())
        assert [(p.well, p.site) for p in describe(path).positions] == [("C11", 1), ("C12", 1)]


def write(folder, names, places, **how):
    """Write a set whose planes hold 10 times the image's number, plus the channel's."""
    pixels = {(i, c): np.full((H, W), 10 * i + c, np.uint16) for i, c in places}
    channels = "ab"[: 1 + max(c for _, c in places)]
    write_set(folder, names, places, pixels, names_of_channels=channels, **how)


class TestOmeSets:
    def test_one_position_per_file_is_read_once(self, tmp_path):
        names = ["A01.ome.tif", "A02.ome.tif"]
        places = {(i, c): (i, c) for i in range(2) for c in range(2)}
        write(tmp_path, names, places)
        for i, name in enumerate(names):
            info = describe(tmp_path / name)
            assert [p.name for p in info.positions] == [f"pos {i}"]
            assert read_image(tmp_path / name)[:, 0, 0].tolist() == [10 * i, 10 * i + 1]

    def test_a_file_of_a_set_can_lie_alone(self, tmp_path):
        names = ["A01.ome.tif", "A02.ome.tif"]
        places = {(i, c): (i, c) for i in range(2) for c in range(2)}
        write(tmp_path, names, places)
        (tmp_path / "A01.ome.tif").unlink()
        assert read_image(tmp_path / "A02.ome.tif")[:, 0, 0].tolist() == [10, 11]

    def test_channels_in_files_of_their_own(self, tmp_path):
        names = ["A01_C0.ome.tif", "A01_C1.ome.tif"]
        write(tmp_path, names, {(0, 0): (0, 0), (0, 1): (1, 0)})
        assert read_image(tmp_path / names[0])[:, 0, 0].tolist() == [0, 1]
        assert describe(tmp_path / names[1]).part_of == names[0]

    @pytest.mark.parametrize("gone", [0, 1])
    def test_a_missing_companion_is_an_error_and_never_zeros(self, tmp_path, gone):
        names = ["A01_C0.ome.tif", "A01_C1.ome.tif"]
        write(tmp_path, names, {(0, 0): (0, 0), (0, 1): (1, 0)})
        (tmp_path / names[gone]).unlink()
        for read in (read_image, describe):
            with pytest.raises(FieldError, match=f"not complete: {names[gone]} not beside it"):
                read(tmp_path / names[1 - gone])

    def test_a_missing_companion_of_metadata(self, tmp_path):
        places = {(0, 0): (0, 0), (0, 1): (0, 1)}
        write(tmp_path, ["A01.ome.tif"], places, master="plate.companion.ome")
        info = describe(tmp_path / "A01.ome.tif")
        assert info.names == ("a", "b")
        assert read_image(tmp_path / "A01.ome.tif")[:, 0, 0].tolist() == [0, 1]
        (tmp_path / "plate.companion.ome").unlink()
        with pytest.raises(FieldError, match=r"the file plate\.companion\.ome that describes it"):
            describe(tmp_path / "A01.ome.tif")


class TestWhatWeWrite:
    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64", "int32"])
    def test_names_and_pixel_size_come_back(self, tmp_path, dtype):
        path = tmp_path / "a.tif"
        write_image(path, stack(3, dtype=dtype), ["DAPI", "Aktin rot", "Zürich"], 0.325)
        info = describe(path)
        assert info.names == ("DAPI", "Aktin rot", "Zürich")
        assert info.pixel_size_um == pytest.approx(0.325)
        np.testing.assert_array_equal(read_image(path), stack(3, dtype=dtype))

    def test_fiji_shows_the_nuclei_blue(self, tmp_path):
        path = tmp_path / "a.tif"
        write_image(path, stack(3), ["GFP", "DAPI", "Cy5"], 0.5)
        with tifffile.TiffFile(path) as file:
            held = file.imagej_metadata
        assert held["mode"] == "composite"
        assert held["unit"] == "um"
        assert held["LUTs"][1][:, 255].tolist() == [0, 0, 255]
        assert held["LUTs"][0][:, 255].tolist() == [0, 255, 0]
