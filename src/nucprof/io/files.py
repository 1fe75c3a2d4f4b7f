"""Atomic writes and fingerprints of files."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from nucprof.errors import UserError
from nucprof.io.digest import sha256
from nucprof.refusals import TEMPORARY, naming, temporary_name

#: From this size on, a file is hashed once per process: it cannot be rewritten within the
#: resolution of its time.
LARGE_BYTES = 64 << 20

_RETRIES = 6
_FIRST_PAUSE_S = 0.05


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Write to a temporary name next to ``path``, then rename it to ``path``.

    Nothing appears at ``path`` when the block raises. A target that another program holds open
    (Excel on Windows) is retried for a few seconds, then named in a :class:`UserError`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays at the end: writers choose their format by it.
    temporary = path.with_name(temporary_name(path.name, os.getpid()))
    try:
        with naming(path):
            yield temporary
        replace(temporary, path)
    finally:
        with suppress(OSError):  # the error that brought us here says more
            temporary.unlink(missing_ok=True)


def remove_temporary(folder: Path) -> None:
    """Remove the unfinished files of processes that were killed."""
    for path in folder.rglob(f"{TEMPORARY}*"):
        path.unlink(missing_ok=True)


def replace(source: Path, target: Path) -> None:
    """Rename ``source`` to ``target``, retrying while another program holds the target open."""
    pause = _FIRST_PAUSE_S
    for _ in range(_RETRIES):
        try:
            source.replace(target)
            return
        except PermissionError:
            time.sleep(pause)
            pause *= 2
    raise UserError(
        f"{target} cannot be written: another program holds it open. "
        "Close it there (Excel, Fiji) and run the command again; the file is unchanged."
    )


def is_there(path: Path) -> bool:
    """Whether a file is there.

    Raises :class:`OSError` where a folder has its name, or its folder is a file.
    """
    for wrong, number in ((path.is_dir(), errno.EISDIR), (path.parent.is_file(), errno.ENOTDIR)):
        if wrong:
            raise OSError(number, os.strerror(number), str(path))
    return path.is_file()


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) atomically; bytes of names that are not UTF-8 become escapes.

    In JSON these escapes are read back as the same name.
    """
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json(path: Path, value: Any, *, indent: int | None = 2) -> None:
    """Write JSON atomically."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file that nucprof wrote; raises :class:`UserError` if it is broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is damaged ({error}). Move it away; nucprof then makes it again."
        ) from None


def is_fingerprint(value: Any) -> bool:
    """Whether a JSON value is what :meth:`Fingerprint.to_json` returns."""
    return (
        isinstance(value, list | tuple)
        and len(value) == 3
        and all(isinstance(number, int) for number in value[:2])
        and isinstance(value[2], str)
    )


def content_hash(path: Path) -> str:
    """SHA-256 of a file; a large one, which may hold many fields, is read once per process."""
    status = path.stat()
    if status.st_size < LARGE_BYTES:
        return sha256(path)
    return _hash_of_large(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=1024)
def _hash_of_large(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    return sha256(path)


@dataclass(frozen=True)
class Fingerprint:
    """Size, time and hash of a file, to find out whether it has changed."""

    size: int
    mtime_ns: int
    digest: str

    def to_json(self) -> list[Any]:
        """As a JSON list."""
        return [self.size, self.mtime_ns, self.digest]

    @classmethod
    def of(cls, path: Path) -> Fingerprint:
        """Fingerprint a file as it is now."""
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, content_hash(path))

    def matches(self, path: Path, hash_of: Callable[[Path], str] = content_hash) -> bool:
        """Whether the file is unchanged; hashed only if the size is equal but the time differs."""
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        if status.st_size != self.size:
            return False
        return status.st_mtime_ns == self.mtime_ns or hash_of(path) == self.digest
