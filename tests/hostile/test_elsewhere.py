"""Predictions and reports of results that must not change, written elsewhere (``--out``)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hostile import Case, fingerprints, ids, nucprof, read_only
from nucprof.io.digest import sha256
from nucprof.io.tables import read_table

WRITTEN = {
    "predict": ("predict/default/predictions.parquet", "predict/default/composition.csv"),
    "report": ("report.html", "report/captions.md"),
}
posix = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")


@pytest.fixture
def beside(copied: Path) -> Path:
    """A folder beside the project, which the user may write to."""
    folder = copied.parent.parent / "beside"
    folder.mkdir()
    return folder


@posix
@pytest.mark.kind("unclear")
@pytest.mark.parametrize("command", ["predict", "report"])
def test_read_only_results_are_used_and_stay_as_they_are(command, copied, beside, capsys):
    results = copied.parent / "results"
    before = fingerprints(results, ["."])
    there = sorted(results.rglob("*"))
    with read_only(results):
        assert nucprof(f"{command} {copied} --out {beside / 'new'}") == 0, capsys.readouterr().err
    assert fingerprints(results, ["."]) == before
    assert sorted(results.rglob("*")) == there
    record = json.loads((beside / "new" / "manifest.json").read_text())["stages"][command]
    assert record["status"] == "done"
    for name in WRITTEN[command]:
        size, _, digest = record["outputs"][name]
        assert (beside / "new" / name).stat().st_size == size
        assert sha256(beside / "new" / name) == digest
    for name, (_, _, digest) in record["inputs"].items():
        assert sha256(Path(name)) == digest
    assert record["inputs"]
    assert str(beside / "new") in capsys.readouterr().out


@pytest.mark.kind("silent")
def test_predictions_are_those_of_the_results(copied, beside):
    assert nucprof(f"predict {copied} --out {beside}") == 0
    names = ("predict/default/predictions.parquet", "predict/default/composition.csv")
    for name in names:
        one, other = (read_table(root / name) for root in (copied.parent / "results", beside))
        assert one.equals(other)


@pytest.mark.kind("lost")
def test_a_second_call_replaces_what_the_first_wrote_and_no_more(copied, beside):
    for more in ("", "--name second", "--confidence 0.9"):
        assert nucprof(f"predict {copied} --out {beside} --bootstrap 100 {more}") == 0
    record = json.loads((beside / "manifest.json").read_text())["stages"]
    assert sorted(record) == ["predict", "predict@second"]
    assert record["predict"]["parameters"]["predict.confidence"] == 0.9
    for name in ("default", "second"):
        assert (beside / "predict" / name / "composition.csv").is_file()


def holds(name: str, text: str = "mine") -> Callable[[Path], None]:
    """Put a file of the user into the folder ``out``."""

    def prepare(folder: Path) -> None:
        (folder / "out").mkdir()
        (folder / "out" / name).write_text(text, encoding="utf-8")

    return prepare


def of_another_project(folder: Path) -> None:
    """Predictions of another project are in the folder ``out``."""
    other = folder / "other.toml"
    other.write_bytes((folder / "project.toml").read_bytes())
    held = {"schema": 1, "project": "other", "file": str(other), "beside": "../other.toml"}
    holds("project.json", json.dumps({**held, "images": {}}))(folder)


def edited(folder: Path) -> None:
    """A table that predict reads was edited."""
    path = folder / "results" / "features" / "CP.parquet"
    path.write_bytes(path.read_bytes()[:-8])


def confidence_saved(folder: Path) -> None:
    assert "confidence = 0.5" in (folder / "project.toml").read_text(encoding="utf-8")


CASES = [
    Case(
        name="predict --out: --save is done, --fields is told to have no effect",
        kind="silent",
        command="predict {p}/project.toml --out {p}/out --fields B02 --confidence 0.5 --save "
        "--bootstrap 100",
        says=(
            "predict works on the whole project; --fields does not limit it",
            "Saved in {p}/project.toml: predict.confidence, predict.bootstrap",
        ),
        status=0,
        keeps=("results",),
        after=confidence_saved,
    ),
    *(
        Case(
            name=f"{command} --out {name}",
            kind=kind,
            command=f"{command} {{p}}/project.toml --out {{p}}/{out}",
            says=says,
            prepare=prepare,
            keeps=("results", "out/project.json", "out/manifest.json"),
        )
        for command in ("predict", "report")
        for name, kind, out, says, prepare in (
            ("a folder that holds other files", "lost", "out", ("{p}/out", "new or an empty"),
             holds("manifest.json")),
            ("the project's own folder", "lost", ".", ("{p}", "new or an empty"), lambda _: None),
            ("the results", "lost", "results", ("--out", "results", "leave"), lambda _: None),
            ("a folder in the results", "lost", "results/new", ("--out", "results"),
             lambda _: None),
            ("another project's predictions", "lost", "out", ("'other'", "overwrite"),
             of_another_project),
            ("a place below a file", "traceback", "layout.xlsx/new", ("layout.xlsx",),
             lambda _: None),
        )
    ),
    Case(
        name="predict --out from a table that was cut",
        kind="silent",
        command="predict {p}/project.toml --out {p}/out",
        says=("CP.parquet", "is not as 'features' wrote it"),
        prepare=edited,
        keeps=("results",),
        after=lambda folder: not (folder / "out" / "predict").exists() or pytest.fail("written"),
    ),
    Case(
        name="predict --out before any features",
        kind="unclear",
        command="predict {p}/project.toml --model {p}/results/train/rf/default --out {p}/out",
        says=("'features' has not run yet",),
        prepare=lambda folder: (folder / "results/journal/features.jsonl").unlink(),
        keeps=("results",),
    ),
    Case(
        name="predict --out --dry-run writes nothing",
        kind="lost",
        command="predict {p}/project.toml --out {p}/out --dry-run",
        says=("predict", "will run", "{p}/out"),
        status=0,
        keeps=("results",),
        after=lambda folder: not (folder / "out").exists() or pytest.fail("written"),
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_case(case, run_case):
    run_case(case)
