"""A command that is told to end takes its workers with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = [
    pytest.mark.kind("hang"),
    pytest.mark.skipif(os.name != "posix", reason="sends signals of POSIX"),
]
SCRIPT = Path(__file__).parents[1] / "helpers" / "stoppable.py"
SECONDS = 60  # a command ends within 10; a busy machine is slower


def heed_signals():
    """In the child: a test run in the background (`nohup ... &`) ignores these, and so would it."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def running(tmp_path):
    """A command with two workers that never finish, in a process group of its own."""
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(tmp_path)],
        stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=heed_signals,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SCRIPT.parent), *sys.path])},
    )  # fmt: skip
    while len(list(tmp_path.iterdir())) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    yield process, [psutil.Process(int(path.name)) for path in tmp_path.iterdir()]
    process.kill()
    process.wait()


def gone(workers):
    return psutil.wait_procs(workers, timeout=SECONDS)[1] == []


@pytest.mark.parametrize(
    ("number", "said", "to"),
    [
        (signal.SIGINT, "Interrupted", os.kill),
        (signal.SIGINT, "Interrupted", os.killpg),  # Ctrl-C reaches the workers as well
        (signal.SIGTERM, "Stopped by SIGTERM", os.kill),
        (signal.SIGTERM, "Stopped by SIGTERM", os.killpg),
        (signal.SIGHUP, "Stopped by SIGHUP", os.kill),
    ],
)
def test_workers_end_with_the_command(running, number, said, to):
    process, workers = running
    to(process.pid, number)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + number
    assert f"{said}. Finished work is kept; run the command again" in err
    assert "Traceback" not in err
    assert gone(workers)


def test_workers_end_after_their_command_was_killed(running):
    process, workers = running
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=SECONDS)
    assert gone(workers)


BUSY = """
import time
from nucprof.cli import signals

signals._PATIENCE_S = 0.5
signals._stop = lambda number, frame: None  # as while a library computes, and Python cannot act
signals.install()
print("ready", flush=True)
while True:
    time.sleep(1)
"""


def test_a_command_ends_although_a_library_does_not_return():
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + signal.SIGTERM
