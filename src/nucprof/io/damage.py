"""Reading files that may be damaged: whatever a library raises becomes one message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nucprof.errors import MachineError, NucprofError
from nucprof.machine import available_memory
from nucprof.refusals import explain


@contextmanager
def reading(path: Path, kind: type[NucprofError], then: str) -> Iterator[None]:
    """Convert what libraries raise for an incomplete or damaged file into an error of ours.

    Parameters
    ----------
    path : Path
        The file that is read inside the block.
    kind : type of NucprofError
        The error for a damaged file, or one that may not be read.
    then : str
        What the user can do about a damaged file.

    Raises
    ------
    MachineError
        The machine refuses to read it, for lack of memory, open files, or a share that is gone: the
        file may be whole.
    """
    try:
        yield
    except NucprofError:
        raise
    except (
        Exception
    ) as error:  # bytes at will make libraries raise anything, e.g. ZeroDivisionError
        known = explain(error)
        if isinstance(known, MachineError):
            where = "" if str(path) in str(known) else f"{path}: "
            raise MachineError(f"{where}{known}") from error
        reason = (str(error).splitlines() or [""])[0].strip() or type(error).__name__
        raise kind(str(known or f"{path} cannot be read: {reason}. {then}")) from error


def refuse_too_large(path: Path, needed: int, what: str, kind: type[NucprofError]) -> None:
    """Raise an error if what a header says does not fit into memory, before it is allocated."""
    free = available_memory()
    if needed > free:
        raise kind(
            f"{path}: by its header it holds {what}, {needed / 1e9:.1f} GB; {free / 1e9:.1f} GB of "
            "memory are free. Is the file damaged? If not, use a machine with more memory."
        )
