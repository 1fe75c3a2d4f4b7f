"""Corrections of people: read, checked, counted, and compared with the gate and each other."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from nucprof.errors import DataError, UserError
from nucprof.io.corrections import corrections_text, read_corrections
from nucprof.io.tables import read_rows, read_table, write_table
from nucprof.learn.corrections import (
    add_corrections,
    agreement_lines,
    checked_corrections,
    compare,
    votes,
)
from nucprof.learn.rounds import add_round
from nucprof.learn.split import select_culture
from nucprof.plate.keys import FieldKey
from nucprof.plate.sources import Source
from nucprof.raw.index import ImageIndex, index_rows, index_table
from nucprof.raw.round_files import Round

HEAD = "plate,ROI_img_name,true_condition,was,who,when\n"
CELLS = pd.DataFrame(
    {"Metadata_Plate": "p", "Metadata_ROI_img_name": [f"B-02-01_{n:04d}" for n in range(1, 9)]}
)


@pytest.fixture
def written(tmp_path):
    """Write a file of corrections: its path."""

    def write(text, name="corrections.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def answers_of(**people):
    """Answers by person: the class of cell 1, 2, ..., None for no answer."""
    rows = [
        ("p", f"B-02-01_{n:04d}", name, "", who, "")
        for who, given in people.items()
        for n, name in enumerate(given, start=1)
        if name is not None
    ]
    return pd.DataFrame(rows, columns=HEAD.strip().split(","), dtype="str")


def test_files_of_several_people_are_read(written):
    one = written(HEAD + "p,B-02-01_0001,astro,neuro,Ann,2026-01-02T10:00:00Z\n")
    # as a German Excel saves it, with columns that are not ours
    two = written(
        "\ufeffwho;note;plate;ROI_img_name;true_condition\nBö;hm;p;B-02-01_0001;undefined\n",
        "b.csv",
    )
    table = read_corrections([one, two, one])
    assert table["who"].tolist() == ["Ann", "Bö"]
    assert table["true_condition"].tolist() == ["astro", "undefined"]
    assert table["was"].tolist() == ["neuro", ""]


def test_a_workbook_is_read(tmp_path):
    book = openpyxl.Workbook()
    for row in (HEAD.strip().split(","), ["p", "B-02-01_0001", "astro", "", "Ann", ""]):
        book.active.append(row)
    book.save(tmp_path / "c.xlsx")
    assert read_corrections([tmp_path / "c.xlsx"])["who"].tolist() == ["Ann"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("plate,ROI_img_name,who\np,B-02-01_0001,Ann\n", "lacks the column 'true_condition'"),
        (HEAD + "p,B-02-01_0001,,astro,Ann,\n", "line 2: 'true_condition' is empty"),
        (HEAD + "p,B-02-01_0001,astro,,,\n", "line 2: 'who' is empty"),
        (HEAD + "p,B02,astro,,Ann,\n", "line 2: 'B02' is not a cell key"),
        (
            HEAD + "p,B-02-01_0001,astro,,Ann,\np,B-02-01_0002,astro,,Ann,\n"
            "p,B-02-01_0001,neuro,,Ann,\n",
            "line 4: Ann gave cell B-02-01_0001 of plate p two classes, 'astro' and 'neuro'",
        ),
        ("", "lacks the column 'plate'"),
    ],
)
def test_a_wrong_file_is_one_message(written, text, told):
    path = written(text)
    with pytest.raises(UserError, match=told) as caught:
        read_corrections([path])
    assert str(path) in str(caught.value)


def test_a_missing_file_is_one_message(tmp_path):
    with pytest.raises(UserError, match=r"there is no file .*none\.csv"):
        read_corrections([tmp_path / "none.csv"])


def test_unknown_cells_and_classes_are_refused(written):
    path = written(HEAD + "p,B-02-01_0099,astro,,Ann,\n")
    with pytest.raises(DataError, match=r"1 answer.*e\.g\. B-02-01_0099 of plate p"):
        checked_corrections([path], CELLS, ["astro", "neuro"])
    path = written(HEAD + "p,B-02-01_0001,wolf,,Ann,\n")
    with pytest.raises(DataError, match=r"unknown class 'wolf'.*astro, neuro, undefined"):
        checked_corrections([path], CELLS, ["astro", "neuro"])


def test_names_are_no_formulas_and_come_back(written):
    """A person's or a class's name that a spreadsheet would run is written as text."""
    table = answers_of(**{"=HYPERLINK(1)": ["+dox", "-dox"], "@me": ["'quoted", None]})
    text = corrections_text(table)
    assert not any(
        cell.startswith(("=", "+", "-", "@"))
        for line in text.splitlines()
        for cell in line.split(",")
    )
    back = read_corrections([written(text)])
    pd.testing.assert_frame_equal(back, table)


def test_tables_for_spreadsheets_hold_no_formulas(tmp_path):
    table = pd.DataFrame({"true_condition": ["+dox", "a", None], "value": [-1.5, 2.0, 3.0]})
    write_table(tmp_path / "t.csv", table)
    assert (tmp_path / "t.csv").read_text() == "true_condition,value\n'+dox,-1.5\na,2.0\n,3.0\n"
    back = read_table(tmp_path / "t.csv")
    assert back["true_condition"].tolist()[:2] == ["+dox", "a"]
    assert back["value"].tolist() == [-1.5, 2.0, 3.0]


def test_an_index_of_images_with_such_names_is_read_as_it_was(tmp_path):
    source = Source(Path("-round 1/x.tif"), pixel_size_um=0.5)
    field = {"+DAPI": source, "@cy3": dataclasses.replace(source, plane=1)}
    where = Round("p", "CP", Path("-round 1"), ("+DAPI", "@cy3"))
    rows = index_rows(where, {FieldKey.parse("B-02-01"): field}, tmp_path)
    write_table(tmp_path / "images.csv", index_table(rows))
    assert "'+DAPI" in (tmp_path / "images.csv").read_text(encoding="utf-8")
    held = ImageIndex.read(tmp_path / "images.csv")
    assert held.channels["p", "B-02-01", "CP"] == field
    assert {row["channel"] for row in read_rows(tmp_path / "images.csv")} == {"+DAPI", "@cy3"}


def test_most_votes_count_and_a_tie_is_undefined():
    table = answers_of(
        Ann=["a", "a", "b", "undefined"], Bob=["a", "b", "b", None], Cy=["b", None, "b", None]
    )
    assert votes(table)["corrected"].tolist() == ["a", "undefined", "b", "undefined"]
    joined = add_corrections(CELLS.iloc[::-1], table)
    assert joined["corrected"].tolist()[-4:] == ["undefined", "b", "undefined", "a"]
    assert joined["corrected"].isna().sum() == 4


def test_agreement_with_the_gate_and_between_two_people():
    gated = CELLS.assign(true_condition=["a", "a", "a", "a", "b", "b", "b", "undefined"])
    table = answers_of(
        Ann=["a", "a", "b", "a", "b", "undefined", None, "a"],
        Bob=["a", "b", "b", "a", "b", None, None, None],
    )
    found = compare(table, gated, "true_condition")
    assert (found.cells, found.answers) == (7, {"Ann": 7, "Bob": 5})
    # changed: cell 2 (disputed), 3 (to b), 6 (excluded), 8 (given a class)
    assert (found.changed, found.excluded, found.disputed) == (4, 1, 1)
    assert found.with_gate == pytest.approx(3 / 7)
    (pair,) = found.pairs
    # by hand: 4 of 5 agree; Ann a 3/5, Bob a 2/5: chance 6/25 + 6/25 = 0.48
    assert (pair.cells, pair.agreement) == (5, 0.8)
    assert pair.kappa == pytest.approx((0.8 - 0.48) / 0.52)
    lines = agreement_lines(found)
    assert lines[0] == (
        "corrections: 7 cells reviewed (Ann 7, Bob 5), 42.9% agree with the gate, 4 changed "
        "(of these 1 excluded, 1 disputed)"
    )
    assert lines[1] == "Ann and Bob agree on 80.0% of 5 cells (Cohen's kappa 0.62)"


def test_kappa_is_not_defined_where_only_one_class_was_given():
    (pair,) = compare(answers_of(Ann=["a", "a"], Bob=["a", "a"]), CELLS.assign(c="a"), "c").pairs
    assert np.isnan(pair.kappa)


def test_a_monoculture_is_trained_on_with_its_corrections():
    cells = CELLS.assign(
        Metadata_Well=["B02"] * 4 + ["C02"] * 4, Metadata_Target=["a"] * 4 + ["b"] * 4
    )
    cells = add_corrections(cells, answers_of(Ann=["b", "undefined", None, "a"]))
    chosen, culture = select_culture(cells)
    assert culture == "mono"
    assert chosen["target"].tolist() == ["b", "a", "a", "b", "b", "b", "b"]


def test_every_round_of_corrections_is_a_point_of_the_learning_curve(tmp_path, written):
    def trained(f1, *files):
        metrics = {"n_train": 100, "f1_macro": f1, "f1_macro_ci": [f1 - 0.1, f1 + 0.05]}
        return pd.read_csv(add_round(tmp_path, metrics, files, "Forest"))

    trained(0.8)
    assert not (tmp_path / "rounds.png").exists()
    path = written(HEAD + "p,B-02-01_0001,a,b,Ann,\np,B-02-01_0002,a,a,Ann,\n")
    trained(0.85, path)
    again = trained(0.86, path)  # the same answers, e.g. with other settings
    assert again["f1_macro"].tolist() == [0.8, 0.86]
    assert again["reviewed"].tolist() == [0, 2]
    assert again["changed"].tolist() == [0, 1]
    assert again["f1_low"].tolist() == pytest.approx([0.7, 0.76])
    assert (tmp_path / "rounds.png").read_bytes().startswith(b"\x89PNG")
