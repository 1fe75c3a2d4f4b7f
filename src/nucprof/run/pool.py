"""A pool of workers that is replaced when one of them dies."""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from nucprof.errors import MachineError
from nucprof.machine import available_memory, cores, one_order_of_sums
from nucprof.run.workers import InThisProcess, WorkerProcesses, Workers, thread_limits

T = TypeVar("T")
U = TypeVar("U")

LOOK_EVERY_S = 2.0
"""While no job finishes, the workers are looked after this often."""

# Windows waits for no more than 63 handles, of which concurrent.futures keeps two.
_MOST_WORKERS = 61 if sys.platform == "win32" else 1024
_MEMORY_PER_WORKER = 2.5e9  # bytes; the largest worker (StarDist on a 2048 x 2048 field)
_ADVICE = "Use fewer --workers, or close other programs."


def worker_count(setting: int | str) -> int:
    """Workers for ``execution.workers``: auto: as many as cores and free memory allow."""
    if setting != "auto":
        return max(1, min(int(setting), _MOST_WORKERS))
    return max(1, min(cores(), int(available_memory() // _MEMORY_PER_WORKER), _MOST_WORKERS))


@dataclass(frozen=True)
class Died:
    """What comes of a call whose worker died, and died again when it was tried alone."""

    cause: str

    def __str__(self) -> str:
        return f"its worker process died twice; {self.cause}. {_ADVICE}"


@dataclass
class Pool:
    """Makes an executor, and replaces it when it breaks.

    Parameters
    ----------
    workers : int
        Jobs at a time.
    isolated : bool
        Whether work must not run in this process even with one worker.
    scheduler : str or None
        Address of a Dask cluster.
    timeout : float
        Seconds within which the cluster must answer.
    shared : tuple of Path
        Files that all workers of the cluster must see.
    """

    workers: int
    isolated: bool = False
    scheduler: str | None = None
    timeout: float = 30.0
    shared: tuple[Path, ...] = ()
    _kept: contextlib.ExitStack | None = field(default=None, init=False, repr=False)
    _held: Workers | None = field(default=None, init=False, repr=False)

    @property
    def threads(self) -> int:
        """Threads that one job may use, so that workers x threads = cores."""
        return max(1, cores() // self.workers)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Keep one executor open for everything inside the block.

        Its processes load a network only once.
        """
        with contextlib.ExitStack() as self._kept:
            try:
                yield
            finally:
                self._held = self._kept = None

    def renew(self) -> None:
        """Make a new executor next time: a process of this one has died."""
        self._held = None

    @contextlib.contextmanager
    def open(self) -> Iterator[Workers]:
        """Open an executor; closed, with its processes, when the block, or that of hold, ends."""
        if self._kept is None:
            with self._make() as executor:
                yield executor
            return
        if self._held is None:
            self._held = self._kept.enter_context(self._make())
        yield self._held

    def map(self, function: Callable[[T], U], items: Sequence[T]) -> list[U]:
        """Apply a function of a module to items, in the pool; the results in their order.

        Raises
        ------
        MachineError
            A worker process died, and again when its item was tried alone.
        """
        found: dict[int, Any] = dict(self.run(function, [(item,) for item in items]))
        for result in found.values():
            if isinstance(result, Died):
                raise MachineError(f"Work that every field needs was not done: {result}")
        return [found[index] for index in range(len(items))]

    def run(
        self,
        function: Callable[..., U],
        calls: Sequence[tuple[Any, ...]],
        *,
        stop_early: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[int, U | Died]]:
        """Call a function of a module, and yield index and result of each call as it finishes.

        Parameters
        ----------
        function : callable
            At module level, so that other processes find it. What it raises is raised.
        calls : sequence of tuple
            Its arguments.
        stop_early : callable
            Called before a call is started; once true, only running calls are finished.

        Notes
        -----
        At most two calls per worker are submitted at a time, so that memory does not grow with the
        plate. When a worker dies, all submitted calls are tried again, one at a time, to find the
        one that caused it; the others then continue in a new pool.
        """
        waiting = deque(enumerate(calls))
        while waiting:
            suspects: list[tuple[int, tuple[Any, ...]]] = []
            with self.open() as executor:
                yield from _drain(
                    executor, self.workers * 2, function, waiting, suspects, stop_early
                )
            if suspects or waiting:
                self.renew()
            yield from self._one_by_one(function, suspects)
            if stop_early():
                return

    def _one_by_one(
        self, function: Callable[..., U], suspects: Sequence[tuple[int, tuple[Any, ...]]]
    ) -> Iterator[tuple[int, U | Died]]:
        """Try calls again, one at a time."""
        alone = Pool(1, True, self.scheduler, self.timeout, self.shared)
        waiting = deque(suspects)
        while waiting:
            with alone.open() as executor:
                while waiting:
                    index, arguments = waiting.popleft()
                    future = executor.submit(_steadily, function, *arguments)
                    _await({future}, executor)
                    error = future.exception()
                    if error is None:
                        yield index, future.result()
                    elif executor.died(error):
                        yield index, Died(executor.cause())
                        break  # this executor is broken: the other calls need a new one
                    else:
                        raise error

    @contextlib.contextmanager
    def _make(self) -> Iterator[Workers]:
        if self.scheduler:
            from nucprof.run.dask import dask_workers

            with dask_workers(self.scheduler, self.timeout, self.shared) as workers:
                yield workers
        elif self.workers == 1 and not self.isolated:
            yield InThisProcess()
        else:
            with thread_limits(self.threads):
                processes = WorkerProcesses(self.workers)
                try:
                    yield processes
                except BaseException as error:
                    if not isinstance(error, Exception):  # an interrupt waits for nobody
                        processes.end()
                    raise
                finally:
                    processes.shutdown(wait=True, cancel_futures=True)


def _steadily(function: Callable[..., U], *arguments: Any) -> U:
    """Call a function so that its result does not depend on the worker that it runs in."""
    with one_order_of_sums():
        return function(*arguments)


def _drain(
    executor: Workers,
    most: int,
    function: Callable[..., U],
    waiting: deque[tuple[int, tuple[Any, ...]]],
    suspects: list[tuple[int, tuple[Any, ...]]],
    stop_early: Callable[[], bool],
) -> Iterator[tuple[int, U]]:
    flying: dict[Future, tuple[int, tuple[Any, ...]]] = {}
    while waiting or flying:
        while waiting and len(flying) < most and not suspects and not stop_early():
            call = waiting.popleft()
            try:
                flying[executor.submit(_steadily, function, *call[1])] = call
            except BrokenProcessPool:
                waiting.appendleft(call)
                break
            if isinstance(executor, InThisProcess):
                break
        if not flying:
            return
        for future in _await(set(flying), executor):
            call = flying.pop(future)
            error = future.exception()
            if error is None:
                yield call[0], future.result()
            elif executor.died(error):
                suspects.append(call)
            else:
                raise error


def _await(futures: set[Future], executor: Workers) -> set[Future]:
    """Wait for the first futures that are done, and look after the workers meanwhile."""
    while True:
        finished, _ = wait(futures, timeout=LOOK_EVERY_S, return_when=FIRST_COMPLETED)
        if finished:
            return finished
        executor.check()
