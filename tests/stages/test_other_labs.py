"""Files of other laboratories, by the words that `init` prints: fields, channels, planes.

Every image is one value, so that the value says where it was read: 100 x round + 10 x channel + time.
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


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.full((16, 16), value, np.uint16), photometric="minisblack")


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
        lab.fill("CP", {n.replace("w2", "w4"): v for n, v in names_of("{well}_s{site}_w{c}.tif", "12").items()})  # fmt: skip
        lab.fill("GT", {n.replace("w1", "w4"): v for n, v in names_of("{well}_s{site}_w{c}.tif", "12").items()}, 100)  # fmt: skip
        lab.init("--gt", f"EdU={lab.folder / 'GT'}")
        assert lab.values("CP") == every({"C1": 11, "C4": 21})
        assert lab.values("EdU") == every({"C2": 121, "EdU_C4": 111})

    def test_a_map_whose_names_are_not_the_projects(self, lab):
        lab.fill("CP", {n.replace("w2", "w4"): v for n, v in names_of("{well}_s{site}_w{c}.tif", "12").items()})  # fmt: skip
        lab.init()
        lab.edit(('["C1", "C4"]', '["GFP", "DAPI"]'), ('nuclei = "C1"', 'nuclei = "DAPI"'))
        for told in (lab.doctor(status=2), lab.call("rename", lab.project, status=2)):
            assert "no file is channel GFP, DAPI. The channels in the file names are 1, 4" in told
