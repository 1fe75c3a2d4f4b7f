"""A hostile case: what is done to a project, the command, and what must come of it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app
from nucprof.io.digest import sha256

INPUTS = ("CP", "GT", "truth", "layout.xlsx", "project.toml")
"""What no command may change in a plate; ``project.toml`` changes only with ``--save``."""

KINDS = {
    "silent": "a wrong result without a word",
    "lost": "results or images that are gone",
    "hang": "a command that does not end, or takes all memory",
    "traceback": "a traceback, or \"this is a bug\", for what is the user's or the machine's",
    "unclear": "a message that does not help, or a refusal without need",
    "unsafe": "code of a file that is run, or a path that leads out",
}


def nothing(folder: Path) -> None:
    """Leave the project as it is."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One hostile case.

    Attributes
    ----------
    name : str
        Unique within its kind; a file or setting, and what is wrong with it.
    kind : str
        What would be wrong if the tool did not do its part: a key of :data:`KINDS`.
    command : str
        The words after ``nucprof``; ``{p}`` stands for the project's folder.
    says : tuple of str
        Texts that the output must have, each; ``{p}`` as in the command.
    silent_on : tuple of str
        Texts that it must not have.
    status : int
        The exit status.
    prepare : callable
        Gets the project's folder and changes files in it.
    plate : str
        ``processed``: all stages have run; ``raw``: images, layout and project file only; ``none``:
        an empty folder.
    settings : str
        TOML lines that are added to the project file.
    keeps : tuple of str
        Files and folders of the project that must stay as they are after ``prepare``, byte for
        byte, besides :data:`INPUTS`.
    after : callable
        Gets the project's folder when the command has ended, and asserts more.
    """

    name: str
    kind: str
    command: str
    says: tuple[str, ...]
    silent_on: tuple[str, ...] = ()
    status: int = 2
    prepare: Callable[[Path], object] = nothing
    plate: str = "processed"
    settings: str = ""
    keeps: tuple[str, ...] = ()
    after: Callable[[Path], object] = nothing

    def __post_init__(self) -> None:
        assert self.kind in KINDS, f"{self.name}: kinds are {', '.join(KINDS)}"
        assert self.says, f"{self.name}: a case names what must be said"


def ids(cases: Sequence[Case]) -> list[str]:
    """Names of cases; raises where two have the same."""
    names = [f"{case.kind}: {case.name}" for case in cases]
    assert len(set(names)) == len(names), sorted({n for n in names if names.count(n) > 1})
    return names


def nucprof(command: str) -> int:
    """Run a command line in this process, through the boundary that ``nucprof`` has."""
    return run_app(build_app(), shlex.split(command))


def fingerprints(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Hash of every file below these files and folders."""
    found = {}
    for name in names:
        place = folder / name
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = sha256(path)
    return found


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Obey permissions also as root, whom Linux lets pass by two capabilities.

    They are taken from this thread; another user could not read this Python's own files.
    """
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "capset"):
        pytest.skip("root passes all permissions of this system")
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this thread
    held = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice
    assert libc.capget(header, held) == 0
    effective = held[0]
    held[0] &= ~(1 << 1 | 1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, held) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        held[0] = effective
        assert libc.capset(header, held) == 0


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Refuse writing into a folder."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    with unprivileged():
        for path in folders:
            path.chmod(0o555)
        try:
            yield
        finally:
            for path in folders:
                path.chmod(0o755)


def add_settings(project: Path, text: str) -> None:
    """Add TOML lines to a project file; a section that it has already is replaced."""
    held = project.read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("[") and not line.startswith("[["):
            before, mark, after = held.partition(f"\n{line}\n")
            if mark:
                _, bracket, rest = after.partition("\n[")
                held = before + "\n" + bracket.lstrip("\n") + rest
    project.write_text(held.rstrip() + "\n" + text, encoding="utf-8")


def meet(case: Case, folder: Path, capsys) -> None:
    """Run a case in the project's folder, and check all that it states."""
    project = folder / "project.toml"
    if case.settings:
        add_settings(project, case.settings)
    case.prepare(folder)
    kept = INPUTS if "--save" not in case.command else INPUTS[:-1]
    before = fingerprints(folder, (*kept, *case.keeps))
    capsys.readouterr()
    status = nucprof(case.command.replace("{p}", folder.as_posix()))
    out, err = capsys.readouterr()
    said = out + err
    for text in case.says:
        assert text.replace("{p}", str(folder)) in said, said
    for text in ("Traceback", "This is a bug", *case.silent_on):
        assert text.replace("{p}", str(folder)) not in said, said
    assert status == case.status, said
    assert fingerprints(folder, (*kept, *case.keeps)) == before
    case.after(folder)
