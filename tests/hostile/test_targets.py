"""Files that a command is told to write, which are something else already."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostile import Case, ids, nucprof

#: Files that no command may replace because a flag names them.
THERE = ("project.toml", "layout.xlsx", "results/manifest.json", "results/features/CP.parquet")


def page_of_another_program(folder: Path) -> None:
    (folder / "notes.html").write_text("<!doctype html><title>mine</title>", encoding="utf-8")


CASES = [
    *(
        Case(
            name=f"review --output {there}",
            kind="lost",
            command=f"review {{p}}/project.toml --output {{p}}/{there}",
            says=(f"--output {{p}}/{there}", "ends in .html"),
            keeps=("results",),
        )
        for there in THERE
    ),
    *(
        Case(
            name=f"review --output {there}",
            kind="lost",
            command=f"review {{p}}/project.toml --output {{p}}/{there}",
            says=(f"--output {{p}}/{there}", "no review page"),
            prepare=page_of_another_program,
            keeps=("results", "notes.html"),
        )
        for there in ("results/report.html", "notes.html")
    ),
    *(
        Case(
            name=f"--json-log {there}",
            kind="lost",
            command=f"crop {{p}}/project.toml --force --json-log {{p}}/{there}",
            says=(f"--json-log {{p}}/{there}", "is no log"),
            keeps=("results",),
        )
        for there in (*THERE, "results/journal/crop.jsonl")
    ),
    *(
        Case(
            name=f"init names one folder twice: {second}",
            kind="silent",
            command=f"init --cp one={{p}}/CP {second} --output {{p}}/new.toml",
            says=("is named for plate one, round CP and for", other),
            plate="raw",
        )
        for second, other in (
            ("--gt one/G={p}/CP", "plate one, round G"),
            ("--cp two={p}/CP/../CP", "plate two, round CP"),
        )
    ),
    *(
        Case(
            name=f"export --to {to} --out {there}",
            kind="lost",
            command=f"export {{p}}/project.toml --to {to} --out {{p}}/{there}",
            says=(f"--out {{p}}/{there}", "exists"),
            keeps=("results",),
        )
        for to in ("csv", "xlsx")
        for there in (*THERE, "CP")
    ),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_case(case, run_case):
    run_case(case)


@pytest.mark.kind("unclear")
def test_a_page_and_a_log_of_an_earlier_call_are_written_again(copied, tmp_path):
    page, log = tmp_path / "page.html", tmp_path / "log.jsonl"
    for _ in range(2):
        assert nucprof(f"review {copied} --n 2 --output {page}") == 0
        assert nucprof(f"gate {copied} --force --json-log {log}") == 0
    assert log.read_text(encoding="utf-8").count('"stage_started"') == 2
