"""Field and cell keys: parsed by a parser, any label and any well (METHOD fault 13)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucprof.errors import UserError
from nucprof.plate.keys import (
    FieldKey,
    FieldSelector,
    WellKey,
    cell_key,
    parse_cell_key,
    row_letters,
)

rows = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=2)
fields = st.builds(FieldKey, rows, st.integers(1, 9999), st.integers(1, 999_999))


@given(fields)
def test_a_field_key_survives_its_text(field):
    assert FieldKey.parse(str(field)) == field


@given(rows, st.integers(1, 9999))
def test_a_well_key_survives_its_text(row, column):
    assert WellKey.parse(str(WellKey(row, column))) == WellKey(row, column)


@given(fields, st.integers(0, 2**32 - 1))
def test_a_cell_key_survives_its_text(field, label):
    assert parse_cell_key(cell_key(field, label)) == (field, label)


@given(st.lists(st.tuples(fields, st.integers(1, 2**32 - 1)), unique=True))
def test_different_cells_have_different_keys(cells):
    assert len({cell_key(*cell) for cell in cells}) == len(cells)


@pytest.mark.parametrize(
    ("text", "row", "column", "site"),
    [
        ("B-02-01", "B", 2, 1),
        ("B-02", "B", 2, 1),  # a name without a site is site 1
        ("AA-123-07", "AA", 123, 7),
        ("b-2-1", "B", 2, 1),
        (" P-24-1000 ", "P", 24, 1000),
    ],
)
def test_field_texts(text, row, column, site):
    assert FieldKey.parse(text) == FieldKey(row, column, site)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (FieldKey("B", 2), "B-02-01"),
        (FieldKey("AA", 123, 7), "AA-123-07"),
        (FieldKey("A", 1, 100), "A-01-100"),
    ],
)
def test_field_keys_are_file_stems(field, text):
    assert str(field) == text


@pytest.mark.parametrize(
    "text", ["B02", "", "B-02-01_0001", "2-B-01", "ABC-02-01", "B-x-01", "B-02-"]
)
def test_what_is_no_field_is_named(text):
    with pytest.raises(
        UserError, match="is not a field; a field is written row-column-site"
    ) as caught:
        FieldKey.parse(text)
    assert f"'{text}'" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "well"), [("B02", "B02"), ("b2", "B02"), ("B-02", "B02"), ("AA03", "AA03")]
)
def test_well_texts(text, well):
    assert str(WellKey.parse(text)) == well


@pytest.mark.parametrize("text", ["", "02", "B", "B02-01", "ABC01"])
def test_what_is_no_well_is_named(text):
    with pytest.raises(UserError, match="is not a well; a well is written like B02"):
        WellKey.parse(text)


def test_a_fields_well():
    assert FieldKey("AA", 3, 9).well == WellKey("AA", 3)


def test_fault_13_labels_and_wells_of_more_digits_than_the_published_slices_allow():
    # The published scripts cut names at character positions: the last 4 are the label, the first 7
    # the field. Both cuts lose digits here.
    key = cell_key(FieldKey("AA", 123, 7), 12345)
    assert key == "AA-123-07_12345"
    assert parse_cell_key(key) == (FieldKey("AA", 123, 7), 12345)
    assert parse_cell_key("B-02-01_70000") == (FieldKey("B", 2, 1), 70000)


def test_a_label_is_padded_to_four_digits():
    assert cell_key("B-02-01", 7) == "B-02-01_0007"


@pytest.mark.parametrize(
    "text", ["B-02-01", "B-02-01_", "B-02_0001", "B-02-01_-001", "B-02-01_00x1", ""]
)
def test_what_is_no_cell_key_is_named(text):
    with pytest.raises(UserError, match="is not a cell key; one is written like B-02-01_0001"):
        parse_cell_key(text)


def test_row_letters_count_as_spreadsheets_do():
    assert [row_letters(n) for n in (1, 2, 26, 27, 32, 52, 53, 702)] == [
        "A", "B", "Z", "AA", "AF", "AZ", "BA", "ZZ",
    ]  # fmt: skip


def test_keys_sort_by_row_then_number():
    texts = ["B-02-10", "B-02-02", "A-12-01", "B-10-01"]
    assert [str(key) for key in sorted(map(FieldKey.parse, texts))] == [
        "A-12-01", "B-02-02", "B-02-10", "B-10-01",
    ]  # fmt: skip


class TestSelector:
    @pytest.mark.parametrize(
        ("text", "plate", "field", "chosen"),
        [
            ("B02", "rep1", "B-02-01", True),
            ("B02", "rep1", "B-02-07", True),
            ("B02", "rep1", "B-03-01", False),
            ("b2", "rep1", "B-02-01", True),
            ("B-02-07", "rep1", "B-02-07", True),
            ("B-02-07", "rep1", "B-02-01", False),
            ("rep1/B02", "rep1", "B-02-01", True),
            ("rep1/B02", "rep2", "B-02-01", False),
            ("rep2/B-02-01", "rep2", "B-02-01", True),
        ],
    )
    def test_wells_and_fields(self, text, plate, field, chosen):
        assert FieldSelector((text,)).matches(plate, FieldKey.parse(field)) is chosen

    def test_nothing_named_chooses_nothing(self):
        assert not FieldSelector(()).matches("rep1", FieldKey("B", 2))

    def test_names_that_match_nothing_are_told(self):
        known = [("rep1", FieldKey("B", 2)), ("rep1", FieldKey("B", 3, 2))]
        selector = FieldSelector(("B02", "C02", "B-03-01", "rep2/B02"))
        assert selector.unmatched(known) == ["C02", "B-03-01", "rep2/B02"]

    def test_a_wrong_name_is_refused_at_once(self):
        with pytest.raises(UserError, match="'B02x' is not a well"):
            FieldSelector(("B02x",))
