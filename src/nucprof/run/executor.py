"""Where work runs: in this process, in worker processes, or on a Dask cluster."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from nucprof.core.labels import encode_ids
from nucprof.errors import FieldExcluded, NucprofError, UserError
from nucprof.io.files import Fingerprint
from nucprof.machine import available_memory, cores
from nucprof.refusals import explain
from nucprof.stages.base import Entry, Job, Outcome

T = TypeVar("T")
U = TypeVar("U")

_DASK_ANSWERS_WITHIN = "20s"
_MEMORY_PER_WORKER = 2.5e9  # bytes; the largest worker (StarDist on a 2048 x 2048 field)
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


def worker_count(setting: int | str) -> int:
    """Workers for ``execution.workers``: auto: as many as cores and free memory allow."""
    if setting != "auto":
        return max(1, int(setting))
    return max(1, min(cores(), int(available_memory() // _MEMORY_PER_WORKER)))


class SerialExecutor(Executor):
    """An executor that runs in this process, one job after the other."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Run now; the future is done when this returns."""
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - a future carries whatever was raised
            future.set_exception(error)
        return future


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
    """

    workers: int
    isolated: bool = False
    scheduler: str | None = None
    _kept: contextlib.ExitStack | None = field(default=None, init=False, repr=False)
    _held: Executor | None = field(default=None, init=False, repr=False)

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
    def open(self) -> Iterator[Executor]:
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
        NucprofError
            A worker process died.
        """
        with self.open() as executor:
            try:
                return list(executor.map(function, items))
            except BrokenProcessPool:
                self.renew()
                raise NucprofError(
                    "A worker process died; the likely cause is too little memory. Use fewer "
                    "--workers, or close other programs."
                ) from None

    @contextlib.contextmanager
    def _make(self) -> Iterator[Executor]:
        if self.scheduler:
            with _dask_executor(self.scheduler) as executor:
                yield executor
        elif self.workers == 1 and not self.isolated:
            yield SerialExecutor()
        else:
            with thread_limits(self.threads):
                executor = ProcessPoolExecutor(self.workers, multiprocessing.get_context("spawn"))
                try:
                    yield executor
                finally:
                    executor.shutdown(wait=True, cancel_futures=True)


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


@contextlib.contextmanager
def _dask_executor(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client
    except ImportError:
        raise UserError(
            "execution.scheduler needs Dask; install it with: pip install 'nucprof[cluster]'"
        ) from None
    try:
        client = Client(address, timeout=_DASK_ANSWERS_WITHIN)
    except OSError as error:
        raise UserError(f"No Dask scheduler answers at {address}: {error}.") from None
    with client, client.get_executor(pure=False) as executor:
        yield executor


Work = Callable[[Any], Outcome[Any]]


def perform(work: Work, job: Job, definition: str) -> Entry:
    """Do one job and return its entry. Runs in a worker.

    A :class:`UserError` does not concern only this field and is raised, as is a refusal to write
    into the results; after any other error the job has failed.
    """
    started = time.perf_counter()
    entry = functools.partial(Entry, job.plate, job.field, definition=definition)

    def failed(error: Exception, known: NucprofError | None) -> Entry:
        trace = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
        return entry(
            status="failed",
            reason=type(known or error).__name__,
            message=trace if known is None else str(known),
            seconds=_since(started),
        )

    try:
        inputs = {
            str(path): Fingerprint.of(path).to_json() if path.is_file() else None
            for path in job.inputs
        }
        outcome = work(job)
        outputs = {
            str(path): Fingerprint.of(path).to_json() for path in job.outputs if path.exists()
        }
    except UserError:
        raise
    except OSError as error:
        refusal = explain(error)
        if isinstance(refusal, UserError) and not _is_input(error, job):
            raise refusal from error  # of the results folder: it concerns all fields
        return failed(error, refusal)
    except FieldExcluded as error:
        return entry(
            status="excluded",
            reason=error.reason,
            message=str(error),
            record=error.record,
            inputs=inputs,
            seconds=_since(started),
        )
    except NucprofError as error:
        return failed(error, error)
    except Exception as error:  # noqa: BLE001 - recorded, with its traceback, as the field's failure
        return failed(error, explain(error))
    return entry(
        status="done",
        record=outcome.record,
        objects=None if outcome.objects is None else encode_ids(outcome.objects),
        dropped=[(d.plate, d.field, d.reason, encode_ids(d.labels)) for d in outcome.dropped],
        warnings=list(outcome.warnings),
        inputs=inputs,
        outputs=outputs,
        seconds=_since(started),
    )


def _is_input(error: OSError, job: Job) -> bool:
    return error.filename is not None and Path(os.fsdecode(error.filename)) in job.inputs


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 3)


def run_jobs(
    pool: Pool, work: Work, jobs: Sequence[tuple[Job, str]], *, stop_early: Callable[[], bool]
) -> Iterator[Entry]:
    """Run jobs and yield their entries as they finish.

    Parameters
    ----------
    pool : Pool
        Where to run.
    work : callable
        The work function of the stage; at module level, so that other processes find it.
    jobs : sequence of (Job, str)
        Jobs and their definitions.
    stop_early : callable
        Called before a job is started; once true, only running jobs are finished.

    Notes
    -----
    At most two jobs per worker are submitted at a time, so that memory does not grow with the
    plate. When a worker process dies, all submitted jobs are tried again, one at a time, to find
    the one that caused it; the others then continue in a new pool.
    """
    waiting = deque(jobs)
    while waiting:
        suspects: list[tuple[Job, str]] = []
        with pool.open() as executor:
            yield from _drain(executor, pool.workers * 2, work, waiting, suspects, stop_early)
        if suspects or waiting:
            pool.renew()
        yield from _one_by_one(pool, work, suspects)
        if stop_early():
            return


def _drain(
    executor: Executor,
    most: int,
    work: Work,
    waiting: deque[tuple[Job, str]],
    suspects: list[tuple[Job, str]],
    stop_early: Callable[[], bool],
) -> Iterator[Entry]:
    flying: dict[Future, tuple[Job, str]] = {}
    while waiting or flying:
        while waiting and len(flying) < most and not suspects and not stop_early():
            job, definition = waiting.popleft()
            try:
                flying[executor.submit(perform, work, job, definition)] = (job, definition)
            except BrokenProcessPool:
                waiting.appendleft((job, definition))
                break
            if isinstance(executor, SerialExecutor):
                break
        if not flying:
            return
        finished, _ = wait(flying, return_when=FIRST_COMPLETED)
        for future in finished:
            item = flying.pop(future)
            error = future.exception()
            if error is None:
                yield future.result()
            elif _worker_died(error):
                suspects.append(item)
            else:
                raise error


def _worker_died(error: BaseException) -> bool:
    return isinstance(error, BrokenProcessPool) or type(error).__name__ == "KilledWorker"


def _one_by_one(pool: Pool, work: Work, suspects: list[tuple[Job, str]]) -> Iterator[Entry]:
    """Try jobs again, one at a time; a job whose worker dies again has failed."""
    alone = Pool(1, isolated=True, scheduler=pool.scheduler)
    waiting = deque(suspects)
    while waiting:
        with alone.open() as executor:
            while waiting:
                job, definition = waiting.popleft()
                future = executor.submit(perform, work, job, definition)
                error = future.exception()
                if error is None:
                    yield future.result()
                elif _worker_died(error):
                    yield _dead(job, definition)
                    break  # this executor is broken: the other jobs need a new one
                else:
                    raise error


def _dead(job: Job, definition: str) -> Entry:
    return Entry(
        job.plate,
        job.field,
        "failed",
        definition,
        reason="worker_died",
        message=f"{job.name}: its worker process died twice; the likely cause is too little "
        "memory. Use fewer --workers, or close other programs.",
    )
