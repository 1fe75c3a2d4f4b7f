"""What all ways to run a job share, and the processes of this machine.

Worker processes end with their parent, however it ends, and leave signals to it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

_ENDED_BY_PARENT = (-signal.SIGTERM, 0, None)
_SECONDS_TO_END = 2.0
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class Workers(Executor):
    """An executor that says whether a worker has died, and whether all are still there."""

    def check(self) -> None:
        """Raise an error if no job can finish any more; called now and then while waiting."""

    def died(self, error: BaseException) -> bool:
        """Whether a job raised this because its worker has died."""
        return False

    def cause(self) -> str:
        """Why a worker died, as far as that is known."""
        return "the likely cause is too little memory"


class InThisProcess(Workers):
    """Runs one job after the other, here."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Run now; the future is done when this returns."""
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - a future carries whatever was raised
            future.set_exception(error)
        return future


class WorkerProcesses(Workers, ProcessPoolExecutor):
    """Processes of this machine, started anew (spawn) on every system."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers, multiprocessing.get_context("spawn"), initializer=_begin)
        self._seen: set[multiprocessing.process.BaseProcess] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Start a job in a free process, which may be started for it."""
        with _signals_wait():
            future = super().submit(fn, *args, **kwargs)
        self._seen.update(multiprocessing.active_children())
        return future

    def died(self, error: BaseException) -> bool:
        """Whether a process of this executor has died."""
        return isinstance(error, BrokenProcessPool)

    def cause(self) -> str:
        """Why a process died, by its exit status."""
        for process in self._seen:
            with contextlib.suppress(ValueError):  # closed
                status = _exit_status(process)
                if status not in _ENDED_BY_PARENT:
                    return _cause(status or 0)
        return super().cause()

    def end(self) -> None:
        """End all processes now, with whatever they are doing."""
        for process in multiprocessing.active_children():
            process.terminate()


def _exit_status(process: multiprocessing.process.BaseProcess) -> int | None:
    """The exit status of a process that ends now.

    The executor's thread waits for it too. If that thread learns the status first, there is none
    here until it has written it down.
    """
    until = time.monotonic() + _SECONDS_TO_END
    process.join(_SECONDS_TO_END)
    while process.exitcode is None and time.monotonic() < until:
        time.sleep(0.01)
    return process.exitcode


def _cause(status: int) -> str:
    if status > 0:
        return f"it ended with exit status {status}, as after a crash in a library"
    name = signal.Signals(-status).name
    if name == "SIGKILL":
        return "the system killed it (SIGKILL), most likely for lack of memory"
    return f"it crashed in a library ({name})"


def _begin() -> None:
    """Prepare a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends them
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Hold signals back while a process is started, which inherits this until it is prepared.

    Without it, Ctrl-C shows a traceback of every worker that is just starting.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def thread_limits(threads: int) -> Iterator[None]:
    """Set the thread limits that processes started inside the block inherit."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
