"""Names of files, projects, plates, channels and classes: checked once, where they enter."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hostile import Case, ids, nucprof

CASES = [
    Case(
        name=f"--name {name!r} of {command}",
        kind="lost",
        command=f"{command} {{p}}/project.toml --name '{name}'",
        says=("--name", "device" if name == "CON" else "letters, digits"),
        keeps=("results",),
    )
    for command in ("train rf", "train cnn", "predict")
    for name in ("../x", "/tmp/elsewhere", "", "a/b", "..", "CON", "x\x07y", "a:b")
]

#: A name in Latin-1, as Python shows it; no text file can hold it.
ODD = os.fsdecode(b"plate\xe9")
SHOWN = ODD.encode("utf-8", "backslashreplace").decode()
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such names")


def moved(old: str, new: str) -> Callable[[Path], None]:
    """Give a file or folder of the project another name."""

    def prepare(folder: Path) -> None:
        (folder / old).rename(folder / new)

    return prepare


def copied_to(old: str, new: str) -> Callable[[Path], None]:
    """Copy a file of the project under another name."""

    def prepare(folder: Path) -> None:
        shutil.copyfile(folder / old, folder / new)

    return prepare


IN_ARGUMENTS = [
    Case(
        name=f"{command} with bytes that are not UTF-8",
        kind="traceback",
        command=command.replace("{odd}", ODD),
        says=(SHOWN, "not UTF-8", "Rename that file or folder"),
        keeps=("results",),
    )
    for command in (
        "{odd}",
        "crop {p}/project.toml --{odd}",
        "crop {p}/project.toml --force --json-log {p}/{odd}.jsonl",
        "demo {p}/{odd}",
        "doctor {p}/{odd}.toml",
        "export {p}/project.toml --to csv --out {p}/{odd}",
        "gate {p}/project.toml --class {odd}=EdU",
        "init --cp {p}/{odd} --output {p}/new.toml",
        "init --cp {p}/CP --output {p}/{odd}/new.toml",
        "init --cp {p}/CP --layout {p}/{odd}.xlsx --output {p}/new.toml",
        "models add x {p}/{odd}",
        "models list --models-dir {p}/{odd}",
        "predict {p}/project.toml --model {p}/{odd}",
        "predict {p}/project.toml --out {p}/{odd}",
        "relink {p}/project.toml --cp {p}/{odd}",
        "rename {p}/project.toml --pattern {odd}",
        "review {p}/project.toml --who {odd}",
        "review {p}/project.toml --output {p}/{odd}.html",
        "segment {p}/project.toml --path {p}/{odd}",
        "view {p}/project.toml {odd}",
    )
]
IMAGES = [
    Case(
        name=f"{command.split()[0]}: {what} of {where} has a name that is not UTF-8",
        kind="traceback",
        command=command,
        says=(SHOWN, "UTF-8", *says),
        prepare=change(f"{where}/{first}.tif", f"{where}/{ODD}_{first}.tif"),
        plate="raw",
        status=0,
    )
    for command, says in (
        ("rename {p}/project.toml", ("ignored",)),
        ("init --cp {p}/CP --gt EdU_BrdU={p}/GT --output {p}/new.toml", ("ignored",)),
        ("doctor {p}/project.toml", ("ignored",)),
    )
    for where, first in (
        ("CP", "WellB02_PointB02_0001_ChannelDAPI,FITC,Cy3,Cy5_Seq0000"),
        ("GT", "WellB02_PointB02_0001_ChannelDAPI,EdU,BrdU_Seq0000"),
    )
    for what, change in (("a field", moved), ("a further file", copied_to))
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_case(case, run_case):
    run_case(case)


@linux
@pytest.mark.parametrize("case", [*IN_ARGUMENTS, *IMAGES], ids=ids([*IN_ARGUMENTS, *IMAGES]))
def test_bytes_that_are_not_utf_8(case, run_case):
    run_case(case)


@linux
@pytest.mark.kind("traceback")
@pytest.mark.parametrize(
    "command",
    ["status", "run-all", "report --force", "review", "doctor", "clean", "export --to csv"],
)
def test_a_project_in_a_folder_whose_name_is_not_utf_8(command, copied, capsys, monkeypatch):
    folder = copied.parent.rename(copied.parent.with_name(ODD))
    monkeypatch.chdir(folder)
    first, *more = command.split()
    assert nucprof(" ".join([first, "project.toml", *more])) == 2
    out, err = capsys.readouterr()
    assert SHOWN in out + err
    assert "not UTF-8" in out + err
    assert "Traceback" not in err


def no_files(folder: Path) -> None:
    """Put things between the images that have their names and are no files."""
    (folder / "CP/WellE02_PointE02_0001_ChannelDAPI,FITC,Cy3,Cy5_Seq0008.tif").symlink_to("gone")
    (folder / "CP/WellE03_PointE03_0001_ChannelDAPI,FITC,Cy3,Cy5_Seq0009.tif").mkdir()
    os.mkfifo(folder / "CP/WellE04_PointE04_0001_ChannelDAPI,FITC,Cy3,Cy5_Seq0010.tif")


def piped_project(folder: Path) -> None:
    """The project file is a pipe that nobody writes to."""
    (folder / "project.toml").unlink()
    os.mkfifo(folder / "project.toml")


NO_FILES = [
    Case(
        name="images that are no files",
        kind="silent",
        command="rename {p}/project.toml",
        plate="raw",
        prepare=no_files,
        says=("3 images that cannot be opened (a link to nothing, a folder or a pipe) ignored",),
        status=0,
    ),
    Case(
        name="a line break in a file name",
        kind="unclear",
        command="rename {p}/project.toml",
        plate="raw",
        prepare=lambda folder: (folder / "CP/a\nError: b.tif").touch(),
        says=("a\\nError: b.tif",),
        silent_on=("\nError: b.tif",),
        status=0,
    ),
    Case(
        name="the project file is a pipe",
        kind="hang",
        command="rename {p}/project.toml",
        plate="raw",
        prepare=piped_project,
        says=("{p}/project.toml is no file but a device or a pipe",),
    ),
    Case(
        name="the project file is an endless device",
        kind="hang",
        command="rename /dev/zero",
        plate="none",
        says=("/dev/zero is no file but a device or a pipe",),
    ),
    Case(
        name="the project file is a disk image",
        kind="hang",
        command="rename {p}/project.toml",
        plate="raw",
        prepare=lambda folder: os.truncate(folder / "project.toml", 10**10),
        says=("{p}/project.toml is larger than any project file",),
    ),
    Case(
        name="a negative seed of the demo plate",
        kind="traceback",
        command="demo {p}/new --seed=-1",
        plate="none",
        says=("--seed", "greater than or equal to 0"),
    ),
    Case(
        name="an empty --json-log",
        kind="traceback",
        command="rename {p}/project.toml --json-log ''",
        plate="raw",
        says=(". cannot be read or written: it is a folder, where a file is expected",),
    ),
]


@linux
@pytest.mark.parametrize("case", NO_FILES, ids=ids(NO_FILES))
def test_what_is_no_file(case, run_case):
    run_case(case)
