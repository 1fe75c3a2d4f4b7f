"""What must hold for any name, layout, and content of a state file."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucprof.core.registration import register
from nucprof.core.verdict import doubt, refusal
from nucprof.errors import UserError
from nucprof.io.layouts import read_layout
from nucprof.io.tables import neutral, original
from nucprof.plate.keys import FieldKey, WellKey, is_field, row_letters
from nucprof.plate.names import check_name, fault_of_class, fault_of_name, printable
from nucprof.run import journal
from nucprof.run.manifest import Manifest
from nucprof.run.places import Places

ANY = st.text(max_size=20)
RESULTS = Path("/lab/results").absolute()
PLACES = Places(RESULTS.parent, RESULTS)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)


def attempt(function, path):
    """What a function makes of a file, or None and the message with which it refuses it."""
    try:
        return function(path), ""
    except UserError as error:
        return None, str(error)


@dataclass(frozen=True)
class Record:
    cells: int = 0


@pytest.mark.kind("lost")
@given(ANY | st.from_regex(r"[.\\/:A-Za-z ]{1,12}", fullmatch=True))
def test_a_name_that_is_accepted_is_one_folder_below_the_results(name):
    if fault_of_name(name):
        with pytest.raises(UserError):
            check_name(name, "--name")
        return
    place = (RESULTS / "train" / name).resolve()
    assert place.parent == RESULTS / "train"
    assert place.name == name
    assert not set(name) & set('<>:"/\\|?*')
    assert name == name.strip(" .")


@pytest.mark.kind("unsafe")
@given(st.text(max_size=40))
def test_what_is_printed_has_no_control_characters(text):
    shown = printable(text)
    assert not [c for c in shown if unicodedata.category(c) == "Cc" and c not in "\n\t"]
    shown.encode("utf-8")


@pytest.mark.kind("unsafe")
@given(st.text(max_size=12).filter(lambda text: not text.startswith("'")))
def test_no_cell_of_a_csv_begins_like_a_formula_and_every_text_comes_back(text):
    assert not neutral(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert original(neutral(text)) == text


WELLS = st.builds(WellKey, st.integers(1, 32).map(row_letters), st.integers(1, 48))
CULTURES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12).map(
    lambda text: " ".join(text.split())
)


@pytest.mark.kind("silent")
@settings(max_examples=60, deadline=None)
@given(st.dictionaries(WELLS, CULTURES, min_size=1, max_size=6), st.sampled_from(",;\t"))
def test_a_list_of_wells_is_read_as_it_was_written_or_refused(tmp_path_factory, wells, separator):
    path = tmp_path_factory.mktemp("layout") / "layout.csv"
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator)
    writer.writerows([("well", "culture"), *((str(well), name) for well, name in wells.items())])
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    named = {well: name for well, name in wells.items() if name}
    layout, refusal = attempt(read_layout, path)
    if layout is None:
        separators = any(other in text.getvalue() for other in set(",;\t") - {separator})
        assert str(path) in refusal
        assert not named or separators or any(map(fault_of_class, named.values())), refusal
        return
    assert dict(layout.cultures) == named


@pytest.mark.kind("lost")
@settings(max_examples=60, deadline=None)
@given(st.lists(JSON | st.fixed_dictionaries({"plate": JSON, "field": JSON, "status": JSON})))
def test_no_journal_is_taken_for_more_than_it_is(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("journal") / "segment.jsonl"
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    found = journal.read(path, Record, PLACES)
    assert len(found.faults) + len(found.entries) <= len(values)
    for plate, field in found.entries:
        assert not plate or not fault_of_name(plate)
        assert not field or is_field(field)


@pytest.mark.kind("traceback")
@settings(max_examples=60, deadline=None)
@given(JSON | st.fixed_dictionaries({"schema": st.just(1), "stages": JSON, "cells": JSON}))
def test_any_json_in_the_place_of_the_manifest_is_read_or_told(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("results") / "manifest.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    found, refusal = attempt(Manifest.read, path)
    if found is None:
        assert "newer version" in refusal
    else:
        assert not (found.fault and found.stages)


def nuclei_at(points, levels, shape, shift, noise):
    """An image of round nuclei of 5 px radius, displaced by a shift."""
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    image = noise.normal(200, 20, shape)
    for (y, x), level in zip(points, levels, strict=True):
        away = np.hypot(yy - y - shift[0], xx - x - shift[1])
        image += level / (1 + np.exp(np.clip(2 * (away - 5), -50, 50)))
    return image


@pytest.mark.kind("silent")
@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**16),
    count=st.integers(1, 60),
    shown=st.floats(0.2, 1),
    shift=st.tuples(st.floats(-45, 45), st.floats(-45, 45)),
    shape=st.sampled_from([(128, 128), (120, 160), (150, 110)]),
)
def test_a_shift_is_found_or_refused(seed, count, shown, shift, shape):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-50, np.array(shape) + 50, (count, 2))
    levels = rng.uniform(300, 1500, count)
    seen = rng.random(count) < shown
    fixed = nuclei_at(points, levels, shape, (0, 0), rng)
    moving = nuclei_at(points[seen], levels[seen], shape, shift, rng)
    # of the shifts that are drawn, some lie beyond the 40 px that are searched
    found = register(fixed, moving, radius_px=5.0, max_shift_px=40)
    if refusal(found, "auto", 5.0):
        return
    away = np.hypot(found.shift_y - shift[0], found.shift_x - shift[1])
    assert away < 1.25 or doubt(found, "auto"), found


@pytest.mark.kind("silent")
@given(st.text(max_size=12))
def test_a_field_is_one_text_only(text):
    if is_field(text):
        assert str(FieldKey.parse(text)) == text
