"""One writer per results folder."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nucprof.errors import UserError
from nucprof.io.files import write_json


@contextmanager
def locked(path: Path, command: str) -> Iterator[None]:
    """Hold the lock of a results folder while the block runs.

    The operating system keeps the lock, and frees it whenever the process ends. A file next to it
    names the holder.

    Raises
    ------
    UserError
        Another process holds it; the message names process, machine and command. Or the file
        system has no locks.
    """
    from filelock import FileLock, Timeout  # not needed if nothing is written

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
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _holder(path: Path) -> Path:
    """The file that names the holder of a lock."""
    return path.with_name(f"{path.name}.json")


def _held(path: Path) -> str:
    try:
        found = json.loads(_holder(path).read_text(encoding="utf-8"))
        who = (
            f"process {found['pid']} on {found['host']} ('{found['command']}', since "
            f"{found['since']})"
        )
    except (OSError, ValueError, KeyError, TypeError):
        who = "another process"  # which has not written its name yet
    return f"{path.parent} is being written by {who}. Wait for it, or stop it."
