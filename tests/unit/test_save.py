"""Settings written back into the project file, everything else as it was."""

from __future__ import annotations

import tomlkit

from nucprof.config.save import as_toml, save_settings

FILE = """\
# made by hand

[project]
name = "p"   # the name

[segment]  # how nuclei are found
# lower percentile
pmin = 2.0   # was 1
channels = [
    "DNA",   # the nuclei
]

[train]
seeds = [0]
"""


def save(tmp_path, settings, text=FILE):
    path = tmp_path / "project.toml"
    path.write_text(text, encoding="utf-8")
    save_settings(path, settings)
    return path.read_text(encoding="utf-8")


def test_comments_and_order_are_kept(tmp_path):
    text = save(tmp_path, {"segment.pmin": 3.5})
    assert text == FILE.replace("pmin = 2.0   # was 1", "pmin = 3.5   # was 1")


def test_a_key_that_was_not_there(tmp_path):
    text = save(tmp_path, {"segment.backend": "watershed"})
    assert tomlkit.parse(text)["segment"]["backend"] == "watershed"
    assert [line for line in FILE.splitlines() if line not in text.splitlines()] == []


def test_sections_that_were_not_there(tmp_path):
    text = save(tmp_path, {"train.rf.evaluation": "split", "gate.cutoffs": {"EdU": 600.0}})
    assert text.startswith(FILE.rstrip("\n"))
    read = tomlkit.parse(text).unwrap()
    assert read["train"] == {"seeds": [0], "rf": {"evaluation": "split"}}
    assert read["gate"] == {"cutoffs": {"EdU": 600.0}}


def test_a_setting_without_value_leaves_the_file(tmp_path):
    text = save(tmp_path, {"segment.pmin": None, "segment.diameter": None})
    assert "pmin" not in text
    assert "diameter" not in text
    assert tomlkit.parse(text)["segment"]["channels"] == ["DNA"]


def test_every_kind_of_value(tmp_path):
    values = {
        "segment.augment": True,
        "segment.pmin": 1.5,
        "segment.model": 'a "b" µ',
        "train.seeds": [1, 2],
    }
    text = save(tmp_path, values)
    read = tomlkit.parse(text).unwrap()
    assert read["segment"]["augment"] is True
    assert read["segment"]["model"] == 'a "b" µ'
    assert read["train"]["seeds"] == [1, 2]


def test_windows_line_ends_are_not_doubled(tmp_path):
    path = tmp_path / "project.toml"
    path.write_bytes(FILE.replace("\n", "\r\n").encode())
    save_settings(path, {"segment.pmin": 3.5})
    assert b"\r\r\n" not in path.read_bytes()
    assert tomlkit.parse(path.read_bytes().decode())["segment"]["pmin"] == 3.5


def test_the_lines_shown_say_the_same(tmp_path):
    settings = {"segment.pmin": 3.5, "train.rf.evaluation": "split", "segment.model": None}
    text = as_toml(tmp_path / "project.toml", settings)
    assert tomlkit.parse(text).unwrap() == {
        "segment": {"pmin": 3.5},
        "train": {"rf": {"evaluation": "split"}},
    }


def test_what_was_saved_is_what_is_loaded(tmp_path):
    from nucprof.config import load_project

    text = """\
[project]
name = "p"
[[plates]]
name = "a"
cell_painting = "CP"
[channels]
cell_painting = ["DNA"]
nuclei = "DNA"
[channels.ground_truth]
GT = ["EdU"]
"""
    path = tmp_path / "project.toml"
    path.write_text(text)
    save_settings(
        path,
        {
            "gate.cutoffs": {"EdU": 600.0},
            # TOML has no null for an open limit
            "gate.filters": {"Nuclei_AreaShape_Area": [160.0, None], "x": [None, 2.5], "y": [1, 2]},
            "gate.classes": {"astro": "EdU"},
            "train.sample": "max",
        },
    )
    project = load_project(path, check_folders=False)
    assert project.gate.cutoffs == {"EdU": 600.0}
    assert project.gate.filters == {
        "Nuclei_AreaShape_Area": (160.0, None),
        "x": (None, 2.5),
        "y": (1.0, 2.0),
    }
    assert project.train.sample == "max"


def test_a_path_below_the_project_is_written_relative_to_it(tmp_path):
    inside, outside = tmp_path / "results" / "train" / "rf", tmp_path.parent / "model"
    text = save(tmp_path, {"predict.model": str(inside)})
    assert tomlkit.parse(text)["predict"]["model"] == "results/train/rf"
    told = as_toml(tmp_path / "project.toml", {"predict.model": str(inside)})
    assert tomlkit.parse(told)["predict"]["model"] == "results/train/rf"
    text = save(tmp_path, {"gate.corrections": [str(tmp_path / "ana.csv")]})
    assert tomlkit.parse(text)["gate"]["corrections"] == ["ana.csv"]
    text = save(tmp_path, {"predict.model": str(outside)})
    assert tomlkit.parse(text)["predict"]["model"] == outside.as_posix()
