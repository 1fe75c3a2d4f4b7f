"""Plate layouts, and tables read and written."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from nucprof.errors import UserError
from nucprof.io import tables
from nucprof.io.tables import concatenate, read_layout, read_table, write_table
from nucprof.plate.keys import WellKey


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

    def test_semicolons_of_a_german_excel(self, tmp_path):
        path = tmp_path / "l.csv"
        path.write_text(";1;2\nA;astro;neuro\n")
        with pytest.raises(UserError, match=re.escape(str(path))):
            read_layout(path)

    def test_no_such_sheet(self, tmp_path):
        path = write_xlsx(tmp_path / "l.xlsx", {"B": ["a", "b", "c"]}, sheet="Sheet1")
        with pytest.raises(UserError, match='The layout belongs in a sheet "Culture"') as caught:
            read_layout(path)
        assert str(path) in str(caught.value)

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


class TestTables:
    table = pd.DataFrame(
        {
            "plate": ["001", "002"],
            "well": ["B02", "B03"],
            "true_condition": ["NA", "neuro"],
            "value": [0.1, np.nan],
            "count": [3, 4],
        }
    )

    @pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
    def test_what_is_written_is_read(self, tmp_path, name):
        # a plate called 001 is no number, a class called NA is not missing
        write_table(tmp_path / name, self.table)
        pd.testing.assert_frame_equal(read_table(tmp_path / name), self.table)

    @pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
    def test_some_columns(self, tmp_path, name):
        write_table(tmp_path / name, self.table)
        read = read_table(tmp_path / name, ["plate", "value"])
        pd.testing.assert_frame_equal(read, self.table[["plate", "value"]])

    def test_lines_end_the_same_everywhere(self, tmp_path):
        write_table(tmp_path / "t.csv", self.table)
        assert (tmp_path / "t.csv").read_bytes().count(b"\r") == 0

    def test_a_missing_table(self, tmp_path):
        with pytest.raises(
            UserError, match=r"There is no table .*t\.csv; run the stage that makes it"
        ):
            read_table(tmp_path / "t.csv")


class TestConcatenate:
    def parts(self, folder, counts):
        paths = []
        for number, count in enumerate(counts):
            table = pd.DataFrame(
                {
                    "name": pd.Series([f"{number}-{i}" for i in range(count)], dtype="str"),
                    "value": np.arange(count, dtype=np.float64),
                    "label": np.arange(count, dtype=np.int64),
                }
            )
            paths.append(folder / f"{number}.parquet")
            write_table(paths[-1], table)
        return paths

    def test_rows_of_all_parts_in_order(self, tmp_path):
        rows = concatenate(self.parts(tmp_path, [2, 3]), tmp_path / "all.parquet")
        assert rows == 5
        table = read_table(tmp_path / "all.parquet")
        assert table["name"].tolist() == ["0-0", "0-1", "1-0", "1-1", "1-2"]
        assert table["value"].tolist() == [0, 1, 0, 1, 2]
        assert table["label"].dtype == np.int64

    def test_many_small_parts_share_row_groups(self, tmp_path, monkeypatch):
        monkeypatch.setattr(tables, "GROUP_ROWS", 10)
        counts = [3, 4, 0, 5, 1, 25, 2]
        assert concatenate(self.parts(tmp_path, counts), tmp_path / "all.parquet") == 40
        groups = pq.ParquetFile(tmp_path / "all.parquet").metadata
        rows = [groups.row_group(k).num_rows for k in range(groups.num_row_groups)]
        assert rows == [12, 26, 2]
        expected = [f"{n}-{i}" for n, count in enumerate(counts) for i in range(count)]
        assert read_table(tmp_path / "all.parquet")["name"].tolist() == expected

    @pytest.mark.parametrize("counts", [[0, 2], [2, 0, 1], [0]])
    def test_parts_without_rows_keep_the_schema(self, tmp_path, counts):
        assert concatenate(self.parts(tmp_path, counts), tmp_path / "all.parquet") == sum(counts)
        table = read_table(tmp_path / "all.parquet")
        assert list(table.columns) == ["name", "value", "label"]
        assert pd.api.types.is_string_dtype(table["name"])
        assert table["value"].dtype == np.float64

    def test_what_only_the_whole_project_knows_is_added(self, tmp_path):
        def add(part):
            return part.assign(target=pd.Series(["astro"] * len(part), dtype="str"))

        concatenate(self.parts(tmp_path, [0, 2]), tmp_path / "all.parquet", add)
        assert read_table(tmp_path / "all.parquet")["target"].tolist() == ["astro", "astro"]

    def test_a_part_all_of_whose_targets_are_missing(self, tmp_path, monkeypatch):
        monkeypatch.setattr(tables, "GROUP_ROWS", 1)

        # the first field of a plate without layout decides the schema, the second has a target
        def add(part):
            culture = None if part["name"].str.startswith("0").any() else "astro"
            return part.assign(target=pd.Series([culture] * len(part), dtype="str"))

        concatenate(self.parts(tmp_path, [1, 2]), tmp_path / "all.parquet", add)
        target = read_table(tmp_path / "all.parquet")["target"]
        assert target.isna().tolist() == [True, False, False]
        assert target.tolist()[1:] == ["astro", "astro"]

    def test_no_part_at_all(self, tmp_path):
        with pytest.raises(UserError, match=r"No field is left to write all\.parquet from"):
            concatenate([], tmp_path / "all.parquet")
        assert list(tmp_path.iterdir()) == []

    def test_parts_of_different_schema_leave_the_old_table(self, tmp_path):
        target = tmp_path / "all.parquet"
        write_table(target, pd.DataFrame({"old": [1]}))
        first, second = self.parts(tmp_path, [1, 1])
        write_table(second, pd.DataFrame({"another": [1.0]}))
        with pytest.raises(ValueError, match="another"):
            concatenate([first, second], target)
        assert read_table(target)["old"].tolist() == [1]
        assert sorted(p.name for p in tmp_path.iterdir()) == [
            "0.parquet",
            "1.parquet",
            "all.parquet",
        ]
