"""Journals: every finished job is on disk, a torn line costs that line only."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucprof.core.labels import encode_ids
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
    return journal.read(path, Record, PLACES).entries


texts = st.text(st.characters(codec="utf-8"), max_size=8)
numbers = st.integers(-(10**9), 10**9)
labels = st.sets(st.integers(0, 10**9), max_size=6).map(encode_ids)
known = st.tuples(numbers, numbers, texts).map(list)
names = st.text("abcäµ 0", min_size=1, max_size=4)


def paths(*folders):
    """Paths of files in one of these folders."""
    return st.builds(
        lambda folder, name: str(folder / (name.strip() or "x")), st.sampled_from(folders), names
    )


read_from = paths(PLACES.results, PLACES.root / "CP", Path("/elsewhere").absolute())
entries = st.builds(
    Entry,
    plate=st.sampled_from(["rep1", "001", "µ"]),
    field=st.sampled_from(["A-01-01", "A-01-02", "AA-123-07", ""]),
    status=st.sampled_from(["done", "excluded", "failed"]),
    definition=texts,
    reason=texts,
    message=texts,
    record=st.none() | st.builds(Record, numbers, texts),
    objects=st.none() | labels,
    dropped=st.lists(st.tuples(texts, texts, texts, labels), max_size=2),
    warnings=st.lists(texts, max_size=2),
    inputs=st.dictionaries(read_from, st.none() | known, max_size=2),
    outputs=st.dictionaries(paths(PLACES.results), known, max_size=2),
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
    one, two, three = [1, 2, "a"], [3, 4, "b"], [5, 6, "c"]
    append(path, entry(1, inputs={str(raw): one, str(far): two}, outputs={str(mask): three}))
    new = Places(Path("/new").absolute(), Path("/new/results").absolute())
    (found,) = journal.read(path, Record, new).entries.values()
    assert found.inputs == {str(new.root / "CP" / "a.tif"): one, str(far): two}
    assert found.outputs == {str(new.results / "masks" / "p" / "a.tif"): three}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"status": "dnoe"}, "status: 'dnoe' is none of done, excluded, failed"),
        ({"plate": "../CP"}, "plate: '../CP' is no plate"),
        ({"field": "A-1-1"}, "field: 'A-1-1' is no field"),
        ({"objects": "1-"}, "objects: '1-' is no list of labels"),
        ({"dropped": [["p", "A-01-01", "border", "x"]]}, "dropped: 'x' is no list of labels"),
        ({"outputs": {"<results>/../CP/a.tif": [1, 2, "a"]}}, "is not below the results"),
        ({"outputs": {"/etc/passwd": [1, 2, "a"]}}, "is not below the results"),
        ({"outputs": {"<results>/a": [1, 2]}}, "has no size, time and hash"),
        ({"record": {"number": "many"}}, "number: Input should be a valid integer"),
        ({"seconds": None}, "seconds: Input should be a valid number"),
    ],
)
def test_what_does_not_fit_is_named(path, change, told):
    append(path, entry(1, record=Record(7)))
    line = json.loads(path.read_text())
    path.write_text(json.dumps({**line, **change}) + "\n")
    (fault,) = journal.read(path, Record, PLACES).faults
    assert fault.startswith("line 1: ")
    assert told in fault


def test_a_torn_line_is_no_damage(path):
    append(path, entry(1))
    path.write_bytes(path.read_bytes()[:-20])
    assert journal.read(path, Record, PLACES) == journal.Journal()
