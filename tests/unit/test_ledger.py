"""The ledger: cells in are cells kept plus cells dropped, by stage and reason."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucprof.core.labels import encode_ids
from nucprof.errors import DataError
from nucprof.run.ledger import build, waterfall
from nucprof.stages.base import WHOLE, Entry

STAGES = ("segment", "align", "crop", "gate")
KEYS = [("rep1", "B-02-01"), ("rep1", "AA-123-07"), ("rep2", "B-02-01")]


def entry(key, status="done", reason="", objects=None, dropped=()):
    return Entry(
        *key,
        status,
        "",
        reason=reason,
        objects=None if objects is None else encode_ids(objects),
        dropped=[(*where, why, encode_ids(labels)) for where, why, labels in dropped],
    )


def rows(table):
    """Fate by plate and cell: an empty text for those kept."""
    return {
        (row.Metadata_Plate, row.Metadata_ROI_img_name): (row.status, row.stage, row.reason)
        for row in table.itertuples()
    }


class TestByHand:
    def test_a_row_per_segmented_cell(self):
        journals = [("segment", {KEYS[1]: entry(KEYS[1], objects=[1, 3, 12345, 70000])})]
        table = build(journals)
        assert table.to_dict("list") == {
            "Metadata_Plate": ["rep1"] * 4,
            "Metadata_Well": ["AA123"] * 4,
            "Metadata_Site": [7] * 4,
            "Metadata_ObjectNumber": [1, 3, 12345, 70000],
            "Metadata_ROI_img_name": [
                "AA-123-07_0001",
                "AA-123-07_0003",
                "AA-123-07_12345",
                "AA-123-07_70000",
            ],
            "status": ["kept"] * 4,
            "stage": [""] * 4,
            "reason": [""] * 4,
        }

    def test_the_first_stage_that_drops_a_cell_gives_its_reason(self):
        key = KEYS[0]
        journals = [
            ("segment", {key: entry(key, objects=[1, 2, 3, 4], dropped=[(key, "border", [2])])}),
            ("align", {key: entry(key, dropped=[(key, "outside_overlap", [2, 3])])}),
            ("gate", {key: entry(key, dropped=[(key, "filter", [3, 4])])}),
        ]
        assert list(rows(build(journals)).values()) == [
            ("kept", "", ""),
            ("dropped", "segment", "border"),
            ("dropped", "align", "outside_overlap"),
            ("dropped", "gate", "filter"),
        ]

    @pytest.mark.parametrize(
        ("status", "reason", "told"),
        [("excluded", "no_partner", "no_partner"), ("failed", "FieldError", "field_failed")],
    )
    def test_a_field_that_leaves_takes_its_remaining_cells(self, status, reason, told):
        key = KEYS[0]
        journals = [
            ("segment", {key: entry(key, objects=[1, 2], dropped=[(key, "border", [2])])}),
            ("align", {key: entry(key, status, reason)}),
        ]
        assert list(rows(build(journals)).values()) == [
            ("dropped", "align", told),
            ("dropped", "segment", "border"),
        ]

    def test_a_stage_of_one_job_drops_cells_of_many_fields(self):
        segmented = {key: entry(key, objects=[1, 2]) for key in KEYS}
        drops = [(KEYS[0], "filter", [1]), (KEYS[2], "filter", [2])]
        journals = [("segment", segmented), ("gate", {WHOLE: entry(WHOLE, dropped=drops)})]
        dropped = {cell for cell, fate in rows(build(journals)).items() if fate[0] == "dropped"}
        assert dropped == {("rep1", "B-02-01_0001"), ("rep2", "B-02-01_0002")}

    def test_the_same_key_on_two_plates_is_two_cells(self):
        segmented = {key: entry(key, objects=[1]) for key in (KEYS[0], KEYS[2])}
        drops = [(KEYS[2], "filter", [1])]
        table = build([("segment", segmented), ("gate", {KEYS[2]: entry(KEYS[2], dropped=drops)})])
        assert rows(table)["rep1", "B-02-01_0001"][0] == "kept"
        assert rows(table)["rep2", "B-02-01_0001"][0] == "dropped"

    def test_a_field_that_segmentation_could_not_do_has_no_cells(self):
        table = build([("segment", {KEYS[0]: entry(KEYS[0], "failed", "FieldError")})])
        assert len(table) == 0

    def test_no_cell_at_all_has_the_same_columns(self):
        empty = build([("segment", {KEYS[0]: entry(KEYS[0], objects=[])})])
        one = build([("segment", {KEYS[0]: entry(KEYS[0], objects=[1])})])
        assert build([]).dtypes.to_dict() == empty.dtypes.to_dict() == one.dtypes.to_dict()

    def test_dropping_a_cell_that_never_was_is_refused(self):
        key = KEYS[0]
        journals = [
            ("segment", {key: entry(key, objects=[1, 2])}),
            ("crop", {key: entry(key, dropped=[(key, "filter", [2, 9])])}),
        ]
        with pytest.raises(DataError, match=r"'crop' drops cells of rep1/B-02-01 .*\(\[9\]\)"):
            build(journals)

    def test_a_ledger_that_does_not_add_up_is_a_bug(self):
        table = build([("segment", {KEYS[0]: entry(KEYS[0], objects=[1, 2])})])
        table.loc[0, "status"] = "lost"
        with pytest.raises(RuntimeError, match="does not add up"):
            waterfall(table, STAGES)

    def test_the_waterfall(self):
        key = KEYS[0]
        journals = [
            (
                "segment",
                {key: entry(key, objects=range(1, 11), dropped=[(key, "border", [1, 2, 3])])},
            ),
            (
                "align",
                {
                    key: entry(
                        key, dropped=[(key, "lost_nucleus", [4]), (key, "outside_overlap", [5, 6])]
                    )
                },
            ),
        ]
        assert waterfall(build(journals), STAGES) == [
            ("segment", "segmented", 10),
            ("segment", "border", -3),
            ("align", "lost_nucleus", -1),
            ("align", "outside_overlap", -2),
            ("", "kept", 4),
        ]


labels = st.sets(st.integers(1, 10**6), max_size=30)


@st.composite
def histories(draw):
    """Cells by field, what each stage does to them, and the fate of each by a slow rule."""
    cells = {key: draw(labels) for key in KEYS}
    fate = {(key, label): None for key, held in cells.items() for label in held}
    journals = []
    for stage in STAGES:
        journal = {}
        for key in KEYS:
            held = sorted(cells[key])
            gone = draw(st.sets(st.sampled_from(held))) if held else set()
            status = (
                "done"
                if stage == "segment"
                else draw(st.sampled_from(["done", "excluded", "failed"]))
            )
            journal[key] = entry(
                key,
                status,
                reason="why",
                objects=held if stage == "segment" else None,
                dropped=[(key, "gone", gone)],
            )
            for label in held:
                if fate[key, label] is None and label in gone:
                    fate[key, label] = (stage, "gone")
                elif fate[key, label] is None and status != "done":
                    fate[key, label] = (stage, "why" if status == "excluded" else "field_failed")
        journals.append((stage, journal))
    return journals, fate


@given(histories())
@settings(max_examples=60, deadline=None)
def test_in_is_kept_plus_dropped_at_every_stage(history):
    journals, fate = history
    table = build(journals)
    found = {
        (
            (row.Metadata_Plate, row.Metadata_ROI_img_name.rpartition("_")[0]),
            row.Metadata_ObjectNumber,
        ): ((row.stage, row.reason) if row.status == "dropped" else None)
        for row in table.itertuples()
    }
    assert found == fate
    assert len(table) == len(fate)
    steps = waterfall(table, STAGES)
    assert steps[0] == ("segment", "segmented", len(fate))
    assert steps[-1] == ("", "kept", sum(value is None for value in fate.values()))
    assert steps[0][2] + sum(n for _, _, n in steps[1:-1]) == steps[-1][2]
    for stage, reason, count in steps[1:-1]:
        assert -count == sum(value == (stage, reason) for value in fate.values())


def test_it_is_stored_as_it_is(tmp_path):
    from nucprof.io.tables import read_table, write_table

    table = build([("segment", {key: entry(key, objects=[1, 70000]) for key in KEYS})])
    write_table(tmp_path / "cells.parquet", table)
    pd.testing.assert_frame_equal(read_table(tmp_path / "cells.parquet"), table)
