"""Files of other laboratories, by the words that `init` prints: fields, channels, planes.

Every image is one value, which says where it was read: 100 x round + 10 x channel + time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app
from nucprof.config import load_project
from nucprof.io.images import read_channels
from nucprof.raw.index import ImageIndex

WELLS = (("B", 2), ("B", 3), ("C", 10))


def write(path, value, dtype=np.uint16, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.full((16, 16), value, dtype), photometric="minisblack", **how)


def names_of(form, channels, sites=(1, 2), times=(1,)):
    """File names by a form -> the value of the image: 10 x channel + time."""
    return {
        form.format(
            row=row, column=column, number="ABC".index(row) + 1, site=site, c=c, name=name, t=t,
            well=f"{row}{column:02d}", short=f"{row}{column}",
            row0="ABC".index(row), column0=column - 1, x=(site - 1) % 2, y=(site - 1) // 2,
        ): 10 * c + t
        for row, column in WELLS
        for site in sites
        for c, name in enumerate(channels, start=1)
        for t in times
    }  # fmt: skip


class Lab:
    """Folders of images, and the commands that a newcomer types."""

    def __init__(self, folder: Path, capsys):
        self.folder, self.capsys = folder, capsys
        self.project = folder / "project.toml"

    def fill(self, folder, names, more=0):
        for name, value in names.items():
            write(self.folder / folder / name, value + more)

    def call(self, *words, status=0):
        assert run_app(build_app(), [str(word) for word in words]) == status
        out, err = self.capsys.readouterr()
        return out + err

    def init(self, *flags, status=0):
        return self.call(
            "init", "--cp", self.folder / "CP", *flags, "--output", self.project, status=status
        )

    def edit(self, *changes):
        text = self.project.read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        self.project.write_text(text, encoding="utf-8")

    def values(self, round_name="CP"):
        """Value of every channel by field, as `rename` found them."""
        self.call("rename", self.project)
        channels = load_project(self.project).round_channels(round_name)
        index = ImageIndex.read(self.folder / "results" / "images.csv")
        return {
            field: dict(
                zip(
                    channels,
                    read_channels(index.sources(plate, field, round_name, channels))[:, 0, 0],
                    strict=True,
                )
            )
            for plate, field in index.fields(round_name)
        }

    def doctor(self, status=0):
        return self.call("doctor", self.project, status=status)


@pytest.fixture
def lab(tmp_path, capsys):
    return Lab(tmp_path, capsys)


FIELDS = ["B-02-01", "B-02-02", "B-03-01", "B-03-02", "C-10-01", "C-10-02"]


def every(values):
    """The same channels and values in all six fields."""
    return dict.fromkeys(FIELDS, values)


def index_xml(*names):
    images = "".join(
        f"<Image><ChannelID>{c}</ChannelID><ChannelName>{name}</ChannelName></Image>"
        for c, name in enumerate(names, start=1)
    )
    return f'<?xml version="1.0" encoding="utf-8"?><Data><Images>{images}</Images></Data>'


class TestChannelsOfTwoRounds:
    """The same number in the file names is another channel in each round."""

    def test_harmony(self, lab):
        form = "r{number:02d}c{column:02d}f{site:02d}p01-ch{c}sk1fk1fl1.tiff"
        lab.fill("CP", names_of(form, "12"))
        lab.fill("GT", names_of(form, "12"), more=100)
        (lab.folder / "CP" / "Index.idx.xml").write_text(index_xml("GFP", "HOECHST 33342"))
        (lab.folder / "GT" / "Index.idx.xml").write_text(index_xml("HOECHST 33342", "EdU"))
        lab.init("--gt", f"EdU={lab.folder / 'GT'}")
        assert lab.values("CP") == every({"GFP": 11, "HOECHST 33342": 21})
        assert lab.values("EdU") == every({"HOECHST 33342": 111, "EdU": 121})

    @pytest.mark.parametrize("name", ["Index.idx.xml", "Index.xml"])
    def test_harmony_in_a_folder_of_its_own(self, lab, name):
        form = "Images/r{number:02d}c{column:02d}f{site:02d}p01-ch{c}sk1fk1fl1.tiff"
        lab.fill("CP", names_of(form, "12"))
        (lab.folder / "CP" / "Images" / name).write_text(index_xml("GFP", "HOECHST 33342"))
        assert "init --recursive" in lab.init(status=2)
        lab.init("--recursive")
        assert lab.values("CP") == every({"GFP": 11, "HOECHST 33342": 21})

    def test_numbers_are_named_in_one_place(self, lab):
        lab.fill("CP", names_of("{well}_s{site}_w{c}.tif", "12"))
        lab.fill("GT", names_of("{well}_s{site}_w{c}.tif", "12"), more=100)
        lab.init("--gt", f"EdU={lab.folder / 'GT'}")
        channels = load_project(lab.project).channels
        assert channels.nuclei not in channels.ground_truth["EdU"]  # nothing says which it is
        lab.edit(
            ('cell_painting = ["C1", "C2"]', 'cell_painting = ["GFP", "DAPI"]'),
            (f'nuclei = "{channels.nuclei}"', 'nuclei = "DAPI"'),
            ('EdU = ["EdU_C1", "EdU_C2"]', 'EdU = ["DAPI", "EdU"]'),
        )
        assert lab.values("CP") == every({"GFP": 11, "DAPI": 21})
        assert lab.values("EdU") == every({"DAPI": 111, "EdU": 121})

    def test_numbers_with_gaps_are_named_for_each_round(self, lab):
        lab.fill("CP", names_of("{well}_s{site}_w{name}.tif", "14"))
        lab.fill("GT", names_of("{well}_s{site}_w{name}.tif", "24"), more=100)
        lab.init("--gt", f"EdU={lab.folder / 'GT'}")
        assert lab.values("CP") == every({"C1": 11, "C4": 21})
        assert lab.values("EdU") == every({"C2": 111, "EdU_C4": 121})

    def test_a_map_whose_names_are_not_the_projects(self, lab):
        lab.fill("CP", names_of("{well}_s{site}_w{name}.tif", "14"))
        lab.init()
        lab.edit(('["C1", "C4"]', '["GFP", "DAPI"]'), ('nuclei = "C1"', 'nuclei = "DAPI"'))
        for told in (lab.doctor(status=2), lab.call("rename", lab.project, status=2)):
            assert "no file is channel GFP, DAPI. The channels in the file names are 1, 4" in told


def ome(width, height=None, unit="µm"):
    """Arguments of a file with OME-XML that gives the size of a pixel."""
    return {
        "ome": True,
        "metadata": {
            "axes": "YX",
            "PhysicalSizeX": width,
            "PhysicalSizeXUnit": unit,
            "PhysicalSizeY": width if height is None else height,
            "PhysicalSizeYUnit": unit,
        },
    }


def imagej(size, unit):
    return {"imagej": True, "resolution": (1 / size,) * 2, "metadata": {"unit": unit}}


def tags(um, unit="CENTIMETER"):
    return {"resolution": (1e4 / um,) * 2, "resolutionunit": unit}


class TestPixelSizes:
    def sizes(self, lab):
        lab.call("rename", lab.project)
        index = ImageIndex.read(lab.folder / "results" / "images.csv")
        return {s.pixel_size_um for held in index.channels.values() for s in held.values()}

    def fill(self, lab, *hows, folder="CP"):
        for column, how in enumerate(hows, start=2):
            write(lab.folder / folder / f"B{column:02d}.tif", 7, **how)

    @pytest.mark.parametrize(
        ("how", "um"),
        [
            (ome(325, unit="nm"), 0.325),
            (ome(0.000325, unit="mm"), 0.325),
            (imagej(325, "nm"), 0.325),
            (imagej(0.000325, "mm"), 0.325),
            (imagej(0.325, "micron"), 0.325),
            (tags(0.325), 0.325),
            (imagej(1 / 72, "inch"), None),
            (tags(352.8, unit="INCH"), None),
            (ome(1, unit="pixel"), None),
            (ome(0), None),
            (ome(0.5, 1.0), None),  # not square
        ],
    )
    def test_units(self, lab, how, um):
        self.fill(lab, how, how)
        assert ("pixel size unknown" in lab.init()) == (um is None)
        assert [*self.sizes(lab)] == [um and pytest.approx(um, rel=1e-5)]

    @pytest.mark.parametrize(
        ("how", "shown"),
        [
            (ome(-0.5), "-0.5 µm"),
            (ome(1e9), "1e+09 µm"),
            (ome(float("nan")), "nan µm"),
            (ome(float("inf")), "inf µm"),
            (tags(352.8), "353 µm"),  # 72 dots an inch, written in cm
        ],
    )
    def test_a_size_that_no_microscope_has(self, lab, how, shown):
        self.fill(lab, how, how)
        line = f"the files give pixels of {shown}, which no microscope has"
        assert "pixel size unknown" in lab.init()
        assert line in lab.call("rename", lab.project)
        assert self.sizes(lab) == {None}

    def test_a_round_of_two_sizes(self, lab):
        self.fill(lab, tags(0.325), tags(0.65), tags(0.325))
        assert "0.325 µm (2 files), 0.65 µm (1 file); 0.325 µm is used for all" in lab.init()
        assert "images of different pixel sizes" in lab.doctor()
        lab.project.write_text(lab.project.read_text() + "[rename]\npixel_size_um = 0.5\n")
        assert "different pixel sizes" not in lab.doctor()
        assert self.sizes(lab) == {0.5}

    def test_a_round_with_a_wrong_size(self, lab):
        self.fill(lab, tags(0.325))
        self.fill(lab, tags(352.8), folder="GT")
        lab.init("--gt", f"EdU={lab.folder / 'GT'}")
        text = lab.project.read_text()
        lab.project.write_text(text + "[rename]\npixel_size_um = { EdU = 0.65 }\n")
        assert "pixels of 0.65 µm are resampled to the 0.325 µm" in lab.call("rename", lab.project)
        index = ImageIndex.read(lab.folder / "results" / "images.csv")
        zooms = {r: s.zoom for (_, _, r), held in index.channels.items() for s in held.values()}
        assert zooms == {"CP": 1, "EdU": pytest.approx(2)}

    def test_images_of_two_depths_are_told_by_every_command(self, lab):
        write(lab.folder / "CP" / "B02.tif", 7)
        write(lab.folder / "CP" / "B03.tif", 7, dtype=np.uint8)
        for told in (lab.init(), lab.doctor(), lab.call("rename", lab.project)):
            assert "images of different depths: uint16, uint8" in told


KINDS = {
    "Columbus": ("{number:03d}{column:03d}-{site}-001001{c:03d}.tif", "12", ("C1", "C2")),
    "Opera with its rotating camera": (
        "r{number:02d}c{column:02d}f{site:02d}p01rc{c}-ch{c}t01.tif", "12", ("C1", "C2"),
    ),
    "IN Cell, one excitation": (
        "{row} - {column:02d}(fld {site} wv {name}).tif",
        ("UV - DAPI", "FITC - FITC", "UV - Cy5"),
        ("UV - DAPI", "FITC", "UV - Cy5"),
    ),
    "Incucyte": (
        "{name}_{short}_{site}_2024y01m02d_03h04m.tif", ("P1_Red", "P1_NIR"), ("P1_Red", "P1_NIR")
    ),
    "Cytation": ("{short}_01_1_{site}_{name}_001.tif", ("DAPI", "GFP"), ("DAPI", "GFP")),
    "Zeiss scenes": (
        "2024-11-02 plate3-Scene-{column:02d}-P{site}-{short}_c{c}_ORG.tif", "12", ("C1", "C2")
    ),
    "umlauts, spaces, decimals": (
        "Köln Versuch 1,5 µM {well} Bild {site:02d} {name}.tif", ("Grün", "DAPI"), ("Grün", "DAPI")
    ),
    "a folder per channel": ("{name}/{well}_{site}.tif", ("DAPI", "GFP"), ("DAPI", "GFP")),
    "a folder per well": ("{well}/pos{site} {name}.tif", ("DAPI", "GFP"), ("DAPI", "GFP")),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_names_of_a_microscope(lab, name):
    form, written, channels = KINDS[name]
    lab.fill("CP", names_of(form, written))
    lab.init(*(["--recursive"] if "/" in form else []))
    assert set(load_project(lab.project).channels.cell_painting) == set(channels)
    assert lab.values() == every({c: 10 * i + 1 for i, c in enumerate(channels, start=1)})


def test_leica_counts_from_zero(lab):
    form = (
        "image--L0000--S00--U{column0:02d}--V{row0:02d}--J08--E00--O00--X{x:02d}--Y{y:02d}"
        "--T0000--Z00--C{name}.ome.tif"
    )
    lab.fill("CP", names_of(form, ("00", "01"), sites=(1, 3)))  # X00 Y00 and X00 Y01
    lab.init()
    assert lab.values() == every({"C0": 11, "C1": 21})


@pytest.mark.parametrize(
    "form",
    [
        "TimePoint_{t}/exp_{well}_s{site}_w{c}8A5BDEA0-25B9-4E4D-8A5D-4B1F3A6A5C0B.tif",
        "2024-05-12/83/TimePoint_{t}/ZStep_1/exp_{well}_s{site}_w{c}.tif",
        "VID7_{c}_{short}_{site}_00d{t:02d}h00m.tif",
    ],
)
def test_time_points_in_folders_and_names(lab, form):
    lab.fill("CP", names_of(form, "12", times=(2, 4)))
    told = lab.init("--recursive", "--time", "2")
    assert "2 time points (T)" in told
    channels = load_project(lab.project).channels.cell_painting
    assert lab.values() == every({channels[0]: 14, channels[1]: 24})


class TestNamesThatMislead:
    """An end with a reason, not wells and fields that are none."""

    @pytest.mark.parametrize(
        "form",
        [
            "_T0001F{site:03d}L01A01Z01C{c:02d}.tif",  # C01 is a channel, L01 a time line
            "Experiment-42_s{column}{site}c{c}_ORG.tif",  # s1 is a scene
            "Cells_{column}{site}{c}.tif",
        ],
    )
    def test_no_well(self, lab, form):
        lab.fill("CP", names_of(form, "12"))
        assert "nothing in them looks like a well" in lab.init(status=2)

    @pytest.mark.parametrize(
        "form", ["{p}_{well}_s{site}_w{c}.tif", "{p} {row}-{column:02d} pos{site} ch{c}.tif"]
    )
    @pytest.mark.parametrize("plates", [("Plate1", "Plate2"), ("astro", "neuro")])
    def test_two_plates_in_a_folder(self, lab, form, plates):
        for plate in plates:
            lab.fill("CP", names_of(form.replace("{p}", plate), "12"))
        told = lab.init(status=2)
        assert "would all be the same image of field B-02-01" in told
        assert "put each plate into a folder of its own" in told

    def test_doses_of_one_and_of_two_words(self, lab):
        names = names_of("drug {column}uM {well} {site} {name}.tif", ("DAPI", "GFP"))
        lab.fill("CP", {n.replace("drug 3", "drug 0.3"): v for n, v in names.items()})
        lab.init()
        assert lab.values() == every({"DAPI": 11, "GFP": 21})

    def test_names_that_differ_in_case(self, lab):
        names = names_of("{well}-{site}-{name}.tif", ("dapi", "gfp"))
        lab.fill("CP", {n.upper() if "-2-" in n else n: v for n, v in names.items()})
        lab.init()
        assert lab.values() == every({"dapi": 11, "gfp": 21})


def test_the_first_file_is_the_odd_one(lab):
    for column, planes in ((2, 2), (3, 3), (4, 3)):
        path = lab.folder / "CP" / f"B{column:02d}.tif"
        path.parent.mkdir(exist_ok=True)
        image = np.full((planes, 16, 16), 7, np.uint16)
        tifffile.imwrite(path, image, photometric="minisblack", metadata=None)
    lab.init()
    assert load_project(lab.project).channels.cell_painting == ["C1", "C2", "C3"]
    told = lab.doctor()
    assert "2 fields, 3 files" in told
    assert "3 x 16 x 16 uint16" in told
    assert "field B-02-01 left out: plate" in told


def test_fields_with_the_same_fault_are_one_line(lab):
    lab.fill("CP", names_of("{well}_s{site}_w{c}.tif", "12"))
    for site in (1, 2):
        (lab.folder / "CP" / f"C10_s{site}_w2.tif").rename(
            lab.folder / "CP" / f"C10_s{site}_w3.tif"
        )
    lab.init()
    assert lab.doctor().count("fields C-10-01, C-10-02 left out: ") == 2  # found, and to do


class TestSeveralPlates:
    def plates(self, lab, one, two, channels=("DAPI", "GFP"), status=0):
        lab.fill("CP", names_of(one, channels))
        lab.fill("CP2", names_of(two, channels), more=100)
        return lab.call(
            "init", "--cp", f"one={lab.folder / 'CP'}", "--cp", f"two={lab.folder / 'CP2'}",
            "--output", lab.project, status=status,
        )  # fmt: skip

    def test_names_that_differ_in_the_date(self, lab):
        self.plates(
            lab, "2024-05-12 A {well} {name}-{site}.tif", "2024-06-03 Bx {well} {name}-{site}.tif"
        )
        lab.call("rename", lab.project)
        index = ImageIndex.read(lab.folder / "results" / "images.csv")
        assert index.fields("CP") == [(plate, key) for plate in ("one", "two") for key in FIELDS]
        sources = index.sources("two", "C-10-02", "CP", ["DAPI", "GFP"])
        assert read_channels(sources)[:, 0, 0].tolist() == [111, 121]

    def test_names_of_another_kind(self, lab):
        told = self.plates(lab, "{well}_s{site}_w{c}.tif", "{well} {name} pos{site}.tif", status=2)
        assert "round CP" in told
        assert "no one pattern was found that reads both" in told
        assert not lab.project.exists()

    def test_other_channels(self, lab):
        self.plates(lab, "{well}_s{site}_w{c}.tif", "{well}_s{site}_w{c}.tif")
        lab.project.unlink()
        lab.fill("CP2", {"B02_s1_w3.tif": 131})
        told = self.plates(lab, "{well}_s{site}_w{c}.tif", "{well}_s{site}_w{c}.tif")
        assert "two, CP: its channels are C1, C2, C3, but those of plate one are listed" in told


def test_the_example_for_an_unknown_channel_is_one_that_no_file_has(lab):
    lab.fill("CP", names_of("{well}_s{site}_{name}.tif", ("DAPI", "GFP")))
    lab.init()
    lab.edit(('["DAPI", "GFP"]', '["DAPI", "Lamin"]'))
    assert '"GFP" = "Lamin" under [rename.channel_map]' in lab.doctor(status=2)


def test_pictures_that_changed_the_grey_values(lab):
    (lab.folder / "CP").mkdir()
    (lab.folder / "CP" / "B02.jpg").write_bytes(b"x")
    assert ".jpg files are not read: their compression changes" in lab.init(status=2)
