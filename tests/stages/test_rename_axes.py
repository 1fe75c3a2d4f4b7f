"""rename: axes of the files, channels by name, pixel sizes, and files that are left out."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from nd2_writer import write_nd2
from ome_set_writer import write_set

from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app
from nucprof.config import load_project
from nucprof.errors import ProjectError
from nucprof.io.formats import foreign
from nucprof.io.images import read_channels
from nucprof.raw.index import ImageIndex
from nucprof.run.pipeline import Run
from nucprof.stages import stage

H, W = 12, 15
CHANNELS = ("DNA", "GFP")
WELLS = ["B02", "C03", "C03"]


def field(value, channels=2):
    """Planes whose values tell field and channel."""
    return np.stack([np.full((H, W), 10 * value + c, np.uint16) for c in range(channels)])


def stack(value, planes=3):
    """Focal planes (Z, C, H, W), each brighter than the one before."""
    return np.stack([field(value) + 100 * z for z in range(planes)])


class Plate:
    def __init__(self, root):
        self.root, self.cp, self.gt = root, root / "CP", root / "GT"
        self.cp.mkdir()
        self.truth, self.rename, self.layout = None, "", ""

    def write(self):
        text = '[project]\nname = "p"\n[[plates]]\nname = "p"\ncell_painting = "CP"\n' + self.layout
        text += '[plates.ground_truth]\nGT = "GT"\n' if self.truth else ""
        text += f'[channels]\ncell_painting = {json.dumps(CHANNELS)}\nnuclei = "DNA"\n'
        text += f"[channels.ground_truth]\nGT = {json.dumps(self.truth)}\n" if self.truth else ""
        path = self.root / "project.toml"
        path.write_text(f"{text}[rename]\n{self.rename}", encoding="utf-8")
        return path

    def run(self):
        return Run(load_project(self.write())).run_stage(stage("rename"))

    def values(self, round_name="CP", channels=CHANNELS):
        """The value of every field's channels, by field."""
        index = ImageIndex.read(self.root / "results" / "images.csv")
        return {
            key: read_channels(index.sources(p, key, round_name, channels))[:, 0, 0].tolist()
            for p, key in index.fields(round_name)
        }


@pytest.fixture
def plate(tmp_path):
    return Plate(tmp_path)


def warnings(result):
    return "\n".join(result.summary.warnings)


def ome(path, data, names=CHANNELS, axes="CYX", **more):
    metadata = {"axes": axes, "Channel": {"Name": list(names)}, **more}
    tifffile.imwrite(path, data, ome=True, photometric="minisblack", metadata=metadata)


def five_planes(path):
    tifffile.imwrite(path, field(1, 5), photometric="minisblack", metadata=None)


def um(size):
    return {"PhysicalSizeX": size, "PhysicalSizeXUnit": "µm"}


class TestFocalPlanes:
    @pytest.mark.parametrize(
        ("choice", "value"), [('"max"', 220), ('"mean"', 120), ("1", 20), ("3", 220)]
    )
    def test_in_one_file(self, plate, choice, value):
        ome(plate.cp / "B02.ome.tif", stack(2), axes="ZCYX")
        plate.rename = f"projection = {choice}"
        plate.run()
        assert plate.values() == {"B-02-01": [value, value + 1]}

    @pytest.mark.parametrize(("choice", "value"), [('"max"', 220), ('"mean"', 120), ("2", 120)])
    def test_a_file_for_every_plane(self, plate, choice, value):
        for z, planes in enumerate(stack(2), start=1):
            for c, plane in enumerate(planes, start=1):
                tifffile.imwrite(plate.cp / f"B02_s1_w{c}_z{z}.tif", plane)
        plate.rename = f"projection = {choice}"
        plate.run()
        assert plate.values() == {"B-02-01": [value, value + 1]}

    def test_every_round_its_own(self, plate):
        plate.gt.mkdir()
        plate.truth = ["EdU", "BrdU"]
        ome(plate.cp / "B02.ome.tif", stack(2), axes="ZCYX")
        ome(plate.gt / "B02.ome.tif", stack(3), ("EdU", "BrdU"), axes="ZCYX")
        plate.rename = 'projection = { CP = "max", GT = 1 }'
        plate.run()
        assert plate.values() == {"B-02-01": [220, 221]}
        assert plate.values("GT", ("EdU", "BrdU")) == {"B-02-01": [30, 31]}

    def test_a_round_without_them_needs_no_choice(self, plate):
        ome(plate.cp / "B02.ome.tif", field(2))
        plate.rename = "projection = 3"
        plate.run()
        assert plate.values() == {"B-02-01": [20, 21]}

    def test_without_a_choice_the_message_names_the_keys(self, plate):
        ome(plate.cp / "B02.ome.tif", np.stack([stack(2), stack(3)]), axes="TZCYX")
        with pytest.raises(ProjectError, match=r"the images have 3 focal planes \(Z\) and 2 time"):
            plate.run()
        plate.rename = "time = 1"
        with pytest.raises(ProjectError, match=r'under .rename.: projection = "max"'):
            plate.run()

    @pytest.mark.parametrize(
        ("choice", "told"), [("projection = 4\ntime = 1", "projection = 4, but there are 3"),
                             ('projection = "max"\ntime = 3', "time = 3, but there are 2")],
    )  # fmt: skip
    def test_a_choice_that_does_not_exist(self, plate, choice, told):
        ome(plate.cp / "B02.ome.tif", np.stack([stack(2), stack(3)]), axes="TZCYX")
        plate.rename = choice
        with pytest.raises(ProjectError, match=told):
            plate.run()


class TestSetsOfFiles:
    """One image in several files: each of them decides what the channels hold."""

    PIXELS = {(0, c): plane for c, plane in enumerate(field(2))}  # noqa: RUF012

    def write(self, plate, pixels, master=None):
        files, places = ["B02_c0.ome.tif", "B02_c1.ome.tif"], {(0, 0): (0, 0), (0, 1): (1, 0)}
        write_set(plate.cp, files, places, pixels, names_of_channels=CHANNELS, master=master)

    @pytest.mark.parametrize("master", [None, "plate.companion.ome"])
    def test_a_changed_part_is_an_input_of_later_stages(self, plate, master):
        self.write(plate, self.PIXELS, master)
        plate.run()
        run = Run(load_project(plate.write()))
        (job,) = stage("segment").plan(run).jobs
        names = {"B02_c0.ome.tif", "B02_c1.ome.tif"} | ({master} - {None})
        assert {path.name for path in job.inputs if path.parent == plate.cp} == names
        assert plate.values() == {"B-02-01": [20, 21]}

    @pytest.mark.parametrize("mode", ["link", "move"])
    def test_they_keep_their_names(self, plate, mode):
        self.write(plate, self.PIXELS)
        plate.rename = f'mode = "{mode}"'
        with pytest.raises(ProjectError, match="belongs to a set of files"):
            plate.run()


class TestTimes:
    def test_in_one_file_and_as_files(self, plate):
        ome(plate.cp / "B02_s1_t0.ome.tif", field(2))
        ome(plate.cp / "B02_s1_t7.ome.tif", field(3))
        plate.rename = "time = 2"
        plate.run()
        assert plate.values() == {"B-02-01": [30, 31]}


class TestPositions:
    def test_their_names_are_wells(self, plate):
        data = np.stack([field(1), field(2), field(3)])
        write_nd2(plate.cp / "exp.nd2", data, "PCYX", names=CHANNELS, positions=WELLS)
        plate.run()
        assert plate.values() == {"B-02-01": [10, 11], "C-03-01": [20, 21], "C-03-02": [30, 31]}

    def test_by_order_in_the_well_of_the_file(self, plate):
        data = np.stack([field(1), field(2)])
        write_nd2(plate.cp / "Well_B02.nd2", data, "PCYX", names=CHANNELS, positions=["P1", "P2"])
        plate.run()
        assert plate.values() == {"B-02-01": [10, 11], "B-02-02": [20, 21]}

    def test_an_acquisition_that_stopped_leaves_out_what_is_missing(self, plate):
        data = np.stack([field(1), field(2)])
        write_nd2(plate.cp / "x.nd2", data, "PCYX", names=CHANNELS, positions=WELLS[:2], frames=1)
        result = plate.run()
        assert plate.values() == {"B-02-01": [10, 11]}
        assert "field C-03-01 left out" in warnings(result)

    @pytest.mark.parametrize("mode", ["link", "move"])
    def test_no_file_gets_the_name_of_one_of_its_fields(self, plate, mode):
        data = np.stack([field(1), field(2)])
        write_nd2(plate.cp / "Well_B02.nd2", data, "PCYX", names=CHANNELS)
        plate.rename = f'mode = "{mode}"'
        with pytest.raises(ProjectError, match=r"Well_B02\.nd2 holds several fields.*mode = index"):
            plate.run()
        assert (plate.cp / "Well_B02.nd2").exists()


class TestChannels:
    def test_names_in_another_order_count(self, plate):
        ome(plate.cp / "B02.ome.tif", field(2), ("GFP", "dna"))
        ome(plate.cp / "B03.ome.tif", field(3), ("DNA", "GFP"))
        plate.run()
        assert plate.values() == {"B-02-01": [21, 20], "B-03-01": [30, 31]}

    def test_one_of_several_that_the_project_does_not_use(self, plate):
        ome(plate.cp / "B02.ome.tif", field(2, 3), ("phase", "GFP", "DNA"))
        plate.run()
        assert plate.values() == {"B-02-01": [22, 21]}


class TestLeftOut:
    """One wrong file costs its field, is said aloud, and nothing fails."""

    @pytest.fixture
    def many(self, plate):
        for n in range(2, 6):
            ome(plate.cp / f"B0{n}.ome.tif", field(n))
        return plate

    def left_out(self, plate, told):
        result = plate.run()
        assert result.status == "done"
        assert told in warnings(result)
        assert "B-03-01" not in plate.values()
        assert len(plate.values()) == 3

    def test_a_file_that_cannot_be_read(self, many):
        path = many.cp / "B03.ome.tif"
        path.write_bytes(path.read_bytes()[:200])
        self.left_out(many, "field B-03-01 left out")

    def test_a_file_with_other_channels(self, many):
        tifffile.imwrite(
            many.cp / "B03.ome.tif", field(3, 5), photometric="minisblack", metadata=None
        )
        self.left_out(many, "B03.ome.tif holds 5 planes")

    def test_a_channel_of_another_size(self, plate):
        for n in range(2, 6):
            for c, plane in enumerate(field(n), start=1):
                odd = plane[:-2] if (n, c) == (3, 2) else plane
                tifffile.imwrite(plate.cp / f"B0{n}_s1_w{c}.tif", odd)
        self.left_out(plate, "B03_s1_w2.tif is 10 x 15")

    def test_a_field_of_half_size(self, many):
        ome(many.cp / "B03.ome.tif", field(3)[:, : H // 2, : W // 2])
        self.left_out(many, "B03.ome.tif is 6 x 7, while most fields are 12 x 15")

    def test_sizes_of_two_kinds_are_both_kept(self, many):
        for n in (3, 4):
            ome(many.cp / f"B0{n}.ome.tif", field(n)[:, : H // 2])
        many.run()
        assert len(many.values()) == 4

    def test_the_command_ends_with_success(self, many, capsys):
        (many.cp / "B03.ome.tif").write_bytes(b"II*\0")
        assert run_app(build_app(), ["rename", str(many.write())]) == 0
        out, err = capsys.readouterr()
        assert "field B-03-01 left out" in out + err

    def test_most_of_the_files_is_too_much(self, many):
        for n in (3, 4, 5):
            data = field(n, 5)
            tifffile.imwrite(
                many.cp / f"B0{n}.ome.tif", data, photometric="minisblack", metadata=None
            )
        with pytest.raises(ProjectError, match="holds 5 planes, but the project lists 2 channels"):
            many.run()


class TestPixelSize:
    def test_a_round_of_other_pixels_is_brought_to_those_of_cell_painting(self, plate):
        plate.gt.mkdir()
        plate.truth = ["EdU"]
        ome(plate.cp / "B02.ome.tif", field(2), **um(0.5))
        ome(plate.gt / "B02.ome.tif", field(3)[:1], ["EdU"], **um(1.0))
        result = plate.run()
        assert "its pixels of 1 µm are resampled to the 0.5 µm" in warnings(result)
        index = ImageIndex.read(plate.root / "results" / "images.csv")
        sources = index.sources("p", "B-02-01", "GT", ["EdU"])
        assert (sources[0].zoom, sources[0].pixel_size_um) == (2.0, 0.5)
        assert read_channels(sources).shape == (1, 2 * H, 2 * W)

    def test_only_one_round_tells_it(self, plate):
        plate.gt.mkdir()
        plate.truth = ["EdU"]
        ome(plate.cp / "B02.ome.tif", field(2), **um(0.5))
        ome(plate.gt / "B02.ome.tif", field(3)[:1], ["EdU"])
        assert "only one of this round and Cell Painting has a known pixel size" in warnings(
            plate.run()
        )

    @pytest.mark.parametrize("size", [0.5, 0.502])
    def test_equal_but_for_rounding(self, plate, size):
        plate.gt.mkdir()
        plate.truth = ["EdU"]
        ome(plate.cp / "B02.ome.tif", field(2), **um(0.5))
        ome(plate.gt / "B02.ome.tif", field(3)[:1], ["EdU"], **um(size))
        assert warnings(plate.run()) == ""


class TestFolders:
    def test_subfolders_and_a_pattern_that_reads_them(self, plate):
        for well, n in (("B02", 2), ("C03", 3)):
            (plate.cp / well).mkdir()
            ome(plate.cp / well / "field 1.ome.tif", field(n))
        plate.rename = "recursive = true\npattern = '(?P<well>[A-H][0-9]+)/field (?P<site>[0-9]+)'"
        plate.run()
        assert plate.values() == {"B-02-01": [20, 21], "C-03-01": [30, 31]}

    def test_images_in_subfolders_only(self, plate):
        (plate.cp / "B02").mkdir()
        with pytest.raises(ProjectError, match=r"Are they in subfolders\? .*init --recursive"):
            plate.run()

    def test_a_format_that_needs_bioio(self, plate, monkeypatch):
        monkeypatch.setattr(foreign, "installed", lambda: False)
        (plate.cp / "B02.czi").write_bytes(b"ZISRAWFILE")
        with pytest.raises(ProjectError, match=r'bioio.*pip install "nucprof\[formats\]"'):
            plate.run()


class TestLayout:
    def test_it_is_drawn_and_spellings_are_pointed_out(self, plate):
        for well in ("B02", "B03"):
            ome(plate.cp / f"{well}.ome.tif", field(2))
        (plate.root / "l.csv").write_text("well,culture\nB02,astro\nB04,Astro\n")
        plate.layout = 'layout = "l.csv"\n'
        result = plate.run()
        assert "  B A ? s" in result.summary.lines
        assert "'Astro' (1 well): did you mean 'astro' (1 well)?" in warnings(result)

    def test_a_wrong_one_is_found_first(self, plate):
        ome(plate.cp / "B02.ome.tif", field(2))
        (plate.root / "l.csv").write_text("hello,world\n")
        plate.layout = 'layout = "l.csv"\n'
        assert run_app(build_app(), ["rename", str(plate.write())]) == 2
        assert not (plate.root / "results" / "images.csv").exists()
