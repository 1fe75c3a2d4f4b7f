"""Workers of a Dask cluster: found within a time limit, asked what they see, and watched."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from nucprof.errors import MachineError, UserError
from nucprof.io.digest import sha256
from nucprof.run.workers import Workers
from nucprof.version import __version__

_ADDRESS = re.compile(r"(?:(tcp|tls|wss?)://)?(\[[0-9a-fA-F:.]+\]|[\w.\-]+):(\d{1,5})")
_FORM = "give it as tcp://HOST:PORT, e.g. tcp://node1:8786, as 'dask scheduler' prints it"
_ASK_EVERY_S = 0.5
_KEPT = "Finished fields are kept; start the cluster and run the command again."


class DaskWorkers(Workers):
    """The workers of a cluster, through its client."""

    def __init__(self, client: Any, address: str, timeout: float) -> None:
        self._client = client
        self._address = address
        self._timeout = timeout
        self._lost_since: float | None = None
        self._remote: dict[Future, Any] = {}

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Send a job to the cluster."""
        future: Future = Future()
        remote = self._client.submit(fn, *args, pure=False, **kwargs)
        self._remote[future] = remote
        remote.add_done_callback(functools.partial(self._pass_on, future))
        return future

    def _pass_on(self, future: Future, remote: Any) -> None:
        self._remote.pop(future, None)
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(remote.result())
        except Exception as error:  # noqa: BLE001 - a future carries whatever was raised
            lost = remote.status in ("cancelled", "lost")
            future.set_exception(self._gone("went away") if lost else error)

    def died(self, error: BaseException) -> bool:
        """Whether the workers died that were given a job."""
        return type(error).__name__ == "KilledWorker"

    def check(self) -> None:
        """Raise :class:`MachineError` if scheduler or workers have been gone for the time limit."""
        if self._client.status != "running":
            what = "no longer answers"
        elif not self._client.scheduler_info()["workers"]:
            what = "has lost all its workers"
        else:
            self._lost_since = None
            return
        self._lost_since = self._lost_since or time.monotonic()
        if time.monotonic() - self._lost_since >= self._timeout:
            raise self._gone(f"{what}, for {self._timeout:g} s (execution.timeout)")

    def _gone(self, what: str) -> MachineError:
        return MachineError(f"The Dask scheduler {self._address} {what}. {_KEPT}")

    def cancel(self) -> None:
        """Give up the jobs that are not finished."""
        for remote in list(self._remote.values()):
            with contextlib.suppress(Exception):  # the cluster may have gone
                remote.release()


@contextlib.contextmanager
def dask_workers(address: str, timeout: float, shared: Sequence[Path] = ()) -> Iterator[Workers]:
    """Connect to a cluster; closed when the block ends.

    Parameters
    ----------
    address : str
        Of its scheduler.
    timeout : float
        Seconds within which the scheduler must answer and have a worker that answers.
    shared : sequence of Path
        Files that every worker must see as this process does.

    Raises
    ------
    UserError
        ``distributed`` is not installed, the address is no address, nothing answers there, there is
        no worker, or a worker has another version of nucprof or does not see the files.
    """
    try:
        from distributed import Client
    except ImportError:
        raise UserError(
            "execution.scheduler needs Dask; install it with: pip install 'nucprof[cluster]'"
        ) from None
    for name in ("distributed", "distributed.client"):  # what they log is in our errors
        logging.getLogger(name).setLevel(logging.CRITICAL)
    _check_address(address)
    end = time.monotonic() + timeout
    _await_workers(address, timeout)
    try:
        client = Client(address, timeout=max(1.0, end - time.monotonic()), set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(_no_answer(address, timeout, str(error))) from None
    workers = DaskWorkers(client, address, timeout)
    try:
        _check_workers(client, end, shared)
        yield workers
    finally:
        workers.cancel()
        with contextlib.suppress(Exception):  # a scheduler that is gone cannot be left politely
            client.close(timeout=2)


def _check_address(address: str) -> None:
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match[3]) < 65536:
        raise UserError(f"execution.scheduler = {address!r} is no address; {_FORM}.")


def _await_workers(address: str, timeout: float) -> None:
    """Ask the scheduler who it is until it has a worker.

    Dask's own client waits without limit for a server that accepts and never answers.
    """
    told: dict[str, Any] = {}

    async def ask() -> None:
        from distributed.core import rpc

        async with rpc(address) as scheduler:
            while not told.get("workers") and told.get("type", "Scheduler") == "Scheduler":
                told.update(await scheduler.identity())
                await asyncio.sleep(0 if told.get("workers") else _ASK_EVERY_S)

    async def within() -> None:
        await asyncio.wait_for(ask(), timeout)

    reason = ""
    try:
        asyncio.run(within())
    except (asyncio.TimeoutError, TimeoutError):
        pass
    except Exception as error:  # noqa: BLE001 - bytes of some other server can raise anything
        reason = f"{type(error).__name__}: {error}"
    if not told:
        raise UserError(_no_answer(address, timeout, reason))
    if told.get("type") != "Scheduler":
        raise UserError(f"{address} is a Dask {told.get('type')}, not the scheduler; {_FORM}.")
    if not told.get("workers"):
        raise UserError(
            f"The Dask scheduler {address} has had no worker for {timeout:g} s "
            "(execution.timeout). Start workers: dask worker " + address
        )


def _no_answer(address: str, timeout: float, reason: str) -> str:
    match = _ADDRESS.fullmatch(address)
    assert match is not None
    try:
        with socket.create_connection((match[2].strip("[]"), int(match[3])), timeout=2):
            tried = "something accepts connections there, but does not answer as Dask does"
    except OSError as error:
        tried = f"nothing can be reached there ({error})"
    more = f" ({reason})" if reason else ""
    return (
        f"No Dask scheduler answers at {address} within {timeout:g} s (execution.timeout): "
        f"{tried}{more}. Check the address ({_FORM}), and that the scheduler runs."
    )


def _check_workers(client: Any, end: float, shared: Sequence[Path]) -> None:
    """Ask every worker for its version of nucprof, and whether it sees the same files."""
    wanted = {str(path): sha256(path) for path in shared}
    asked = {
        worker: client.submit(what_is_seen, list(wanted), workers=[worker], pure=False)
        for worker in client.scheduler_info()["workers"]
    }
    for worker, future in asked.items():
        _check_worker(worker, future, wanted, max(1.0, end - time.monotonic()))


def _check_worker(worker: str, future: Any, wanted: Mapping[str, str], timeout: float) -> None:
    error = None
    with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
        error = future.exception(timeout=timeout)
    if error is not None:
        raise UserError(
            f"The Dask worker {worker} cannot run nucprof ({type(error).__name__}: {error}). "
            f"Install nucprof {__version__} there, in the environment of the worker."
        )
    if future.status != "finished":
        raise UserError(f"The Dask worker {worker} does not answer. Restart it, or leave it out.")
    version, seen = future.result()
    if version != __version__:
        raise UserError(
            f"The Dask worker {worker} has nucprof {version}, this is {__version__}; results would "
            "be mixed. Install the same version everywhere."
        )
    for path, known in wanted.items():
        if seen[path] != known:
            what = "does not see" if seen[path] is None else "sees another content of"
            raise UserError(
                f"The Dask worker {worker} {what} {path}. All workers need the project's folders "
                "under the same paths: use a shared file system, or run without "
                "execution.scheduler."
            )


def what_is_seen(paths: Sequence[str]) -> tuple[str, dict[str, str | None]]:
    """The version of nucprof and the hash of files, in a worker."""
    return __version__, {p: sha256(Path(p)) if Path(p).is_file() else None for p in paths}
