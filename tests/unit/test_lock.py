"""One writer per results folder."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys

import pytest

from nucprof.errors import UserError
from nucprof.run.lock import locked

HOLD = """
import sys
from pathlib import Path
from nucprof.errors import UserError
from nucprof.run.lock import locked
print("ready", flush=True)
input()
try:
    with locked(Path(sys.argv[1]), "nucprof run-all"):
        print("held", flush=True)
        input()
except UserError:
    print("refused", flush=True)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results" / ".lock"


@pytest.fixture
def taker(path):
    """Start a process that takes the lock when it is told to, and holds it until told again."""
    started = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def go_on(*processes):
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()


def test_the_holder_is_named_while_the_lock_is_held(path):
    with locked(path, "nucprof segment"):
        holder = json.loads((path.parent / ".lock.json").read_text())
        assert holder["pid"] == os.getpid()
        assert holder["command"] == "nucprof segment"
    assert not (path.parent / ".lock.json").exists()


def test_the_lock_is_given_back_after_an_error(path):
    def fail():
        with locked(path, "x"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with locked(path, "x"):
        pass


def test_a_living_process_is_named(path, taker):
    other = taker()
    go_on(other)
    assert other.stdout.readline() == "held\n"
    with pytest.raises(UserError) as caught, locked(path, "x"):
        pass
    who = f"process {other.pid} on {platform.node()} ('nucprof run-all', since "
    assert who in str(caught.value)
    go_on(other)
    other.wait()
    with locked(path, "x"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_of_many_takers_of_a_dead_lock_one_gets_it(path, taker):
    dead = taker()
    go_on(dead)
    assert dead.stdout.readline() == "held\n"
    dead.send_signal(signal.SIGKILL)
    dead.wait()
    takers = [taker() for _ in range(4)]
    go_on(*takers)
    assert sorted(process.stdout.readline() for process in takers) == ["held\n", *["refused\n"] * 3]


@pytest.mark.parametrize("content", ["", '{"pid": 1', "[]", '{"pid": 1, "host": "elsewhere"}'])
def test_a_file_that_nobody_holds_is_no_lock(path, content):
    path.parent.mkdir()
    path.write_text(content)
    (path.parent / ".lock.json").write_text(content)
    with locked(path, "x"):
        pass


def test_a_holder_that_has_not_named_itself_yet(path):
    with locked(path, "x"):
        (path.parent / ".lock.json").unlink()
        with (
            pytest.raises(UserError, match="is being written by another process"),
            locked(path, ""),
        ):
            pass


def test_a_run_that_was_killed_is_named_and_its_unfinished_files_are_removed(path):
    path.parent.mkdir()
    unfinished = path.parent / "masks" / ".tmp-17-B-02-01.tif"
    unfinished.parent.mkdir()
    unfinished.touch()
    held = {"pid": 17, "host": "here", "command": "nucprof run-all", "since": "yesterday"}
    (path.parent / ".lock.json").write_text(json.dumps(held))
    with locked(path, "x") as left:
        assert left.startswith("process 17 on here ('nucprof run-all', since yesterday) ended")
        assert not unfinished.exists()
    with locked(path, "x") as left:
        assert left == ""


def test_a_folder_that_cannot_be_written_to_needs_no_lock(path, monkeypatch):
    path.parent.mkdir()
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    with locked(path, "x", may_read_only=True) as left:
        assert left == ""
        assert list(path.parent.iterdir()) == []


def test_what_cannot_be_locked_is_said(path):
    path.mkdir(parents=True)
    with pytest.raises(UserError, match="cannot be locked"), locked(path, "x"):
        pass
