"""The operating system refuses: space, size, permission, names; and what the user sees then."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostile import Case, ids, nucprof, read_only, unprivileged
from nucprof.io.digest import sha256

pytestmark = pytest.mark.kind("traceback")
linux = pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is of Linux")
posix = pytest.mark.skipif(os.name != "posix", reason="limits and permissions of POSIX")

FULL = "no space is left"


def into_full(place: str):
    """Make what is written at a place below the project meet a full disk."""

    def prepare(folder: Path) -> None:
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to("/dev/full")

    return prepare


def temporary(place: str) -> str:
    """Where this process writes a file before it is renamed."""
    path = Path(place)
    return str(path.with_name(f".tmp-{os.getpid()}-{path.name}"))


def folder_at(*places: str):
    """Put a folder where a file is expected."""

    def prepare(folder: Path) -> None:
        for place in places:
            path = folder / place
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
            (path / "inside").mkdir(parents=True)

    return prepare


def file_at(place: str):
    """Put a file where a folder is expected."""

    def prepare(folder: Path) -> None:
        path = folder / place
        if path.is_dir():
            shutil.rmtree(path)
        path.write_bytes(b"in the way")

    return prepare


def output(text: str):
    """Let the project write elsewhere."""

    def prepare(folder: Path) -> None:
        project = folder / "project.toml"
        held = project.read_text(encoding="utf-8")
        project.write_text(held.replace('output = "results"', f'output = "{text}"'), "utf-8")
        assert text in project.read_text(encoding="utf-8")

    return prepare


RUN = "segment {p}/project.toml --pmin 2 --workers 1"
FULL_DISK = [
    Case(
        name=f"the disk is full while {place} is written",
        kind="traceback",
        command=command,
        says=(Path(place).name, FULL, "finished work is kept"),
        status=1,
        prepare=into_full(temporary(place) if whole else place),
    )
    for place, command, whole in (
        ("results/manifest.json", "crop {p}/project.toml --force", True),
        ("results/journal/crop.jsonl", "crop {p}/project.toml --force", False),
        ("results/cells.parquet", "crop {p}/project.toml --force", True),
        ("results/masks/demo/nuclei/B-02-01.tif", "segment {p}/project.toml --force", True),
        ("results/registration.csv", "align {p}/project.toml --force --fields B02", True),
        ("results/features/CP.parquet", "features {p}/project.toml --force --fields B02", True),
        ("results/images.csv", "rename {p}/project.toml --force", True),
        ("results/.lock.json", "crop {p}/project.toml", True),
        (
            "results/predict/default/composition.csv",
            "predict {p}/project.toml --bootstrap 100",
            True,
        ),
        ("new.toml", "init --cp {p}/CP --output {p}/new.toml", True),
    )
]
IN_THE_WAY = [
    *(
        Case(
            name=f"{place} is a folder, for {command.split()[0]}",
            kind="traceback",
            command=command,
            says=(place, "folder"),
            prepare=folder_at(place),
            keeps=("results/masks", "results/features"),
        )
        for place in ("results/manifest.json", "results/journal/segment.jsonl")
        for command in ("status {p}/project.toml", "crop {p}/project.toml --force")
    ),
    *(
        Case(
            name=f"{place} is a folder, for {command.split()[0]}",
            kind="traceback",
            command=command,
            says=(place, "folder"),
            prepare=folder_at(place),
        )
        for place, command in (
            ("layout.xlsx", "doctor {p}/project.toml"),
            ("project.toml", "status {p}/project.toml"),
            ("results/images.csv", "rename {p}/project.toml"),
            ("results/cells.parquet", "crop {p}/project.toml --force"),
            ("results/registration.csv", "align {p}/project.toml --force"),
        )
    ),
    *(
        Case(
            name=f"{place} is a file, for {command.split()[0]}",
            kind="traceback",
            command=command,
            says=(place,),
            prepare=file_at(place),
        )
        for place, command in (
            ("results/journal", "crop {p}/project.toml --force"),
            ("results/logs", "crop {p}/project.toml --force"),
            ("results", "crop {p}/project.toml"),
            ("results", "status {p}/project.toml"),
            ("results/crops", "crop {p}/project.toml --force"),
            ("results/masks", "segment {p}/project.toml --force"),
            ("CP", "run-all {p}/project.toml"),
        )
    ),
]
PLACES = [
    Case(
        name=f"output {name}, for {command.split()[0]}",
        kind="traceback",
        command=command,
        says=says,
        plate="raw",
        prepare=output(text),
    )
    for name, text, says in (
        ("below a file", "layout.xlsx/deep/results", ("layout.xlsx", "file")),
        ("with a name too long", "r" * 300, ("too long",)),
        ("with NUL", "re\\u0000sults", ("NUL",)),
        ("deeper than the system allows", "/".join(["d" * 200] * 30), ("too long",)),
    )
    for command in (
        "run-all {p}/project.toml",
        "status {p}/project.toml",
        "doctor {p}/project.toml",
    )
]
ARGUMENTS = [
    Case(name=name, kind="traceback", command=command, says=says)
    for name, command, says in (
        ("--json-log is a folder", "crop {p}/project.toml --json-log {p}/CP", ("CP", "folder")),
        (
            "--json-log below a file",
            "crop {p}/project.toml --json-log {p}/layout.xlsx/log",
            ("layout.xlsx", "a part of this path is a file"),
        ),
        ("--json-log with a name too long", "crop {p}/project.toml --json-log " + "x" * 300,
         ("too long",)),
        ("a project file below a file", "status {p}/layout.xlsx/p.toml", ("layout.xlsx", "file")),
        ("a project file whose name is too long", "status " + "x" * 300, ("too long",)),
        ("init writes below a file", "init --cp {p}/CP --output {p}/layout.xlsx/p.toml",
         ("layout.xlsx",)),
        ("demo below a file", "demo {p}/layout.xlsx/demo", ("layout.xlsx",)),
        ("demo with a name too long", "demo " + "x" * 300, ("too long",)),
        ("models below a file", "models add x {p}/CP --models-dir {p}/layout.xlsx/m",
         ("layout.xlsx",)),
    )
]  # fmt: skip
CASES = [*FULL_DISK, *IN_THE_WAY, *PLACES, *ARGUMENTS]


@linux
@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_case(case, run_case):
    run_case(case)


@posix
@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("status", 0, "  up to date (1 done)"),
        ("run-all", 0, "Everything is up to date; nothing was done."),
        ("segment", 0, ""),
        ("run-all --dry-run", 0, "up to date"),
        ("segment --force", 2, "results is read-only, and 'segment' would write there"),
        ("run-all --force", 2, "results is read-only, and 'rename' would write there"),
        ("predict --force", 2, "Write to another folder: --out FOLDER"),
        ("report --force", 2, "Write to another folder: --out FOLDER"),
        ("segment --pmin 3", 0, ""),
        ("rename --undo", 2, "cannot be locked"),
    ],
)
def test_read_only_results(copied, command, status, said, capsys):
    first, *more = command.split()
    with read_only(copied.parent / "results"):
        assert nucprof(" ".join([first, str(copied), *more])) == status
    out, err = capsys.readouterr()
    assert said in out + err
    assert "Traceback" not in err


@posix
@pytest.mark.parametrize(
    "place",
    ["manifest.json", "images.csv", "journal/segment.jsonl", "journal", "."],
)
@pytest.mark.parametrize("command", ["status", "crop --force"])
def test_unreadable_results(copied, place, command, capsys):
    path = copied.parent / "results" / place
    first, *more = command.split()
    with unprivileged():
        path.chmod(0)
        status = nucprof(" ".join([first, str(copied), *more]))
        path.chmod(0o755)
    err = capsys.readouterr().err
    assert status == 2
    assert "permission is denied" in err
    assert str(path if place != "." else copied.parent / "results") in err
    assert "Traceback" not in err


@pytest.fixture
def largest_file() -> Iterator:
    """Limit the size of files that this process may write."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@posix
@pytest.mark.parametrize("size", [0, 500, 3_000, 10_000])
def test_a_limit_of_the_size_of_files(copied, largest_file, size, capsys):
    crops = copied.parent / "results" / "crops"
    before = {path: sha256(path) for path in crops.rglob("*.tif")}
    largest_file(size)
    status = nucprof(f"crop {copied} --force --workers 1")
    largest_file(-1)
    err = capsys.readouterr().err
    assert status == 1
    assert "the file would become larger than the system allows" in err
    assert "Traceback" not in err
    assert {path: sha256(path) for path in crops.rglob("*.tif")} == before
    assert not list(copied.parent.rglob(".tmp-*"))
    assert nucprof(f"crop {copied}") == 0  # what was there can be finished


@linux
@pytest.mark.parametrize("command", ["--help", "status", "models list", "run-all"])
@pytest.mark.parametrize("place", ["/dev/full", "closed", "a pipe without a reader"])
def test_the_output_is_refused(copied, command, place):
    import subprocess

    words = [sys.executable, "-m", "nucprof", *command.split()]
    words += [str(copied)] if command in ("status", "run-all") else []
    if place == "closed":
        words = ["bash", "-c", f"{' '.join(words)} >&-"]
    reading, writing = os.pipe()
    os.close(reading)
    target = os.open("/dev/full", os.O_WRONLY) if place == "/dev/full" else writing
    done = subprocess.run(words, stdout=target, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    if target != writing:
        os.close(target)
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr
    if place == "/dev/full":
        assert done.returncode == 1
        assert FULL in done.stderr
    else:
        assert done.returncode == (0 if place == "closed" else 1)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("init --cp {p}/CP --output {p}/new.toml", "Wrote"),
        ("clean {p}/project.toml --stage report", "Nothing was deleted"),
    ],
)
def test_nobody_can_be_asked(copied, capsys, monkeypatch, command, told):
    monkeypatch.setattr("sys.stdin", None)  # as Python has it where the caller closed it
    assert nucprof(command.replace("{p}", copied.parent.as_posix())) == 0
    assert told in capsys.readouterr().out
