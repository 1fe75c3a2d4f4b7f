"""Tables read and written."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from nucprof.errors import UserError
from nucprof.io import tables
from nucprof.io.tables import concatenate, read_table, write_table


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
        with pytest.raises(UserError, match=r"No field is left from which to write all\.parquet"):
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


@pytest.mark.parametrize(
    ("file", "old", "new"), [("history.csv", "number", "epoch"), ("attention.csv", "n", "cells")]
)
def test_a_column_of_the_previous_version_has_its_new_name(tmp_path, file, old, new):
    (tmp_path / file).write_text(f"{old},seconds\n3,1.5\n")
    assert list(read_table(tmp_path / file)) == [new, "seconds"]
    (tmp_path / "other.csv").write_text(f"{old}\n3\n")  # as of a marker of that name
    assert list(read_table(tmp_path / "other.csv")) == [old]
