"""Journals: every finished job is on disk, a torn line costs that line only."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucprof.run import journal
from nucprof.stages.base import Entry

texts = st.text(st.characters(codec="utf-8"), max_size=8)
numbers = st.integers(-(10**9), 10**9)
entries = st.builds(
    Entry,
    plate=st.sampled_from(["rep1", "001", "µ"]),
    field=st.sampled_from(["A-01-01", "A-01-02", "AA-123-07", ""]),
    status=st.sampled_from(["done", "excluded", "failed"]),
    definition=texts,
    reason=texts,
    message=texts,
    record=st.dictionaries(texts, numbers | texts, max_size=2),
    objects=st.none() | texts,
    dropped=st.lists(st.lists(texts, min_size=4, max_size=4), max_size=2),
    warnings=st.lists(texts, max_size=2),
    inputs=st.dictionaries(texts, st.lists(numbers, max_size=3), max_size=2),
    outputs=st.dictionaries(texts, st.lists(numbers, max_size=3), max_size=2),
    seconds=st.floats(0, 1e6),
)


def entry(number, **values):
    return Entry("rep1", f"A-01-{number:02d}", "done", f"definition {number}", **values)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal" / "segment.jsonl"


def test_no_journal_no_entry(path):
    assert journal.read(path) == {}


@given(st.lists(entries, max_size=6))
@settings(max_examples=40, deadline=None)
def test_the_newest_entry_of_every_job_is_read(tmp_path_factory, made):
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    for item in made:
        journal.append(path, item)
    newest = {item.key: item for item in made}
    assert journal.read(path) == newest
    journal.rewrite(path, newest.values())
    assert journal.read(path) == newest
    assert len(path.read_bytes().splitlines()) == len(newest)


@given(st.lists(entries, min_size=1, max_size=4), st.data())
@settings(max_examples=60, deadline=None)
def test_a_journal_cut_anywhere_loses_only_its_last_lines(tmp_path_factory, made, data):
    """A killed run: what was appended before the cut is read, what comes after it too."""
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    ends = []
    for item in made:
        journal.append(path, item)
        ends.append(path.stat().st_size)
    cut = data.draw(st.integers(0, ends[-1]))
    path.write_bytes(path.read_bytes()[:cut])
    # a line without its line break is whole
    kept = [item for item, end in zip(made, ends, strict=True) if end - 1 <= cut]
    assert journal.read(path) == {item.key: item for item in kept}
    later = dataclasses.replace(made[0], plate="later")
    journal.append(path, later)
    assert journal.read(path) == {item.key: item for item in [*kept, later]}


def test_a_torn_last_line_is_closed_before_the_next(path):
    journal.append(path, entry(1))
    with path.open("ab") as file:
        file.write(b'{"plate":"rep1","field":"A-01-02","sta')
    journal.append(path, entry(3))
    assert [key[1] for key in journal.read(path)] == ["A-01-01", "A-01-03"]
    assert len(path.read_bytes().split(b"\n")) == 4  # three lines, one torn, and the end


@pytest.mark.parametrize("line", [b"{}", b"[1]", b"null", b'"x"', b'{"unknown": 1}', b"\xff\xfe"])
def test_a_line_that_is_no_entry_is_ignored(path, line):
    journal.append(path, entry(1))
    with path.open("ab") as file:
        file.write(line + b"\n")
    journal.append(path, entry(2))
    assert list(journal.read(path)) == [("rep1", "A-01-01"), ("rep1", "A-01-02")]


def test_a_line_separator_in_a_message_is_no_line_break(path):
    # U+2028 and U+0085 end lines for str.splitlines
    made = entry(1, message="one\u2028two\u0085three\nfour\rfive")
    journal.append(path, made)
    assert journal.read(path)[made.key].message == made.message
