"""The file of a plate's cell channels: measured once, named by the user, or not measurable."""

import json
from dataclasses import replace

import numpy as np
import pytest

from nucprof.io.images import read_channels, write_image
from nucprof.plate.sources import Source
from nucprof.segmentation.cell_channels import (
    FieldChannels,
    PlateChannels,
    describe_cell_channels,
    ensure_cell_channels,
    read_stains,
)


@pytest.fixture
def plate(tmp_path):
    """Two fields with a nuclear channel, a cell stain, and a channel of noise."""
    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[:160, :200]
    fields = {}
    for name, shift in (("A-01-01", 0), ("A-02-01", 4)):
        dna, stain = np.full(yy.shape, 100.0), np.full(yy.shape, 200.0)
        for y in range(30 + shift, 150, 45):
            for x in range(30 + shift, 190, 45):
                far = np.hypot(yy - y, xx - x)
                dna[far < 8] = 1000
                stain[far < 15] = 900
        image = np.stack([dna, np.full(yy.shape, 150.0), stain])
        image = np.clip(rng.normal(image, 9), 0, 65535).astype(np.uint16)
        path = tmp_path / f"{name}.tif"
        write_image(path, image, ["DNA", "empty", "actin"])
        dna, *others = (Source(path, plane) for plane in range(3))
        fields[name] = FieldChannels(dna, tuple(others))
    return PlateChannels(tmp_path / "held.json", "DNA", ("empty", "actin"), False, fields)


def here(function, items):
    return [function(item) for item in items]


def forbidden(function, items):
    raise AssertionError("measured again")


def test_the_stain_is_chosen_once_and_described(plate):
    ensure_cell_channels([plate], here)
    stains = read_stains(plate.path)
    assert list(stains) == ["actin"]
    assert stains["actin"].background == pytest.approx(200, abs=20)
    assert stains["actin"].ring == pytest.approx(900, abs=30)
    line = describe_cell_channels("p", plate.path)
    assert line.startswith("plate p: cells on actin (100%), without empty (")
    ensure_cell_channels([plate], forbidden)


def test_channels_that_the_user_names_are_used(plate):
    ensure_cell_channels([plate], here)
    named = replace(plate, given=True)
    ensure_cell_channels([named], here)  # another question, another answer
    assert list(read_stains(plate.path)) == ["empty", "actin"]
    assert "without" not in describe_cell_channels("p", plate.path)


def test_other_images_under_the_same_names_are_measured_anew(plate):
    ensure_cell_channels([plate], here)
    for field in plate.fields.values():
        path = field.nuclei.path
        image = np.stack(read_channels([field.nuclei, *field.cells]))
        write_image(path, image[[0, 2, 1]].astype(np.uint16), ["DNA", "empty", "actin"])
    ensure_cell_channels([plate], here)
    assert list(read_stains(plate.path)) == ["empty"]  # where the stain is now


def test_a_plate_that_cannot_be_measured_uses_all_channels_and_says_so(plate):
    missing = Source(plate.path.parent / "gone.tif")
    broken = {name: FieldChannels(missing, (missing, missing)) for name in plate.fields}
    ensure_cell_channels([replace(plate, fields=broken)], here)
    assert json.loads(plate.path.read_text())["used"] == ["empty", "actin"]
    assert read_stains(plate.path) == {}
    assert "no field could be measured" in describe_cell_channels("p", plate.path)
