"""One writer per results folder."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nucprof.errors import UserError
from nucprof.io.files import remove_temporary, write_json


@contextmanager
def locked(path: Path, command: str, *, may_read_only: bool = False) -> Iterator[str]:
    """Hold the lock of a results folder while the block runs.

    The operating system keeps the lock, and frees it whenever the process ends. A file next to it
    names the holder.

    Parameters
    ----------
    path, command
        The lock's file, and what is run.
    may_read_only
        Whether the block may run without a lock in a folder that cannot be written to. Whatever it
        writes there is then refused by the system.

    Yields
    ------
    A line about a holder that ended without giving the lock back, or an empty text.

    Raises
    ------
    UserError
        Another process holds it; the message names process, machine and command. Or the file
        system has no locks.
    """
    from filelock import FileLock, Timeout  # not needed if nothing is written

    if may_read_only and is_read_only(path.parent):
        yield ""
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(_held(path)) from None
    except (NotImplementedError, OSError) as error:
        raise UserError(
            f"{path} cannot be locked ({error}). Choose a project.output that you may write to, on "
            "a disk whose file system has locks."
        ) from None
    holder = _holder(path)
    left = _left_behind(holder)
    if left:
        remove_temporary(path.parent)
    try:
        write_json(
            holder,
            {
                "pid": os.getpid(),
                "host": platform.node(),
                "command": command,
                "since": time.strftime("%Y-%m-%d %H:%M:%S"),
            },
        )
        yield left
    finally:
        with suppress(OSError):  # the error that brought us here says more
            holder.unlink(missing_ok=True)
        lock.release()


def _holder(path: Path) -> Path:
    """The file that names the holder of a lock."""
    return path.with_name(f"{path.name}.json")


def is_read_only(folder: Path) -> bool:
    """Whether a folder exists to which this process cannot write."""
    effective = os.access in os.supports_effective_ids
    return folder.is_dir() and not os.access(folder, os.W_OK, effective_ids=effective)


def _left_behind(holder: Path) -> str:
    if not holder.is_file():
        return ""
    return (
        f"{_named(holder)} ended without finishing; what it finished is kept, and the rest is done "
        "now."
    )


def _held(path: Path) -> str:
    return f"{path.parent} is being written by {_named(_holder(path))}. Wait for it, or stop it."


def _named(holder: Path) -> str:
    """The process that a holder's file names."""
    try:
        found = json.loads(holder.read_text(encoding="utf-8"))
        return (
            f"process {found['pid']} on {found['host']} ('{found['command']}', since "
            f"{found['since']})"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # which has not written its name yet
