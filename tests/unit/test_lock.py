"""One writer per results folder."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import psutil
import pytest

from nucprof.errors import UserError
from nucprof.run.lock import locked

HERE = platform.node()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results" / ".lock"


def leave(path, **holder):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(holder))


def test_the_lock_is_there_while_it_is_held(path):
    with locked(path, "nucprof segment"):
        holder = json.loads(path.read_text())
        assert holder["pid"] == os.getpid()
        assert holder["command"] == "nucprof segment"
    assert not path.exists()


def test_the_lock_is_given_back_after_an_error(path):
    def fail():
        with locked(path, "x"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not path.exists()


def test_a_living_process_is_named(path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        born = psutil.Process(other.pid).create_time()
        leave(path, pid=other.pid, born=born, host=HERE, command="nucprof run-all", since="12:00")
        before = path.read_text()
        with pytest.raises(UserError) as caught, locked(path, "x"):
            pass
        other.communicate(b"\n")
    message = str(caught.value)
    assert f"process {other.pid} on {HERE} ('nucprof run-all', since 12:00)" in message
    assert str(path) in message
    assert path.read_text() == before


def test_the_lock_of_a_dead_process_is_taken_over(path):
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    born = psutil.Process(other.pid).create_time()
    other.communicate(b"\n")
    leave(path, pid=other.pid, born=born, host=HERE, command="nucprof run-all", since="12:00")
    with locked(path, "x"):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_another_process_of_the_same_number_is_not_the_holder(path):
    born = psutil.Process().create_time() - 3600
    leave(path, pid=os.getpid(), born=born, host=HERE, command="x", since="12:00")
    with locked(path, "x"):
        pass


def test_a_process_of_another_machine_cannot_be_asked(path):
    leave(path, pid=1, born=0.0, host="elsewhere", command="x", since="12:00")
    with pytest.raises(UserError, match="process 1 on elsewhere"), locked(path, "x"):
        pass
    assert path.exists()


@pytest.mark.parametrize("content", ["", '{"pid": 1', "[]", "{}"])
def test_a_torn_lock_is_taken_over(path, content):
    path.parent.mkdir()
    path.write_text(content)
    with locked(path, "x"):
        pass
    assert not path.exists()


@pytest.mark.parametrize("missing", ["pid", "born"])
def test_a_lock_that_names_no_process_is_taken_over(path, missing):
    holder = {"pid": os.getpid(), "born": psutil.Process().create_time(), "host": HERE}
    del holder[missing]
    leave(path, **holder)
    with locked(path, "x"):
        pass
