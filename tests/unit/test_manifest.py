"""The manifest: what was done, with which versions."""

from __future__ import annotations

import json
import platform

import pytest

import nucprof
from nucprof.errors import UserError
from nucprof.run.manifest import SCHEMA, Manifest, StageRecord, versions


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results" / "manifest.json"


def test_no_manifest_is_empty(path):
    assert Manifest.read(path).stages == {}


def test_what_is_written_is_read(path):
    record = StageRecord(
        "failed",
        parameters={"segment.pmin": 1.0, "segment.channels": ["DNA"], "segment.model": None},
        overrides={"segment.pmin": 1.0},
        versions={"nucprof": "0.1"},
        models={"first": "abc"},
        counts={"done": 3},
        outputs={"images.csv": [3, 4, "abc"]},
        failures=[{"field": "A-01-01", "message": "µ"}],
        warnings=["w"],
        seconds=1.5,
    )
    manifest = Manifest(path, "plate", {"segment": record, "align": StageRecord("not needed")})
    manifest.write()
    assert Manifest.read(path) == manifest


def test_it_names_schema_and_version(path):
    Manifest(path, "plate").write()
    data = json.loads(path.read_text())
    assert data["schema"] == SCHEMA
    assert data["nucprof"] == nucprof.__version__
    assert data["project"] == "plate"


def test_a_newer_schema_is_refused(path):
    content = '{"schema": 999, "stages": {}}'
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(UserError, match="a newer version of nucprof") as caught:
        Manifest.read(path)
    assert str(path) in str(caught.value)
    assert path.read_text() == content


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "line 1"),
        ("[]", "valid dictionary"),
        ('{"stages": {}}', "schema"),
        ('{"schema": 1}', "stages"),
        ('{"schema": 1, "stages": []}', "stages"),
        ('{"schema": 1, "stages": {"segment": {}}}', "stages.segment.status"),
        ('{"schema": 1, "stages": {"a": {"status": "done", "counts": []}}}', "stages.a.counts"),
        (
            '{"schema": 1, "stages": {"a": {"status": "done", "outputs": {"../x": [1, 2, "h"]}}}}',
            "../x is not below the results",
        ),
        (
            '{"schema": 1, "stages": {"a": {"status": "done", "outputs": {"x": 1}}}}',
            "x has no size, time and hash",
        ),
        ('{"schema": 1, "stages": {}, "cells": [1]}', "cells"),
    ],
)
def test_a_damaged_manifest_is_empty_and_says_what_is_wrong(path, content, told):
    path.parent.mkdir()
    path.write_text(content)
    found = Manifest.read(path)
    assert found.stages == {}
    assert told in found.fault


def test_versions_of_what_decides_results():
    import numpy as np

    found = versions()
    assert found["nucprof"] == nucprof.__version__
    assert found["python"] == platform.python_version()
    assert found["numpy"] == np.__version__
    assert {"scikit-image", "stardist", "tensorflow", "torch", "tifffile"} <= set(found)
