"""Layouts as spreadsheet programs write them, and names that could be taken for something else."""

from __future__ import annotations

from pathlib import Path

import pytest
from edits import both, put, swap

from hostile import Case, ids, nucprof
from nucprof.io.tables import read_table, write_table

WELLS = {"B02": "astro", "B03": "astro", "C02": "neuro", "C03": "neuro", "D02": "co-culture"}


def listed(wells: dict[str, str], separator: str = ",", encoding: str = "utf-8"):
    """Put a layout that is a list of wells in the place of the workbook."""
    lines = ["well" + separator + "culture", *(f"{w}{separator}{c}" for w, c in wells.items())]
    return both(
        put("layout.csv", ("\n".join(lines) + "\n").encode(encoding)),
        swap("project.toml", "layout.xlsx", "layout.csv"),
    )


def culture(name: str):
    """A layout with one more culture."""
    return listed({**WELLS, "D04": name})


CASES = [
    *(
        Case(
            name=f"layout.csv {name}",
            kind="unclear",
            command="rename {p}/project.toml",
            prepare=listed({**WELLS, "D04": "Müller"}, separator, encoding),
            plate="raw",
            says=("A = astro (2 wells), N = neuro (2 wells)", "Müller (1 well)"),
            status=0,
        )
        for name, separator, encoding in (
            ("with commas", ",", "utf-8"),
            ("with semicolons", ";", "utf-8"),
            ("with tabs", "\t", "utf-8"),
            ("with a BOM", ",", "utf-8-sig"),
            ("in Latin-1", ",", "latin-1"),
            ("in UTF-16", "\t", "utf-16"),
        )
    ),
    *(
        Case(
            name=f"a culture named {name!r}",
            kind=kind,
            command="rename {p}/project.toml",
            prepare=culture(name),
            plate="raw",
            says=(f"{name} (1 well)",),
            status=0,
        )
        for name, kind in (
            ("1", "unclear"),
            ("a$b$", "unclear"),
            ("=1+1", "unsafe"),
            ("@SUM(A1)", "unsafe"),
            ("-DOX", "unclear"),
            ("+DOX", "unclear"),
            ("[bold]x[/bold]", "unsafe"),
            ("<script>alert(1)</script>", "unsafe"),
            ("../../x", "lost"),
            ("NA", "silent"),
            ("nan", "silent"),
        )
    ),
    *(
        Case(
            name=f"a culture named {name!r}",
            kind="silent",
            command="rename {p}/project.toml",
            prepare=culture(name),
            plate="raw",
            says=("{p}/layout.csv: well D04", told),
        )
        for name, told in (
            ("undefined", "cannot be called 'undefined'"),
            ("Undefined", "cannot be called 'Undefined'"),
            ("uncertain", "cannot be called 'uncertain'"),
            ("x\x1b]0;title\x07", "cannot be printed"),
            ("x" * 81, "1 to 80 characters"),
        )
    ),
    Case(
        name="a well twice",
        kind="silent",
        command="rename {p}/project.toml",
        prepare=both(
            put("layout.csv", "well,culture\nB02,astro\nB02,neuro\n"),
            swap("project.toml", "layout.xlsx", "layout.csv"),
        ),
        plate="raw",
        says=("{p}/layout.csv: well B02 is named twice, 'astro' and 'neuro'",),
    ),
    *(
        Case(
            name=f"layout {name}",
            kind=kind,
            command="rename {p}/project.toml",
            prepare=both(
                put("layout.csv", content), swap("project.toml", "layout.xlsx", "layout.csv")
            ),
            plate="raw",
            says=("{p}/layout.csv", told),
        )
        for name, kind, content, told in (
            ("empty", "unclear", b"", "names no well"),
            ("of spaces", "unclear", b" \n \n", "names no well"),
            ("with NUL", "traceback", b"well,culture\nB02,\0", "not a text file"),
            ("with an impossible well", "silent", b"well,culture\nB99999,astro\n", "is not a well"),
        )
    ),
    Case(
        name="a file name with control characters is not printed raw",
        kind="unsafe",
        command="rename {p}/project.toml",
        prepare=put("CP/evil\x1b]0;owned\x07.tif", "x"),
        plate="raw",
        says=("evil\\x1b]0;owned\\x07.tif",),
        silent_on=("\x1b]0;owned",),
        status=0,
    ),
    Case(
        name="status shows what became of every cell",
        kind="lost",
        command="status {p}/project.toml",
        says=("cells: 112 segmented, -49 border (segment), -1 outside_overlap (align), 62 kept",),
        status=0,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_case(case, run_case):
    run_case(case)


@pytest.mark.kind("unsafe")
@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_no_text_in_a_csv_is_a_formula(tmp_path, name):
    import pandas as pd

    path = tmp_path / "t.csv"
    table = pd.DataFrame({"Metadata_Target": [name, "astro"], "n": [1, -2]})
    write_table(path, table)
    first = path.read_text().splitlines()[1]
    assert not first.lstrip('"').startswith(("=", "+", "-", "@", "\t", "\r"))
    assert read_table(path)["Metadata_Target"].tolist() == [name, "astro"]


@pytest.mark.kind("unsafe")
@pytest.mark.parametrize("declared", ['<!DOCTYPE a [<!ENTITY b "x">]>', "<!ENTITY c SYSTEM 'f'>"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_with_entities_is_not_expanded(tmp_path: Path, declared: str, encoding: str):
    from nucprof.io.formats.xml import elements, read_xml

    text = f"<?xml version='1.0' encoding='{encoding}'?>{declared}<OME>&b;</OME>"
    path = tmp_path / "Index.xml"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(ValueError, match="declares a document type"):
        list(elements(path))
    with pytest.raises(ValueError, match="declares a document type"):
        read_xml(text)


@pytest.mark.kind("unsafe")
def test_a_pickle_in_the_place_of_a_model_is_not_run(plate_of, capsys):
    import pickle

    class Evil:
        def __reduce__(self):
            return (Path.touch, (Path("ran"),))

    folder = plate_of("processed")
    put("results/train/rf/default/model.skops", pickle.dumps(Evil()))(folder)
    assert nucprof(f"predict {folder.as_posix()}/project.toml") == 2
    assert "Is it a forest of nucprof's" in capsys.readouterr().err
    assert not Path("ran").exists()
    assert not (folder / "ran").exists()
