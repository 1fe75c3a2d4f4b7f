"""Plate layouts as biologists make them."""

from __future__ import annotations

import contextlib
import re
import tracemalloc

import numpy as np
import openpyxl
import pandas as pd
import pytest

from nucprof.errors import UserError
from nucprof.io.layouts import FORMS, read_layout
from nucprof.plate.keys import WellKey
from nucprof.plate.layout import Layout, draw_plate


def as_text(layout):
    return {str(well): culture for well, culture in layout.cultures.items()}


def write_xlsx(path, rows, sheet="Culture", header=(1, 2, 12)):
    table = pd.DataFrame(rows).T
    table.columns = list(header)
    table.to_excel(path, sheet_name=sheet)
    return path


class TestLayout:
    def test_xlsx(self, tmp_path):
        path = write_xlsx(
            tmp_path / "l.xlsx", {"B": ["astro", None, "co-culture"], "AA": ["neuro", "NA", " "]}
        )
        layout = read_layout(path)
        assert as_text(layout) == {
            "B01": "astro",
            "B12": "co-culture",
            "AA01": "neuro",
            "AA02": "NA",
        }
        assert layout.culture(WellKey("B", 12)) == "co-culture"
        assert layout.culture(WellKey("B", 2)) is None

    def test_the_real_layout(self, shared_data):
        layout = as_text(read_layout(shared_data / "coculture" / "layout.xlsx"))
        assert {well[0]: culture for well, culture in layout.items()} == {
            "B": "untreated", "C": "treated", "D": "co-culture",
        }  # fmt: skip

    def test_a_culture_called_undefined_is_refused(self, tmp_path):
        path = write_xlsx(tmp_path / "l.xlsx", {"B": ["astro", "undefined", "neuro"]})
        with pytest.raises(UserError, match=r"l\.xlsx: well B02: .*cannot be called 'undefined'"):
            read_layout(path)

    @pytest.mark.parametrize("header", ["1,2", "01,02", "1.0,2.0", " 1, 2"])
    def test_csv(self, tmp_path, header):
        path = tmp_path / "l.csv"
        path.write_text(f",{header}\nA,001,astro \nb,,neuro\n")
        assert as_text(read_layout(path)) == {"A01": "001", "A02": "astro", "B02": "neuro"}

    def test_a_culture_called_na_is_a_culture(self, tmp_path):
        path = tmp_path / "l.csv"
        path.write_text(",1,2,3\nA,NA,None,null\n")
        assert as_text(read_layout(path)) == {"A01": "NA", "A02": "None", "A03": "null"}

    def test_missing_file(self, tmp_path):
        with pytest.raises(UserError, match=r"none\.xlsx cannot be read"):
            read_layout(tmp_path / "none.xlsx")

    def test_not_an_excel_file(self, tmp_path):
        path = tmp_path / "l.xlsx"
        path.write_bytes(b"this is no workbook")
        with pytest.raises(UserError, match=r"l\.xlsx"):
            read_layout(path)

    def test_a_workbook_cut_short(self, tmp_path):
        path = write_xlsx(tmp_path / "l.xlsx", {"B": ["astro", "neuro", "co-culture"]})
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(UserError, match=r"l\.xlsx cannot be read"):
            read_layout(path)

    def test_csv_that_is_no_text(self, tmp_path):
        path = tmp_path / "l.csv"
        path.write_bytes(b"\xff\xfe\x00\x01,\x80\n")
        with pytest.raises(UserError, match=r"l\.csv"):
            read_layout(path)

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            (",1,2\n1,astro,neuro\n", "row '1', column '1'"),
            (",one,2\nA,astro,neuro\n", "row 'A', column 'one'"),
            (",1,Unnamed\nA,astro,x\n", "row 'A', column 'Unnamed'"),
            (",1.5\nA,astro\n", "row 'A', column '1.5'"),
            (",-1\nA,astro\n", "row 'A', column '-1'"),
            (",1\nABC,astro\n", "row 'ABC', column '1'"),
        ],
    )
    def test_names_that_are_no_well(self, tmp_path, text, place):
        path = tmp_path / "l.csv"
        path.write_text(text)
        with pytest.raises(UserError, match=re.escape(place)) as caught:
            read_layout(path)
        assert str(path) in str(caught.value)

    def test_a_well_named_twice(self, tmp_path):
        path = tmp_path / "l.csv"
        path.write_text(",1\nA,astro\na,neuro\n")
        with pytest.raises(UserError, match="A01"):
            read_layout(path)

    @pytest.mark.parametrize("text", [",1,2\nA,,\n", ",1,2\n", ""])
    def test_empty(self, tmp_path, text):
        path = tmp_path / "l.csv"
        path.write_text(text)
        with pytest.raises(UserError, match=re.escape(str(path))):
            read_layout(path)


MAP = [["", "1", "2", "3"], ["A", "astro", "", "co-culture"], ["B", "neuro", "neuro", ""]]
LIST = [
    ["well", "target"],
    ["A1", "astro"],
    ["A03", "co-culture"],
    ["b-01", "neuro"],
    ["B 2", "neuro"],
]
WELLS = {"A01": "astro", "A03": "co-culture", "B01": "neuro", "B02": "neuro"}


def joined(rows, delimiter=","):
    return "".join(delimiter.join(row) + "\n" for row in rows)


def book(path, **sheets):
    """Write a workbook of sheets, each a list of rows."""
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for title, rows in sheets.items():
        sheet = workbook.create_sheet(title)
        for row in rows:
            sheet.append([value or None for value in row])
    workbook.save(path)
    return path


def shifted(rows, down, right):
    return [["" for _ in range(right + 1)]] * down + [[""] * right + list(row) for row in rows]


TEXTS = {
    "map, commas": joined(MAP).encode(),
    "map, semicolons of a German Excel": joined(MAP, ";").encode("cp1252"),
    "map, tabs": joined(MAP, "\t").encode(),
    "map, UTF-8 with its mark": b"\xef\xbb\xbf" + joined(MAP).encode(),
    "map, Unicode text of Excel": joined(MAP, "\t").encode("utf-16"),
    "map, lines of Windows": joined(MAP).replace("\n", "\r\n").encode(),
    "map, titles above": ("Plate 1, 12 May\n\nculture,by,Ada\n" + joined(MAP)).encode(),
    "map, rows in small letters": joined(MAP).lower().encode(),
    "map, trailing spaces": joined(MAP, " , ").encode(),
    "map, numbers with zeros": joined([["", "01", "02", "03"], *MAP[1:]]).encode(),
    "map, a name in the corner": joined([["Row", "1", "2", "3"], *MAP[1:]]).encode(),
    "map, notes below": (joined(MAP) + "\nseeded by,Ada\n").encode(),
    "list": joined(LIST).encode(),
    "list, semicolons": joined(LIST, ";").encode(),
    "list, titles in capitals": joined([["Well ID", "Cell type"], *LIST[1:]]).encode(),
    "list, any title beside the wells": joined([["Well", "what grows"], *LIST[1:]]).encode(),
    "list, more columns": (
        "plate,well,dose,culture\n" + "".join(f"p,{w},0.1,{c}\n" for w, c in LIST[1:])
    ).encode(),
    "list, rows and columns": (
        b"row,column,culture\nA,1,astro\nA,3,co-culture\n2,1,neuro\nB,2,neuro\n"
    ),
    "list, a well for every site": (joined(LIST) + joined(LIST[1:])).encode(),
}


@pytest.mark.parametrize("name", TEXTS)
def test_text(tmp_path, name):
    path = tmp_path / "l.csv"
    path.write_bytes(TEXTS[name])
    assert as_text(read_layout(path)) == WELLS


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_umlauts(tmp_path, encoding):
    path = tmp_path / "l.csv"
    path.write_bytes("well,culture\nA1,Müller-Zellen\n".encode(encoding))
    assert as_text(read_layout(path)) == {"A01": "Müller-Zellen"}


class TestWorkbooks:
    @pytest.mark.parametrize("rows", [MAP, LIST, shifted(MAP, 3, 2), shifted(LIST, 1, 1)])
    @pytest.mark.parametrize("title", ["Sheet1", "Culture"])
    def test_the_only_sheet(self, tmp_path, rows, title):
        assert as_text(read_layout(book(tmp_path / "l.xlsx", **{title: rows}))) == WELLS

    def test_of_several_the_one_called_culture(self, tmp_path):
        density = [["", 1, 2, 3], ["A", 5000, "", 7000]]
        path = book(tmp_path / "l.xlsx", Density=density, culture=MAP)
        assert as_text(read_layout(path)) == WELLS

    def test_of_several_none_is_called_culture(self, tmp_path):
        path = book(tmp_path / "l.xlsx", Density=MAP, Plate=MAP)
        with pytest.raises(
            UserError, match=r'2 sheets .Density, Plate.; name the one .* "Culture"'
        ):
            read_layout(path)

    def test_merged_cells_are_filled(self, tmp_path):
        path = book(tmp_path / "l.xlsx", Culture=[["", 1, 2, 3], ["A", "astro"], ["B", "neuro"]])
        workbook = openpyxl.load_workbook(path)
        workbook.active.merge_cells("B2:D2")
        workbook.active.merge_cells("B3:B4")
        workbook.active["A4"] = "C"
        workbook.save(path)
        assert as_text(read_layout(path)) == {
            "A01": "astro", "A02": "astro", "A03": "astro", "B01": "neuro", "C01": "neuro",
        }  # fmt: skip

    @pytest.mark.parametrize("value", ["x", " ", None])
    def test_a_stray_cell_far_away_takes_no_memory(self, tmp_path, value):
        path = book(tmp_path / "l.xlsx", Culture=MAP)
        workbook = openpyxl.load_workbook(path)
        stray = workbook.active["XFD1048576"]
        stray.value, stray.font = value, openpyxl.styles.Font(bold=True)
        workbook.save(path)
        tracemalloc.start()
        try:
            if value == "x":
                with pytest.raises(UserError, match="'x' is in row 1048576, column 16384"):
                    read_layout(path)
            else:
                assert as_text(read_layout(path)) == WELLS
            assert tracemalloc.get_traced_memory()[1] < 50e6
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    ("rows", "columns", "last"),
    [(2, 3, "B03"), (4, 6, "D06"), (8, 12, "H12"), (16, 24, "P24"), (32, 48, "AF48")],
)
def test_plates_of_6_to_1536_wells(tmp_path, rows, columns, last):
    letters = [chr(65 + i) if i < 26 else "A" + chr(65 + i - 26) for i in range(rows)]
    table = pd.DataFrame("neuro", index=letters, columns=range(1, columns + 1))
    table.to_csv(tmp_path / "l.csv")
    wells = as_text(read_layout(tmp_path / "l.csv"))
    assert len(wells) == rows * columns
    assert list(wells)[-1] == last


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("hello,world\n", "names no well"),
        ("A,B\n1,x\n2,y\n", "is not a well"),
        (",1,10000\nA,x,y\n", "column '10000' is not a well"),
        (",1,0\nA,x,y\n", "column '0' is not a well"),
        ("well,culture\nA1,astro\nA1,neuro\n", "A01 is named twice, 'astro' and 'neuro'"),
        ("well,culture\nfirst,astro\n", "'first' is not a well"),
        ("well,culture\nB2-B4,astro\n", "'B2-B4' is not a well"),
        ("well,culture\n", "names no well"),
    ],
)
def test_what_is_refused_shows_the_forms(tmp_path, content, told):
    path = tmp_path / "l.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=re.escape(told)) as caught:
        read_layout(path)
    assert str(path) in str(caught.value)
    if "twice" not in told:
        assert FORMS in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "Vertiefung;Zelllinie\nB2;astro\nC10;neuro\n",
        "Napf;Linie\nB2;astro\nC10;neuro\nD1;\n",  # titles that nothing knows
        "b2;astro\nc10;neuro\n",  # no titles
        ";Col 2;Col 10\nRow B;astro;\nRow C;;neuro\n",
        ";2;3;10;;legend\nB;astro;;;;astro = U-87\nC;;;neuro\n",  # notes beside the map
        "well;culture\nB2;astro\nB3;-\nB4;n/a\nB5;empty\nC10;neuro\n",
    ],
)
def test_layouts_of_other_laboratories(tmp_path, text):
    (tmp_path / "l.csv").write_text(text)
    cultures = read_layout(tmp_path / "l.csv").cultures
    assert {str(w): c for w, c in cultures.items()} == {"B02": "astro", "C10": "neuro"}


def test_which_of_two_columns_has_the_cultures(tmp_path):
    (tmp_path / "l.csv").write_text("well,line 1,line 2\nB2,astro,\nB3,,neuro\n")
    with pytest.raises(UserError, match="which column has the cultures, line 1, line 2"):
        read_layout(tmp_path / "l.csv")


def test_a_text_file_called_xlsx(tmp_path):
    (tmp_path / "l.xlsx").write_text("well,culture\nB2,astro\n")
    assert read_layout(tmp_path / "l.xlsx").cultures == {WellKey("B", 2): "astro"}


@pytest.mark.parametrize(
    ("name", "told"),
    [("l.xls", "save it as .xlsx"), ("l.csv", "has a password, or is in Excel's old")],
)
def test_files_of_another_kind(tmp_path, name, told):
    (tmp_path / name).write_bytes(b"\xd0\xcf\x11\xe0\x00\x00")
    with pytest.raises(UserError, match=re.escape(told)):
        read_layout(tmp_path / name)


@pytest.mark.parametrize("kind", ["flipped", "cut", "ods", "encrypted"])
def test_damaged_workbooks_are_one_message(tmp_path, kind):
    path = book(tmp_path / "l.xlsx", Culture=MAP)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(20):
        broken = bytearray(whole)
        if kind == "flipped":
            for place in rng.integers(0, len(whole), 12):
                broken[place] ^= 0xFF
        elif kind == "cut":
            broken = broken[: int(rng.integers(1, len(whole)))]
        elif kind == "encrypted":
            broken = bytearray(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + whole)
        path.write_bytes(bytes(broken))
        named = path.rename(path.with_suffix(".ods")) if kind == "ods" else path
        with contextlib.suppress(UserError):  # anything else is a bug, and so is another layout
            assert as_text(read_layout(named)) == WELLS
        path = named


def layout(**wells):
    return Layout({WellKey.parse(well): culture for well, culture in wells.items()})


class TestSpellings:
    def test_did_you_mean(self):
        found = layout(A01="Astro", A02="astro", A03="astro", B01="SH-SY5Y", B02="SHSY 5Y", C01="x")
        assert found.doubts() == [
            "'Astro' (1 well): did you mean 'astro' (2 wells)?",
            "'SHSY 5Y' (1 well): did you mean 'SH-SY5Y' (1 well)?",
        ]
        assert layout(A01="24h", A02="48h").doubts() == []

    @pytest.mark.parametrize(
        "word", ["Co-culture", "coculture", "CO CULTURE", "mixed", "Mix", "Mixed culture"]
    )
    def test_words_for_the_mixed_culture(self, word):
        found = layout(A01="astro", A02=word).with_mixed_called("co-culture")
        assert as_text(found) == {"A01": "astro", "A02": "co-culture"}

    def test_a_culture_of_that_very_name_counts(self):
        held = layout(A01="co-culture", A02="mixed")
        assert held.with_mixed_called("co-culture") == held

    def test_ones_own_word(self):
        held = layout(A01="blend 1", A02="mixed")
        assert as_text(held.with_mixed_called("Blend-1")) == {"A01": "Blend-1", "A02": "mixed"}


class TestDrawing:
    held = layout(B02="astro", B03="neuro", C02="co-culture", C10="astro")

    def test_the_layout_alone(self):
        assert draw_plate(self.held) == [
            "     2  3  4  5  6  7  8  9 10",
            "  B  A  N  .  .  .  .  .  .  .",
            "  C  C  .  .  .  .  .  .  .  A",
            "A = astro (2 wells), N = neuro (1 well), C = co-culture (1 well)",
        ]

    def test_beside_the_images(self):
        imaged = [WellKey("B", 2), WellKey("B", 3), WellKey("D", 4)]
        assert draw_plate(self.held, imaged) == [
            "     2  3  4  5  6  7  8  9 10",
            "  B  A  N  .  .  .  .  .  .  .",
            "  C  c  .  .  .  .  .  .  .  a",
            "  D  .  .  ?  .  .  .  .  .  .",
            "A = astro (2 wells), N = neuro (1 well), C = co-culture (1 well)",
            "small letter: no images (2 wells)",
            "?: images, but no culture in the layout (1 well)",
        ]

    def test_cultures_that_begin_alike(self):
        lines = draw_plate(layout(A01="neuro", A02="nerve", A03="n"))
        assert lines[1] == "  A N E A"


class TestAListOfSeveralPlates:
    TEXT = (
        "Plate ID,Well,Cell type\n"
        "Rep-1,A01,astro\nRep-1,A02,neuro\nrep 2,A01,neuro\nrep 2,B01,astro\n"
    )

    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "plates.csv"
        path.write_text(self.TEXT)
        return path

    def test_each_plate_reads_its_own_lines(self, path):
        own = {plate: read_layout(path, plate).cultures for plate in ("rep1", "rep2")}
        assert own == {
            "rep1": {WellKey("A", 1): "astro", WellKey("A", 2): "neuro"},
            "rep2": {WellKey("A", 1): "neuro", WellKey("B", 1): "astro"},
        }

    def test_a_plate_that_it_does_not_name_is_refused(self, path):
        with pytest.raises(UserError, match=r"Rep-1, rep 2, and none is called 'rep3'"):
            read_layout(path, "rep3")

    def test_the_name_does_not_matter_if_there_is_one_plate(self, path):
        path.write_text("plate,well,culture\n240611_x,A01,astro\n,A02,neuro\n")
        assert len(read_layout(path, "rep1", ["rep1", "rep2"]).cultures) == 2

    def test_but_a_list_of_another_plate_of_the_project_is_refused(self, path):
        path.write_text("plate,well,culture\nRep-1,A01,astro\nRep-1,A02,neuro\n")
        assert len(read_layout(path, "rep1", ["rep1", "rep2"]).cultures) == 2
        with pytest.raises(UserError, match="none is called 'rep2'"):
            read_layout(path, "rep2", ["rep1", "rep2"])

    def test_the_exact_name_comes_before_others_like_it(self, path):
        path.write_text("plate,well,culture\nrep1,A01,astro\nrep-1,A01,neuro\n")
        names = ["rep1", "rep-1"]
        own = {n: read_layout(path, n, names).cultures[WellKey("A", 1)] for n in names}
        assert own == {"rep1": "astro", "rep-1": "neuro"}

    def test_lines_of_plates_that_the_project_lacks_are_told(self, path):
        path.write_text(self.TEXT + "repl,B05,astro\n")
        (told,) = read_layout(path, "rep1", ["rep1", "rep2"]).doubts()
        assert told.startswith("lines of plate 'repl' are not used")

    @pytest.mark.parametrize("title", ["Plate No", "Plate number", "Platten-Nr."])
    def test_titles(self, path, title):
        path.write_text(self.TEXT.replace("Plate ID", title))
        assert len(read_layout(path, "rep1").cultures) == 2

    def test_a_line_without_a_plate_is_refused_with_its_number(self, path):
        path.write_text(self.TEXT + ",C01,astro\n")
        with pytest.raises(UserError, match="line 6 names none"):
            read_layout(path, "rep1")

    def test_empty_wells_and_notes_need_no_plate(self, path):
        path.write_text(self.TEXT + ",C01,empty\n,,seeded by Ada\n")
        assert len(read_layout(path, "rep1").cultures) == 2

    def test_the_cure_is_told_where_the_column_has_another_title(self, path):
        path.write_text(self.TEXT.replace("Plate ID", "Barcode"))
        with pytest.raises(UserError, match=r"named twice.*a column titled 'plate'"):
            read_layout(path, "rep1")
