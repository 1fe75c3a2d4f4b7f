"""The refusals of the operating system in words: space, permission, names, open files, memory."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nucprof.errors import MachineError, NucprofError, UserError

_AGAIN = "Run the command again afterwards; finished work is kept."
_SHARE = "the disk or network share does not answer"
_SHARE_NEXT = f"Check the connection. {_AGAIN}"
_OPEN = "Use fewer --workers, or raise the limit (ulimit -n)."
_PROCESSES = "Use fewer --workers, or close other programs."

#: Refusals that have nothing to do with what the user asked for: what happened, what to do next.
_MACHINE: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("no space is left", f"Free some space. {_AGAIN}"),
    errno.EFBIG: (
        "the file would become larger than the system allows",
        f"Raise the limit (ulimit -f), or write to another disk. {_AGAIN}",
    ),
    errno.EMFILE: ("too many files are open", _OPEN),
    errno.ENFILE: ("too many files are open", _OPEN),
    errno.EAGAIN: ("the system starts no more processes", _PROCESSES),
    errno.EIO: (_SHARE, _SHARE_NEXT),
    errno.ETIMEDOUT: (_SHARE, _SHARE_NEXT),
    errno.ENODEV: (_SHARE, _SHARE_NEXT),
    errno.ENXIO: (_SHARE, _SHARE_NEXT),
}
for _name, _words in {
    "EDQUOT": ("your share of the disk is used up", f"Free some space. {_AGAIN}"),
    "ESTALE": (_SHARE, _SHARE_NEXT),
    "EHOSTDOWN": (_SHARE, _SHARE_NEXT),
    "EHOSTUNREACH": (_SHARE, _SHARE_NEXT),
    "ENOTCONN": (_SHARE, _SHARE_NEXT),
    "EREMOTEIO": (_SHARE, _SHARE_NEXT),
}.items():
    if hasattr(errno, _name):  # not every system has every number
        _MACHINE[getattr(errno, _name)] = _words

#: Refusals of a path that the user can change.
_PATH: dict[int, tuple[str, str]] = {
    errno.EROFS: ("the file system is read-only", "Choose a place that you may write to."),
    errno.EACCES: ("permission is denied", "Change its permissions, or choose another place."),
    errno.EPERM: ("permission is denied", "Change its permissions, or choose another place."),
    errno.ENAMETOOLONG: ("the name is too long", "Choose a shorter name or place."),
    errno.ENOTDIR: ("a part of this path is a file", "Name a path through folders only."),
    errno.EISDIR: ("it is a folder, where a file is expected", "Move it away, or name a file."),
    errno.EEXIST: ("something of this name is in the way", "Move it away, or choose another name."),
    errno.ENOENT: ("it does not exist", "Check the path, or make it first."),
    errno.ELOOP: ("its links lead in a circle", "Name the real place."),
    errno.EINVAL: ("the system does not accept it", "Check the name and the kind of disk."),
    errno.EBUSY: ("another program holds it", "Close it there and run the command again."),
    errno.ENOTEMPTY: ("the folder is not empty", "Move it away, or choose another name."),
    errno.EXDEV: ("it is on another disk", "Choose a place on the same disk."),
}
_WINDOWS = {
    112: errno.ENOSPC,  # disk full
    123: errno.EINVAL,  # a name with forbidden characters
    206: errno.ENAMETOOLONG,
}
_NO_MEMORY = "Use fewer --workers, close other programs, or use a machine with more memory."
# What the loader and the threads of the system say where memory or processes run out.
_LOADER = ("failed to map segment", "cannot allocate memory", "paging file is too small")
_THREADS = "can't start new thread"


def explain(error: BaseException) -> NucprofError | None:
    """Turn a refusal of the operating system into an error with a message.

    Returns
    -------
    MachineError
        Space, size limit, open files, processes, memory, a network share that is gone.
    UserError
        A path that the user can change: read-only, no permission, a name too long, a folder where a
        file is expected.
    None
        It is no refusal of the operating system.
    """
    text = str(error)
    if isinstance(error, MemoryError):
        detail = f" ({text})" if text else ""
        return MachineError(f"There is not enough memory{detail}. {_NO_MEMORY}")
    if isinstance(error, ImportError) and any(words in text.lower() for words in _LOADER):
        return MachineError(f"There is not enough memory to load a library. {_NO_MEMORY}")
    if isinstance(error, RuntimeError) and _THREADS in text:
        return MachineError(f"The system starts no more threads. {_PROCESSES}")
    if isinstance(error, OSError):
        return _explain_os(error)
    return None


def _explain_os(error: OSError) -> NucprofError | None:
    number = _WINDOWS.get(getattr(error, "winerror", None) or 0, error.errno)
    if number == errno.ENOMEM:
        return MachineError(f"There is not enough memory. {_NO_MEMORY}")
    where = _where(error)
    if number in _MACHINE:
        what, then = _MACHINE[number]
        return MachineError(f"{where} cannot be read or written: {what}. {then}")
    if number in _PATH:
        what, then = _PATH[number]
        return UserError(f"{where} cannot be read or written: {what}. {then}")
    return None


def _where(error: OSError) -> str:
    """The file of a refusal; of a temporary one (`.tmp-<process>-<name>`), the file it becomes."""
    name = error.filename2 or error.filename
    if name is None or isinstance(name, int):
        return "A file, or the output of this command,"
    path = Path(name.decode(errors="replace") if isinstance(name, bytes) else str(name))
    return str(path.with_name(final_name(path.name)) if path.name else path)


TEMPORARY = ".tmp-"


def temporary_name(name: str, process: int) -> str:
    """The name under which a process writes a file before it is renamed; the suffix stays."""
    return f"{TEMPORARY}{process}-{name}"


def final_name(name: str) -> str:
    """The inverse of :func:`temporary_name`; other names stay."""
    return name.split("-", 2)[2] if name.startswith(TEMPORARY) and name.count("-") > 1 else name


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put a path into refusals that have none: those of writing to a file that is open."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise
