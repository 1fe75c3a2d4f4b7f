"""The report of real results, complete and incomplete, and the doubts in the terminal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app
from nucprof.config import load_project
from nucprof.io.files import read_json, write_json
from nucprof.run.pipeline import Run
from nucprof.stages import stage


def report(project: Path) -> str:
    assert Run(load_project(project)).run_stage(stage("report")).status in ("done", "up to date")
    return (project.parent / "results" / "report.html").read_text(encoding="utf-8")


def sections(text: str) -> list[str]:
    return [part.split('"')[0] for part in text.split('<section id="')[1:]]


def test_all_parts_in_their_order(processed: Path) -> None:
    text = (processed.parent / "results" / "report.html").read_text(encoding="utf-8")
    assert sections(text) == [
        "doubts", "run", "plates", "segmentation", "registration", "cells", "gate", "classifiers",
        "importance", "map", "attention", "composition",
    ]  # fmt: skip
    for title in ("worst field", "median field", "best field", "score against chance"):
        assert title in text
    captions = (processed.parent / "results" / "report" / "captions.md").read_text("utf-8")
    for file in (line.strip("`") for line in captions.splitlines() if line.startswith("`")):
        assert (processed.parent / "results" / file).is_file()


@pytest.mark.parametrize(
    ("gone", "left"),
    [
        (("segment", "align", "crops", "gate", "train", "embed", "gradcam", "predict"), 3),
        (("train/cnn", "gradcam"), 11),
        (("gate", "registration.csv", "align"), 10),
    ],
)
def test_whatever_there_is(copied: Path, gone: tuple[str, ...], left: int) -> None:
    results = copied.parent / "results"
    for name in gone:
        path = results / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    assert len(sections(report(copied))) >= left - 1


def test_without_raw_images(copied: Path) -> None:
    before = sections(report(copied))
    for name in ("CP", "GT"):
        shutil.rmtree(copied.parent / name)
    project = load_project(copied, check_folders=False)
    run = Run(project)
    run.options = type(run.options)(force=True)
    assert run.run_stage(stage("report")).status == "done"
    assert sections((copied.parent / "results" / "report.html").read_text("utf-8")) == before


def test_a_stage_that_runs_again_makes_the_report_stale(copied: Path, capsys) -> None:
    changed = load_project(copied, {"gate": {"cutoffs": {"EdU": 5000.0}}})
    run = Run(changed)
    run.run_stage(stage("gate"))
    assert not run.assess(stage("report")).up_to_date
    run.run_stage(stage("report"))
    text = (copied.parent / "results" / "report.html").read_text("utf-8")
    assert "Class astro has no cells after the cutoffs" in text
    # the same words in the terminal
    capsys.readouterr()
    assert run_app(build_app(), ["status", str(copied)]) == 0
    assert "doubtful: class astro has no cells after the cutoffs. " in capsys.readouterr().err


class TestFacts:
    """Facts are read from what stages write: a fault in a table becomes a doubt."""

    @pytest.fixture
    def doubts(self, copied: Path):
        from nucprof.report.doubts import find_doubts
        from nucprof.report.facts import read_facts
        from nucprof.stages.report import about

        def found() -> dict[str, str]:
            run = Run(load_project(copied))
            facts = read_facts(run.results, about(run.project), run.runs)
            return {doubt.kind: doubt.line for doubt in find_doubts(facts)}

        return found

    def edit(self, copied: Path, name: str, old: str, new: str) -> None:
        path = copied.parent / "results" / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def test_of_the_plate_as_it_is(self, doubts) -> None:
        # crops of 24 px, 14 cells a field, three mixed wells, a network trained for one epoch
        assert {"small-crop", "validation", "small-wells", "chance"} <= set(doubts())
        assert not {"failed", "left-out", "registration", "lost", "uneven"} & set(doubts())

    def test_dim_objects(self, copied, doubts) -> None:
        from nucprof.io.tables import read_table, write_table

        path = copied.parent / "results" / "segment" / "qc.csv"
        write_table(path, read_table(path).assign(dim_share=0.5))
        assert "50% of the objects are much dimmer" in doubts()["dim"]

    def test_a_small_crop(self, copied, doubts) -> None:
        write_json(
            copied.parent / "results/segment/nuclear_size.json", {"diameter_px": {"demo": 31.0}}
        )
        assert "a crop is 24 px wide, but a typical nucleus 31 px" in doubts()["small-crop"]

    def test_a_doubtful_registration(self, copied, doubts) -> None:
        self.edit(copied, "registration.csv", ",ok,", ",unsure,")
        assert "round EdU_BrdU: the registration of 7 fields" in doubts()["registration"]

    def test_uneven_plates(self, copied, doubts) -> None:
        path = copied.parent / "results" / "gate" / "cutoffs.json"
        held = read_json(path)
        held["EdU"]["uneven"] = "EdU is brighter on plate b than on plate a"
        write_json(path, held)
        assert "EdU is brighter on plate b" in doubts()["uneven"]

    def test_lost_cells(self, copied, doubts) -> None:
        from nucprof.io.tables import read_table, write_table

        path = copied.parent / "results" / "cells.parquet"
        table = read_table(path)
        kept = table["status"] == "kept"
        some = kept & (kept.cumsum() <= 10)
        number = int(kept.sum() + (table["stage"] == "align").sum())
        table.loc[some, ["status", "stage", "reason"]] = ["dropped", "align", "lost_nucleus"]
        write_table(path, table)
        assert f"10 of {number} cells" in doubts()["lost"]

    def test_a_failed_field(self, copied, doubts) -> None:
        path = copied.parent / "results" / "manifest.json"
        held = read_json(path)
        fault = {"plate": "demo", "field": "B-02-01", "reason": "x", "message": "broken"}
        held["stages"]["segment"]["failures"] = [fault]
        held["stages"]["crop"]["excluded"] = [fault]
        write_json(path, held)
        assert "segment failed on 1 field (demo/B-02-01)" in doubts()["failed"]
        assert "crop left out 1 field" in doubts()["left-out"]
