"""Channels that were swapped and are corrected: everything made from them is made again."""

from __future__ import annotations

import numpy as np
import pytest

from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app
from nucprof.io.images import write_image, write_labels
from nucprof.io.stacks import read_stack
from nucprof.io.tables import read_table

SHAPE = (150, 160)
NUCLEI = [(30, 31), (20, 110), (60, 70), (75, 128), (95, 25), (120, 90), (125, 140)]  # y, x
DNA, GFP, EDU = 1000, 40, 300
PROJECT = """\
[project]
name = "p"
[[plates]]
name = "p"
cell_painting = "CP"
{plate}
[channels]
cell_painting = ["DNA", "GFP"]
nuclei = "DNA"
{channels}
[segment]
backend = "labels"
path = "made"
[features]
textures = false
patch_size = 12
[crop]
patch_size = 12
[execution]
workers = 1
{rest}
"""


def call(*words):
    return run_app(build_app(), [str(word) for word in words])


def pixels(level):
    """Nuclei of a grey level on a noisy background."""
    image = np.random.default_rng(level).integers(1, 30, SHAPE).astype(np.uint16)
    image[nuclei() > 0] += np.uint16(level)
    return image


def nuclei():
    labels = np.zeros(SHAPE, np.uint16)
    for label, (y, x) in enumerate(NUCLEI, 1):
        labels[y - 6 : y + 6, x - 6 : x + 6] = label
    return labels


@pytest.fixture
def mask(tmp_path):
    write_labels(tmp_path / "made" / "B-02-01.tif", nuclei())


def intensity(tmp_path, channel, table="CP"):
    found = read_table(tmp_path / "results" / "features" / f"{table}.parquet")
    return float(found[f"Nuclei_Intensity_MeanIntensity_{channel}"].iloc[0])


def crop_level(tmp_path, number):
    path = tmp_path / "results" / "crops" / "nucleocentric_12" / "p" / "B-02-01.tif"
    return float(read_stack(path)[0, number].mean())


def test_a_channel_map_that_had_two_channels_swapped(tmp_path, mask, capsys):
    for token, level in (("1", DNA), ("2", GFP)):
        write_image(tmp_path / "CP" / f"B02_s1_w{token}.tif", pixels(level)[None])
    path = tmp_path / "project.toml"
    wrong = '[rename.channel_map]\n1 = "GFP"\n2 = "DNA"\n'
    right = '[rename.channel_map]\n1 = "DNA"\n2 = "GFP"\n'
    path.write_text(PROJECT.format(plate="", channels="", rest=wrong))
    assert call("run-all", path, "--until", "features") == 0
    assert intensity(tmp_path, "DNA") < 100
    path.write_text(PROJECT.format(plate="", channels="", rest=right))
    assert call("run-all", path, "--until", "features") == 0
    assert intensity(tmp_path, "DNA") > 1000
    assert intensity(tmp_path, "GFP") < 100
    assert crop_level(tmp_path, 0) > 1000
    capsys.readouterr()
    call("run-all", path, "--until", "features")
    assert "Everything is up to date" in capsys.readouterr().out


def test_an_order_of_channels_that_was_wrong(tmp_path, mask):
    write_image(tmp_path / "CP" / "B-02-01.tif", np.stack([pixels(GFP), pixels(DNA)]))
    path = tmp_path / "project.toml"
    text = PROJECT.format(plate="", channels="", rest="")
    path.write_text(text)
    assert call("run-all", path, "--until", "features") == 0
    assert intensity(tmp_path, "DNA") < 100
    path.write_text(text.replace('["DNA", "GFP"]', '["GFP", "DNA"]'))
    assert call("run-all", path, "--until", "features") == 0
    assert intensity(tmp_path, "DNA") > 1000
    assert crop_level(tmp_path, 1) > 1000


def test_channels_of_a_ground_truth_round(tmp_path, mask):
    write_image(tmp_path / "CP" / "B-02-01.tif", np.stack([pixels(DNA), pixels(GFP)]))
    # Nuclei of the same places on other noise: a round of the very same pixels is refused.
    again = pixels(DNA + 1)
    write_image(tmp_path / "GT" / "B-02-01.tif", np.stack([again, pixels(EDU), pixels(GFP)]))
    path = tmp_path / "project.toml"
    plate = '[plates.ground_truth]\nR = "GT"'
    text = PROJECT.format(
        plate=plate, channels='ground_truth = { R = ["DNA", "BrdU", "EdU"] }', rest=""
    )
    path.write_text(text)
    assert call("run-all", path, "--until", "features") == 0
    assert intensity(tmp_path, "EdU", "GT_R") < 100
    path.write_text(text.replace('"BrdU", "EdU"', '"EdU", "BrdU"'))
    assert call("run-all", path, "--until", "features") == 0
    assert intensity(tmp_path, "EdU", "GT_R") > 290
