"""Journals: every finished job is on disk, a torn line costs that line only."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucprof.run import journal
from nucprof.run.places import Places
from nucprof.stages.base import Entry

PLACES = Places(Path("/lab/project").absolute(), Path("/lab/project/results").absolute())


@dataclass(frozen=True)
class Record:
    """A record with a number and a text."""

    number: int = 0
    text: str = ""


def append(path, entry):
    journal.append(path, entry, PLACES)


def read(path):
    return journal.read(path, Record, PLACES)


texts = st.text(st.characters(codec="utf-8"), max_size=8)
numbers = st.integers(-(10**9), 10**9)
names = st.text("abcäµ 0", min_size=1, max_size=4)
paths = st.builds(
    lambda folder, name: str(folder / name.strip()) if name.strip() else str(folder / "x"),
    st.sampled_from([PLACES.results, PLACES.root / "CP", Path("/elsewhere").absolute()]),
    names,
)
entries = st.builds(
    Entry,
    plate=st.sampled_from(["rep1", "001", "µ"]),
    field=st.sampled_from(["A-01-01", "A-01-02", "AA-123-07", ""]),
    status=st.sampled_from(["done", "excluded", "failed"]),
    definition=texts,
    reason=texts,
    message=texts,
    record=st.none() | st.builds(Record, numbers, texts),
    objects=st.none() | texts,
    dropped=st.lists(st.tuples(texts, texts, texts, texts), max_size=2),
    warnings=st.lists(texts, max_size=2),
    inputs=st.dictionaries(paths, st.none() | st.lists(numbers, max_size=3), max_size=2),
    outputs=st.dictionaries(paths, st.lists(numbers, max_size=3), max_size=2),
    seconds=st.floats(0, 1e6),
)


def entry(number, **values):
    return Entry("rep1", f"A-01-{number:02d}", "done", f"definition {number}", **values)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal" / "segment.jsonl"


def test_no_journal_no_entry(path):
    assert read(path) == {}


@given(st.lists(entries, max_size=6))
@settings(max_examples=40, deadline=None)
def test_the_newest_entry_of_every_job_is_read(tmp_path_factory, made):
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    for item in made:
        append(path, item)
    newest = {item.key: item for item in made}
    assert read(path) == newest
    journal.rewrite(path, newest.values(), PLACES)
    assert read(path) == newest
    assert len(path.read_bytes().splitlines()) == len(newest)


@given(st.lists(entries, min_size=1, max_size=4), st.data())
@settings(max_examples=60, deadline=None)
def test_a_journal_cut_anywhere_loses_only_its_last_lines(tmp_path_factory, made, data):
    """A killed run: what was appended before the cut is read, what comes after it too."""
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    ends = []
    for item in made:
        append(path, item)
        ends.append(path.stat().st_size)
    cut = data.draw(st.integers(0, ends[-1]))
    path.write_bytes(path.read_bytes()[:cut])
    # a line without its line break is whole
    kept = [item for item, end in zip(made, ends, strict=True) if end - 1 <= cut]
    assert read(path) == {item.key: item for item in kept}
    later = dataclasses.replace(made[0], plate="later")
    append(path, later)
    assert read(path) == {item.key: item for item in [*kept, later]}


def test_a_torn_last_line_is_closed_before_the_next(path):
    append(path, entry(1))
    with path.open("ab") as file:
        file.write(b'{"plate":"rep1","field":"A-01-02","sta')
    append(path, entry(3))
    assert [key[1] for key in read(path)] == ["A-01-01", "A-01-03"]
    assert len(path.read_bytes().split(b"\n")) == 4  # three lines, one torn, and the end


@pytest.mark.parametrize("line", [b"{}", b"[1]", b"null", b'"x"', b'{"unknown": 1}', b"\xff\xfe"])
def test_a_line_that_is_no_entry_is_ignored(path, line):
    append(path, entry(1))
    with path.open("ab") as file:
        file.write(line + b"\n")
    append(path, entry(2))
    assert list(read(path)) == [("rep1", "A-01-01"), ("rep1", "A-01-02")]


def test_a_line_separator_in_a_message_is_no_line_break(path):
    # U+2028 and U+0085 end lines for str.splitlines
    made = entry(1, message="one\u2028two\u0085three\nfour\rfive")
    append(path, made)
    assert read(path)[made.key].message == made.message


@pytest.mark.parametrize(
    "change",
    [{"status": "finished"}, {"record": {"number": "many"}}, {"outputs": 3}, {"plate": None}],
)
def test_an_entry_that_does_not_fit_is_ignored(path, change):
    append(path, entry(1, record=Record(7)))
    line = json.loads(path.read_text())
    path.write_text(json.dumps({**line, **change}) + "\n")
    assert read(path) == {}


def test_paths_move_with_the_project(path):
    mask = PLACES.results / "masks" / "p" / "a.tif"
    raw = PLACES.root / "CP" / "a.tif"
    far = Path("/elsewhere/a.tif").absolute()
    append(path, entry(1, inputs={str(raw): [1], str(far): [2]}, outputs={str(mask): [3]}))
    new = Places(Path("/new").absolute(), Path("/new/results").absolute())
    (found,) = journal.read(path, Record, new).values()
    assert found.inputs == {str(new.root / "CP" / "a.tif"): [1], str(far): [2]}
    assert found.outputs == {str(new.results / "masks" / "p" / "a.tif"): [3]}


def test_a_path_that_climbs_out_of_the_results_is_seen_to_be_outside(path):
    append(path, entry(1, outputs={str(PLACES.results / "x"): [1]}))
    path.write_text(path.read_text().replace("<results>/x", "<results>/../CP/a.tif"))
    (found,) = read(path).values()
    (out,) = found.outputs
    assert not Path(out).is_relative_to(PLACES.results)
