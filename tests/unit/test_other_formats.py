"""PNG files, and formats that are read through bioio where it is installed."""

from __future__ import annotations

import types
from xml.etree import ElementTree

import numpy as np
import pytest
from lif_writer import write_lif
from PIL import Image

from nucprof.errors import FieldError
from nucprof.io.formats import foreign
from nucprof.io.formats.harmony import read_harmony
from nucprof.io.images import Position, describe, read_image

H, W = 11, 14


class TestPng:
    @pytest.mark.parametrize("dtype", ["uint8", "uint16"])
    def test_grey_levels(self, tmp_path, dtype):
        plane = np.arange(H * W).reshape(H, W).astype(dtype) * 3
        Image.fromarray(plane).save(tmp_path / "a.png")
        info = describe(tmp_path / "a.png")
        assert (info.planes, info.height, info.width, info.dtype) == (1, H, W, dtype)
        np.testing.assert_array_equal(read_image(tmp_path / "a.png"), plane[None])

    @pytest.mark.parametrize("samples", [3, 4])
    def test_colours_are_channels_and_transparency_is_none(self, tmp_path, samples):
        image = np.arange(H * W * samples).reshape(H, W, samples).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / "a.png")
        expected = np.moveaxis(image, -1, 0)[:3]
        np.testing.assert_array_equal(read_image(tmp_path / "a.png"), expected)

    def test_a_palette_is_refused(self, tmp_path):
        plane = np.arange(H * W, dtype=np.uint8).reshape(H, W)
        Image.fromarray(plane).convert("P").save(tmp_path / "a.png")
        with pytest.raises(FieldError, match="whose values are not intensities"):
            read_image(tmp_path / "a.png")

    def test_cut_short(self, tmp_path):
        plane = np.random.default_rng(0).integers(0, 255, (H, W)).astype(np.uint8)
        Image.fromarray(plane).save(tmp_path / "a.png")
        whole = (tmp_path / "a.png").read_bytes()
        (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(FieldError, match=r"a\.png cannot be read"):
            read_image(tmp_path / "a.png")


class FakeImage:
    """As much of bioio.BioImage as is read; the real one is an extra."""

    shape = (2, 3, 4, H, W)  # T, C, Z, Y, X
    other = shape

    def __init__(self, path):
        self.scenes, self.scene = ("A1", "B2"), "A1"
        self.channel_names = ["a", "b", "c"]
        self.dtype = np.dtype("uint16")
        self.physical_pixel_sizes = types.SimpleNamespace(X=0.65, Y=0.65, Z=None)

    def set_scene(self, name):
        self.scene = name

    @property
    def metadata(self):
        return ElementTree.fromstring("<ImageDocument/>")

    @property
    def dims(self):
        shape = self.shape if self.scene == "A1" else self.other
        return types.SimpleNamespace(**dict(zip("TCZYX", shape, strict=True)))

    def get_image_data(self, order, T, Z):
        assert order == "CYX"
        value = 1000 * self.scenes.index(self.scene) + 100 * T + 10 * Z
        return np.stack([np.full((H, W), value + c, np.uint16) for c in range(self.shape[1])])


class TestBioio:
    @pytest.fixture
    def path(self, tmp_path, monkeypatch):
        monkeypatch.setattr(foreign, "_open", FakeImage)
        (tmp_path / "a.czi").write_bytes(b"ZISRAWFILE")
        return tmp_path / "a.czi"

    def test_what_it_holds(self, path):
        info = describe(path)
        assert (info.planes, info.z, info.times, info.height, info.width) == (3, 4, 2, H, W)
        assert info.names == ("a", "b", "c")
        assert info.positions == (Position("A1"), Position("B2"))
        assert info.pixel_size_um == 0.65

    def test_its_planes(self, path):
        assert read_image(path, 1, 1, 3)[:, 0, 0].tolist() == [1120, 1121, 1122]
        assert read_image(path, 0, 0, "max")[:, 0, 0].tolist() == [30, 31, 32]

    def test_scenes_of_different_size(self, path, monkeypatch):
        monkeypatch.setattr(FakeImage, "other", (2, 3, 4, H, W + 1))
        with pytest.raises(FieldError, match=r"scene B2 is .* Export one file per field"):
            describe(path)


class TestCzi:
    """Files of the real writer, read by the real reader."""

    PIXELS = np.arange(2 * 3 * 2 * H * W).reshape(2, 3, 2, H, W).astype(np.uint16)

    @pytest.fixture
    def write(self, tmp_path):
        pytest.importorskip("bioio_czi", reason="the extra 'formats' is not installed")
        pytest.importorskip("pylibCZIrw", reason="pylibCZIrw, which writes .czi, is not installed")
        from czi_writer import write_czi

        def write(scenes, **how):
            path = tmp_path / "a.czi"
            write_czi(path, self.PIXELS, channels=("GFP", "DNA"), um=0.5, scenes=scenes, **how)
            return path

        return write

    def test_scenes_of_a_plate(self, write):
        path = write(["P1-B2", "P1-AA12"])
        info = describe(path)
        assert info.positions == (Position("P1-B2", "B2"), Position("P1-AA12", "AA12"))
        assert (info.planes, info.z, info.names) == (2, 3, ("GFP", "DNA"))
        np.testing.assert_array_equal(read_image(path, 1, projection=2), self.PIXELS[1, 1])

    def test_scenes_that_the_metadata_do_not_list_are_not_lost(self, write):
        with pytest.raises(FieldError, match="holds 2 scenes, but its metadata name 1"):
            describe(write(["B2", "B3"], listed=False))


class TestForeign:
    def test_without_bioio_the_message_names_the_extra(self, tmp_path, monkeypatch):
        monkeypatch.setattr(foreign, "installed", lambda: False)
        (tmp_path / "a.czi").write_bytes(b"ZISRAWFILE")
        with pytest.raises(FieldError, match=r'pip install "nucprof\[formats\]"'):
            describe(tmp_path / "a.czi")

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("a.czi", "bioio-czi cannot read it. Is the file complete"),
            ("a.lif", "bioio-lif cannot read it. Is the file complete"),
            ("a.oib", "bioio reads this format with bioio-bioformats; install it"),
        ],
    )
    def test_what_cannot_be_read(self, tmp_path, name, told):
        pytest.importorskip("bioio_czi", reason="the extra 'formats' is not installed")
        (tmp_path / name).write_bytes(b"something else" * 100)
        with pytest.raises(FieldError, match=told):
            describe(tmp_path / name)

    def test_cut_short(self, tmp_path):
        pytest.importorskip("bioio_lif", reason="the extra 'formats' is not installed")
        path = tmp_path / "a.lif"
        image = np.zeros((1, 1, 60, 70), np.uint16)
        write_lif(path, {"B2": image}, channels=["GFP"], um=0.5)
        path.write_bytes(path.read_bytes()[:-5000])
        with pytest.raises(FieldError, match=r"a\.lif cannot be read"):
            read_image(path)


class TestHarmonyIndex:
    def test_channels_in_entries_of_newer_versions(self, tmp_path):
        (tmp_path / "Index.idx.xml").write_text(
            '<?xml version="1.0"?><EvaluationInputData xmlns="http://x/HarmonyV6"><Maps><Map>'
            '<Entry ChannelID="1"><ChannelName>Alexa 488</ChannelName>'
            '<ImageResolutionX Unit="m">2.5E-07</ImageResolutionX></Entry></Map></Maps>'
            "<Images><Image><id>x</id><ChannelID>1</ChannelID></Image></Images>"
            "</EvaluationInputData>"
        )
        index = read_harmony(tmp_path)
        assert index.channels == {"1": "Alexa 488"}
        assert index.pixel_size_um == pytest.approx(0.25)

    def test_none_and_broken(self, tmp_path):
        assert read_harmony(tmp_path) is None
        (tmp_path / "Index.idx.xml").write_text("<a><b>")
        with pytest.raises(ValueError, match="is not XML"):
            read_harmony(tmp_path)
