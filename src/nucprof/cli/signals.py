"""Signals that end a command: SIGINT, SIGTERM, and where they exist SIGHUP and SIGBREAK.

Each of them is raised as :class:`KeyboardInterrupt` in the main thread, so that files, worker
processes and the lock are cleaned up on the way out. Where Python cannot get on with that, because
a library computes for long, the process is ended after some seconds; results are intact at any
time, and worker processes end with their parent (:mod:`nucprof.run.workers`).
"""

from __future__ import annotations

import os
import signal
import threading
import time
import types

STOPPED = 128
"""The exit status of a command that a signal ended is this and the signal's number."""

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_PATIENCE_S = 8.0
_received: list[signal.Signals] = []


def install() -> None:
    """Handle the signals from now on; for a process that is a command."""
    for name in _NAMES:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as with nohup
            signal.signal(number, _stop)
    _watch()


def received() -> signal.Signals:
    """The first signal that has asked this command to end."""
    return _received[0] if _received else signal.SIGINT


def status() -> int:
    """The exit status of a command that a signal has ended."""
    return STOPPED + received()


def _stop(number: int, frame: types.FrameType | None) -> None:
    if not _received:  # a second signal must not interrupt the cleaning up
        _received.append(signal.Signals(number))
        raise KeyboardInterrupt


def _watch() -> None:
    """End the process some seconds after a signal, even while the main thread is in a library.

    Python's own handlers run in the main thread only, between two steps of Python; the number of
    the signal is written into a pipe at once.
    """
    reading, writing = os.pipe()
    if os.name == "posix":  # elsewhere the system does not ask for it
        os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    known = {int(getattr(signal, name)) for name in _NAMES if hasattr(signal, name)}

    def wait() -> None:
        while not (asked := known & set(os.read(reading, 64))):
            pass
        time.sleep(_PATIENCE_S)
        os._exit(STOPPED + min(asked))

    threading.Thread(target=wait, name="signals", daemon=True).start()
