"""One writer per results folder."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from nucprof.errors import UserError


@contextmanager
def locked(path: Path, command: str) -> Iterator[None]:
    """Hold the lock of a results folder while the block runs.

    A lock left by a process of this machine that no longer lives is taken over.

    Raises
    ------
    UserError
        Another process holds it; the message names process, machine and command.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = {
        "pid": os.getpid(),
        "born": psutil.Process().create_time(),
        "host": platform.node(),
        "command": command,
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    if path.exists() and not _alive(path):
        path.unlink(missing_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            json.dump(mine, file)
    except FileExistsError:
        raise UserError(_held(path)) from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, object]:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _alive(path: Path) -> bool:
    holder = _read(path)
    if not holder:
        return False  # torn: its writer died while writing it
    if holder.get("host") != platform.node():
        return True  # cannot be asked from here
    try:
        born = psutil.Process(int(str(holder["pid"]))).create_time()
        return bool(abs(born - float(str(holder["born"]))) < 1.0)
    except (psutil.NoSuchProcess, KeyError, ValueError):
        return False


def _held(path: Path) -> str:
    holder = _read(path)
    return (
        f"{path.parent} is being written by process {holder.get('pid')} on {holder.get('host')} "
        f"('{holder.get('command')}', since {holder.get('since')}). Wait for it, or stop it; "
        f"if it is gone, delete {path}."
    )
