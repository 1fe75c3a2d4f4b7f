"""The page from plain records: escaped, complete, and without anything from elsewhere."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from nucprof.figures.colours import project_colours
from nucprof.io.results import Results
from nucprof.io.tables import write_table
from nucprof.report.build import build
from nucprof.report.cells import Cells, packed
from nucprof.report.page import captions, render
from nucprof.report.records import About, StageRun

EVIL = "<script>alert('x')</script> & $x$"
ABOUT = About(
    name=EVIL, plates=(EVIL,), rounds={EVIL: ("DNA", EVIL)}, painted=("DNA", EVIL), nuclei="DNA",
    mixed="co-culture", objects="nuclei", cultures={f"{EVIL}/B02": EVIL, f"{EVIL}/C03": "neuro"},
)  # fmt: skip


class Elements(HTMLParser):
    """Counts elements and gathers addresses and the text outside of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_data(self, data):
        if self.names[-1:] != ["script"]:
            self.words.append(data)


@pytest.fixture
def results(tmp_path):
    """Results of a gate, whose names are as bad as names can be."""
    key = {
        "Metadata_Plate": [EVIL] * 4,
        "Metadata_ROI_img_name": [f"B-02-01_000{i}" for i in range(4)],
    }
    well = {"Metadata_Well": ["B02"] * 4, "Metadata_Target": [EVIL] * 4}
    folder = tmp_path / "gate"
    write_table(
        folder / "intensities.parquet",
        pd.DataFrame({**key, **well, EVIL: [1.0, 2.0, 3.0, np.nan], "corrected": None}),
    )
    true = pd.DataFrame({**key, **well, "true_condition": [EVIL, EVIL, "undefined", "undefined"]})
    write_table(folder / "GT_data.csv", true)
    counts = true.groupby(["Metadata_Plate", "Metadata_Well", "Metadata_Target", "true_condition"])
    write_table(folder / "counts.csv", counts.size().rename("cells").reset_index())
    shares = dict.fromkeys(
        [f"{a}{b}" for a in ("sensitivity", "specificity") for b in ("", "_low", "_high")]
    )
    entry = {"class": EVIL, "carries": True, "cutoff": 2.5, "given": True, "held_out": None}
    (folder / "cutoffs.json").write_text(
        json.dumps({EVIL: {**entry, **shares, "classes": {EVIL: True}}})
    )
    return Results(tmp_path)


RUNS = (
    StageRun("rename", "done", warnings=(EVIL,), seconds=61.0),
    StageRun("gate", "done", {"gate.cutoffs": {EVIL: 2.5}}, counts={"classes": {EVIL: 2}}),
)


def test_names_are_text_and_never_code(results) -> None:
    text = render(build(results, ABOUT, RUNS, "project.toml"))
    page = Elements(text)
    # three data islands and three scripts of our own
    assert page.names.count("script") == 5
    assert EVIL not in text
    assert any(EVIL in words for words in page.words)
    island = re.search(r'id="cells-data">(.*?)</script>', text, re.DOTALL)
    assert json.loads(island[1])["cultures"] == [EVIL]
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    assert not re.search(r"https?:", text)


def test_nothing_has_run(tmp_path) -> None:
    page = build(Results(tmp_path), ABOUT, (), "project.toml")
    text = render(page)
    assert "No stage has run yet." in text
    assert "Nothing doubtful was found" in text
    assert page.doubts == []


def test_every_figure_has_a_file_and_a_caption(results) -> None:
    page = build(results, ABOUT, RUNS, "project.toml")
    words = captions(page)
    figures = [b for section in page.sections for b in section.blocks if b.kind == "figure"]
    assert {figure.title for figure in figures} == {"Layout", "Composition of every well"}
    for figure in figures:
        assert (results.root / figure.file).read_bytes().startswith(b"\x89PNG")
        assert figure.caption
        assert figure.caption in words
        assert figure.file in words


def test_doubts_come_first_with_what_to_do(results) -> None:
    text = render(build(results, ABOUT, RUNS, "project.toml"))
    assert text.index("has 2 cells after the cutoffs") < text.index("What was run")
    assert text.index("What to do:") < text.index("What was run")


def test_a_column_is_packed_little_endian() -> None:
    held = packed(np.array([1.5, -2.0], dtype=">f8"))
    assert held["type"] == "f8"
    assert np.frombuffer(base64.b64decode(held["data"]), "<f8").tolist() == [
        1.5,
        -2.0,
    ]


def test_cells_keep_every_key_and_value(results) -> None:
    from nucprof.report.source import Source

    cells = Cells.read(Source(results, ABOUT, {run.name: run for run in RUNS}, results))
    assert sorted(cells.table["Metadata_ROI_img_name"]) == [f"B-02-01_000{i}" for i in range(4)]
    by_key = cells.table.set_index("Metadata_ROI_img_name")[f"marker {EVIL}"]
    assert by_key.sort_index().tolist()[:3] == [1.0, 2.0, 3.0]


class TestColours:
    def test_a_class_keeps_its_colour(self, tmp_path):
        path = tmp_path / "colours.json"
        first = project_colours(path, ["neuro", "astro"])
        again = project_colours(path, ["astro", "another", "undefined", "neuro"])
        assert {name: again[name] for name in first} == first
        assert len(set(again.values())) == 4
        assert again["undefined"] == "#9A9A9A"

    def test_a_colour_may_be_chosen(self, tmp_path):
        path = tmp_path / "colours.json"
        path.write_text('{"astro": "#123456"}')
        assert project_colours(path, ["astro", "neuro"])["astro"] == "#123456"
