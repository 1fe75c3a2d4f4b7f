"""Atomic writes and fingerprints."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucprof.errors import UserError
from nucprof.io import digest, files
from nucprof.io.digest import sha256
from nucprof.io.files import Fingerprint, atomic, read_json, write_json, write_text


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(files, "_FIRST_PAUSE_S", 0.0001)


class TestAtomic:
    def test_a_file_appears_whole_in_a_new_folder(self, tmp_path):
        target = tmp_path / "a" / "b" / "t.csv"
        with atomic(target) as temporary:
            assert temporary.parent == target.parent
            assert temporary.suffix == ".csv"  # writers choose their format by it
            temporary.write_text("1")
            assert not target.exists()
        assert target.read_text() == "1"
        assert list(target.parent.iterdir()) == [target]

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_nothing_is_left_of_an_error(self, tmp_path, error):
        target = tmp_path / "t.csv"

        def write():
            with atomic(target) as temporary:
                temporary.write_text("half")
                raise error

        with pytest.raises(error):
            write()
        assert list(tmp_path.iterdir()) == []

    def test_an_error_leaves_the_old_file(self, tmp_path):
        target = tmp_path / "t.csv"
        target.write_text("old")

        def write():
            with atomic(target) as temporary:
                temporary.write_text("new")
                raise RuntimeError

        with pytest.raises(RuntimeError):
            write()
        assert target.read_text() == "old"
        assert list(tmp_path.iterdir()) == [target]

    def test_a_file_held_open_is_tried_again(self, tmp_path, monkeypatch):
        target = tmp_path / "t.csv"
        refusals = iter([True, True, False])
        rename = Path.replace

        def replace(self, other):
            if next(refusals):
                raise PermissionError
            return rename(self, other)

        monkeypatch.setattr(Path, "replace", replace)
        write_text(target, "new")
        assert target.read_text() == "new"
        assert next(refusals, "used up") == "used up"

    def test_a_file_held_open_for_long_is_named_and_stays(self, tmp_path, monkeypatch):
        target = tmp_path / "t.csv"
        target.write_text("old")

        def replace(self, other):
            raise PermissionError

        monkeypatch.setattr(Path, "replace", replace)
        with pytest.raises(UserError, match="another program holds it open") as caught:
            write_text(target, "new")
        assert str(target) in str(caught.value)
        assert target.read_text() == "old"
        assert list(tmp_path.iterdir()) == [target]

    def test_text_is_the_same_on_every_system(self, tmp_path):
        write_text(tmp_path / "t", "µ\nm\n")
        assert (tmp_path / "t").read_bytes() == b"\xc2\xb5\nm\n"


class TestJson:
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
            lambda inner: st.lists(inner) | st.dictionaries(st.text("abµ"), inner),
        )
    )
    @settings(max_examples=30, deadline=None)
    def test_what_is_written_is_read(self, tmp_path_factory, value):
        path = tmp_path_factory.mktemp("json") / "v.json"
        write_json(path, value)
        assert read_json(path) == value

    @pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1', b"\xff\xfe"])
    def test_a_damaged_file_is_named(self, tmp_path, content):
        path = tmp_path / "v.json"
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"v\.json is damaged .* Move it away"):
            read_json(path)


class TestFingerprint:
    @pytest.fixture
    def file(self, tmp_path):
        path = tmp_path / "f.bin"
        path.write_bytes(b"content")
        return path

    @staticmethod
    def age(path, seconds):
        before = path.stat().st_mtime_ns
        os.utime(path, ns=(before + int(seconds * 1e9), before + int(seconds * 1e9)))

    @pytest.fixture
    def never(self):
        def hash_of(path):
            raise AssertionError("hashed without need")

        return hash_of

    def test_a_large_file_is_read_once_however_many_fields_it_holds(self, tmp_path, monkeypatch):
        # A plate in one .nd2 of 20 GB: every field of it would read all of it.
        plate, small = tmp_path / "plate.nd2", tmp_path / "field.tif"
        with plate.open("wb") as file:
            file.truncate(files.LARGE_BYTES)  # sparse: takes no place
        small.write_bytes(b"one field")
        read = []
        monkeypatch.setattr(files, "sha256", lambda path: read.append(path) or sha256(path))
        first = [Fingerprint.of(path) for path in (plate, small)]
        assert [Fingerprint.of(path) for path in (plate, small)] == first
        assert read == [plate, small, small]
        with plate.open("r+b") as file:
            file.write(b"changed")
        assert Fingerprint.of(plate).digest != first[0].digest
        assert read[3:] == [plate]
        # Nor do its fields read it one by one to see whether a copy is the same.
        known = Fingerprint.of(plate)
        self.age(plate, 10)
        assert all(known.matches(plate) for _ in range(3))
        assert read[4:] == [plate]

    def test_the_hash_is_sha256(self, file):
        assert sha256(file) == hashlib.sha256(b"content").hexdigest()

    def test_the_hash_is_the_same_before_python_3_11(self, file, monkeypatch):
        monkeypatch.setattr(digest, "_HAS_DIGEST", False)
        assert sha256(file) == hashlib.sha256(b"content").hexdigest()

    def test_an_untouched_file_is_not_read(self, file, never):
        assert Fingerprint.of(file).matches(file, never)

    def test_a_file_of_another_size_is_not_read(self, file, never):
        known = Fingerprint.of(file)
        file.write_bytes(b"content and more")
        assert not known.matches(file, never)

    def test_touched_without_change_is_the_same(self, file):
        known = Fingerprint.of(file)
        self.age(file, 10)
        assert known.matches(file)

    def test_other_content_of_the_same_size_differs(self, file):
        known = Fingerprint.of(file)
        file.write_bytes(b"CONTENT")
        self.age(file, 10)
        assert not known.matches(file)

    def test_a_missing_file_differs(self, file):
        known = Fingerprint.of(file)
        file.unlink()
        assert not known.matches(file)
        assert not known.matches(file / "below")

    def test_it_survives_json(self, file, tmp_path):
        known = Fingerprint.of(file)
        write_json(tmp_path / "f.json", known.to_json())
        assert Fingerprint(*read_json(tmp_path / "f.json")) == known
