"""Damaged, edited and foreign state files: said by name, made again where that can be done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from edits import add_line, both, edit_json, edit_line, edit_table, half, put, remove, swap

from hostile import Case, fingerprints, ids, nucprof
from nucprof.io.tables import read_table

MASKS = ("results/masks",)
MANIFEST, IMAGES, CELLS = "results/manifest.json", "results/images.csv", "results/cells.parquet"
JOURNAL = "results/journal/{}.jsonl"
INDEX = "results/crops/nucleocentric_24/index.parquet"
CP = "results/features/CP.parquet"

MADE_AGAIN = "it is made again"


def rows(name: str, number: int):
    """A check that a table has as many rows as the plate has cells or fields."""

    def check(folder: Path) -> None:
        assert len(read_table(folder / "results" / name)) == number

    return check


def in_stage(stage: str, **values):
    """A change of the manifest's record of a stage."""
    return edit_json(MANIFEST, lambda held: held["stages"][stage].update(values))


def same_as_before(folder: Path) -> None:
    """The ledger has every segmented cell with its fate, and every field its mask."""
    ledger = read_table(folder / CELLS)
    assert (len(ledger), (ledger["status"] == "kept").sum()) == (112, 62)
    assert len(list((folder / "results/masks").rglob("*.tif"))) == 7


MANIFESTS = [
    Case(
        name=f"manifest.json: {name}",
        kind="unclear",
        command="run-all {p}/project.toml --until align",
        prepare=prepare,
        says=(f"{{p}}/{MANIFEST} is damaged", told, MADE_AGAIN),
        status=0,
        keeps=(*MASKS, "results/features"),
        after=same_as_before,
    )
    for name, prepare, told in (
        ("empty", put(MANIFEST, b""), "line 1"),
        ("half", half(MANIFEST), "line"),
        ("null", put(MANIFEST, "null"), "valid dictionary"),
        ("a list", put(MANIFEST, "[]"), "valid dictionary"),
        ("no schema", put(MANIFEST, "{}"), "schema"),
        ("no stages", put(MANIFEST, '{"schema": 1}'), "stages"),
        ("not UTF-8", put(MANIFEST, b"\xff\xfe\x00"), "utf-8"),
        ("status is a number", in_stage("segment", status=5), "stages.segment.status"),
        ("counts are a list", in_stage("segment", counts=[]), "stages.segment.counts"),
        ("no fingerprint", in_stage("align", outputs={"registration.csv": 1}), "registration.csv"),
        ("climbs out", in_stage("align", outputs={"../../x": [1, 2, "h"]}), "../../x is not below"),
        ("absolute", in_stage("align", outputs={"/etc/passwd": [1, 2, "h"]}), "is not below"),
    )
] + [
    Case(
        name="manifest.json: of a newer version",
        kind="lost",
        command="run-all {p}/project.toml",
        prepare=edit_json(MANIFEST, lambda held: held.update(schema=99)),
        says=(f"{{p}}/{MANIFEST} was written by a newer version of nucprof (schema 99",),
        keeps=("results/masks", MANIFEST),
    ),
    Case(
        name="manifest.json: gone",
        kind="lost",
        command="run-all {p}/project.toml --until features",
        prepare=remove(MANIFEST),
        says=("its tables were not finished",),
        silent_on=("segment: 7 of 7",),
        status=0,
        keeps=MASKS,
        after=same_as_before,
    ),
]

JOURNALS = [
    Case(
        name=f"journal: {name}",
        kind=kind,
        command="run-all {p}/project.toml --until crop",
        prepare=edit_line(JOURNAL.format("segment"), **values),
        says=(f"{{p}}/{JOURNAL.format('segment')} has 1 lines that do not fit", told),
        status=0,
        keeps=("results/crops", "results/aligned"),
        after=same_as_before,
    )
    for name, kind, values, told in (
        ("unknown status", "silent", {"status": "dnoe"}, "'dnoe' is none of done"),
        ("status missing", "silent", {"status": None}, "status"),
        ("plate that climbs", "lost", {"plate": "../CP"}, "'../CP' is no plate"),
        ("field that climbs", "lost", {"field": "../x"}, "'../x' is no field"),
        ("field in another form", "silent", {"field": "b-2-1"}, "'b-2-1' is no field"),
        ("labels that are none", "silent", {"objects": "many"}, "'many' is no list of labels"),
        ("labels without end", "hang", {"objects": "1-99999999999999"}, "no list of labels"),
        ("record of another type", "silent", {"record": {"cells": "x"}}, "cells"),
        ("record lacks a key", "silent", {"record": {}}, "cells"),
        ("output without hash", "traceback", {"outputs": {"<results>/x": [1]}}, "no size"),
        ("output climbs", "lost", {"outputs": {"<results>/../CP/x": [1, 2, "h"]}}, "not below"),
        ("output absolute", "lost", {"outputs": {"/etc/hosts": [1, 2, "h"]}}, "not below"),
        ("output of the project", "lost", {"outputs": {"<project>/CP/x": [1, 2, ""]}}, "not below"),
        ("inputs are a list", "traceback", {"inputs": []}, "inputs"),
        ("seconds are a text", "traceback", {"seconds": "fast"}, "seconds"),
    )
] + [
    Case(
        name="journal: a later stage does not take a lost field for one that left",
        kind="lost",
        command="crop {p}/project.toml --force",
        prepare=edit_line(JOURNAL.format("segment"), status="dnoe"),
        says=("the journal of 'segment' is damaged; run: nucprof segment",),
        keeps=("results/crops", "results/aligned", "results/masks"),
    ),
    Case(
        name="journal: cells dropped that were never segmented",
        kind="traceback",
        command="crop {p}/project.toml --force",
        prepare=edit_line(
            JOURNAL.format("align"), dropped=[["demo", "B-02-01", "lost_nucleus", "9999"]]
        ),
        says=(
            "the journal of 'align' drops cells of demo/B-02-01",
            "nucprof align PROJECT --force",
        ),
    ),
    Case(
        name="journal: garbage",
        kind="lost",
        command="run-all {p}/project.toml --until segment",
        prepare=put(JOURNAL.format("segment"), b"\x00\x01\xff"),
        says=("segment.jsonl has 1 lines that do not fit", "segment: 7 of 7 to do: not run yet"),
        status=0,
        after=same_as_before,
    ),
    Case(
        name="journal: a torn last line",
        kind="lost",
        command="run-all {p}/project.toml --until segment",
        prepare=lambda folder: put(
            JOURNAL.format("segment"),
            (folder / JOURNAL.format("segment")).read_bytes()[:-30],
        )(folder),
        says=("segment: 1 of 7 to do: not run yet",),
        silent_on=("do not fit",),
        status=0,
        after=same_as_before,
    ),
    Case(
        name="journal: a line that leads outside deletes nothing",
        kind="lost",
        command="segment {p}/project.toml",
        prepare=both(
            put("CP/victim.txt", "x"),
            add_line(
                JOURNAL.format("segment"),
                plate="demo",
                field="Z-01-01",
                status="done",
                definition="",
                outputs={"<results>/../CP/victim.txt": [1, 2, "h"]},
            ),
        ),
        says=("victim.txt is not below the results",),
        status=0,
        keeps=MASKS,
    ),
]

TABLES = (
    [
        Case(
            name=f"images.csv: {name}",
            kind="lost",
            command="segment {p}/project.toml",
            prepare=prepare,
            says=(f"{{p}}/{IMAGES} is missing, damaged or edited", "nucprof rename PROJECT"),
            keeps=MASKS,
        )
        for name, prepare in (
            ("empty", put(IMAGES, b"")),
            ("gone", remove(IMAGES)),
            ("not UTF-8", put(IMAGES, b"\xff\xfe")),
            ("header only", edit_table(IMAGES, lambda table: table.iloc[:0])),
            ("cut after a whole line", edit_table(IMAGES, lambda table: table.iloc[:8])),
            ("a path to another file", swap(IMAGES, "/CP/", "/elsewhere/")),
            ("other columns", put(IMAGES, "a,b\n1,2\n")),
        )
    ]
    + [
        Case(
            name=f"images.csv: {name}, run-all",
            kind="lost",
            command="run-all {p}/project.toml --until segment",
            prepare=prepare,
            says=("rename: 1 of 1 to do: output missing or changed", "segment: up to date"),
            status=0,
            keeps=MASKS,
        )
        for name, prepare in (("empty", put(IMAGES, b"")), ("half", half(IMAGES)))
    ]
    + [
        Case(
            name=f"cells.parquet: {name}, {command}",
            kind="lost",
            command=f"{command} {{p}}/project.toml",
            prepare=prepare,
            says=(f"{{p}}/{CELLS} is missing or was changed; it is made again",),
            status=0,
            after=same_as_before,
        )
        for name, prepare in (
            ("gone", remove(CELLS)),
            ("half", half(CELLS)),
            ("fewer rows", edit_table(CELLS, lambda table: table.iloc[:5])),
        )
        for command in ("run-all", "segment", "crop")
    ]
    + [
        Case(
            name=f"{name}: {what}, {command}",
            kind=kind,
            command=f"{command} {{p}}/project.toml",
            prepare=prepare(path),
            says=(
                f"{{p}}/{path} is not as '{stage}' wrote it",
                f"nucprof {stage.replace('-', ' ')} ",
            ),
        )
        for what, kind, prepare in (("half", "traceback", half), ("gone", "unclear", remove))
        for name, path, stage, command in (
            ("CP.parquet", CP, "features", "gate"),
            ("CP.parquet", CP, "features", "train rf"),
            ("GT_data.csv", "results/gate/GT_data.csv", "gate", "train rf"),
            ("index.parquet", INDEX, "crop", "train cnn"),
            ("crops", "results/crops/nucleocentric_24/demo/B-02-01.tif", "crop", "train cnn"),
            ("mask", "results/masks/demo/nuclei/B-02-01.tif", "segment", "align"),
            ("aligned image", "results/aligned/demo/GT_EdU_BrdU/B-02-01.tif", "align", "features"),
        )
    ]
    + [
        Case(
            name="GT_data.csv: fewer rows are not trained on",
            kind="silent",
            command="train rf {p}/project.toml",
            prepare=edit_table("results/gate/GT_data.csv", lambda table: table.iloc[:40]),
            says=("GT_data.csv is not as 'gate' wrote it",),
            keeps=("results/train",),
        ),
        Case(
            name="index.parquet: a stack outside of the crops",
            kind="unsafe",
            command="train cnn {p}/project.toml",
            prepare=edit_table(INDEX, lambda table: table.assign(stack="../../../CP/x.tif")),
            says=("index.parquet is not as 'crop' wrote it",),
            keeps=("results/train",),
        ),
        Case(
            name="objects.parquet: half",
            kind="traceback",
            command="features {p}/project.toml",
            prepare=half("results/segment/objects.parquet"),
            says=("{p}/results/segment/objects.parquet", "Is it damaged?"),
        ),
        Case(
            name="nuclear_size.json: half, crop.patch_size auto",
            kind="traceback",
            command="crop {p}/project.toml --patch-size auto",
            prepare=half("results/segment/nuclear_size.json"),
            says=("nuclear_size.json is damaged", "run nucprof segment"),
        ),
        Case(
            name="nuclear_size.json: negative, crop.patch_size auto",
            kind="silent",
            command="crop {p}/project.toml --patch-size auto",
            prepare=edit_json(
                "results/segment/nuclear_size.json",
                lambda held: held["diameter_px"].update(demo=-4),
            ),
            says=(
                "nuclear_size.json is damaged (diameter_px.demo: Input should be greater than 0)",
            ),
        ),
        *(
            Case(
                name=f"{name}: {what}",
                kind="traceback",
                command="align {p}/project.toml --force",
                prepare=prepare(f"results/align/pattern/demo/{name}"),
                says=("align: 7 of 7 to do", "7 fields aligned"),
                status=0,
            )
            for name in ("EdU_BrdU.json", "EdU_BrdU.npz")
            for what, prepare in (
                ("half", half),
                ("gone", remove),
                ("empty", lambda n: put(n, b"")),
            )
        ),
    ]
)

OTHERS = [
    Case(
        name=f"{stage} {flags} of some fields leaves the tables whole",
        kind="lost",
        command=f"{stage} {{p}}/project.toml --fields B02 {flags}",
        says=("6 of 7 fields are not up to date and were not chosen, so the tables stay",),
        status=0,
        keeps=(f"results/{table}",),
        after=rows(table, number),
    )
    for stage, flags, table, number in (
        ("features", "--no-textures", "features/CP.parquet", 62),
        ("features", "--no-textures --force", "features/CP.parquet", 62),
        ("align", "--max-shift-px 50", "registration.csv", 7),
        ("align", "--max-shift-px 50 --force", "registration.csv", 7),
        ("crop", "--masked true", "crops/nucleocentric_24/index.parquet", 62),
        ("segment", "--min-contrast 0.1 --force", "segment/objects.parquet", 112),
    )
] + [
    Case(
        name=f"--fields --force of {stage} keeps all rows",
        kind="lost",
        command=f"{stage} {{p}}/project.toml --fields B02 --force",
        says=(f"{stage}: 1 of 7 to do: forced",),
        status=0,
        after=rows(table, number),
    )
    for stage, table, number in (
        ("segment", "segment/objects.parquet", 112),
        ("align", "registration.csv", 7),
        ("crop", "crops/nucleocentric_24/index.parquet", 62),
        ("features", "features/CP.parquet", 62),
    )
]

CASES = [*MANIFESTS, *JOURNALS, *TABLES, *OTHERS]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_case(case, run_case):
    run_case(case)


def another(folder: Path, output: str, name: str = "another", **changes: str) -> Path:
    """A second project with its own copy of the images, first turned into others, and an output."""
    other = folder.parent / name
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns("results"))
    for path in (other / "CP").iterdir():
        path.write_bytes(path.read_bytes() + b" ")  # another image
    swap("project.toml", 'output = "results"', f'output = "{output}"')(other)
    return other / "project.toml"


@pytest.mark.kind("lost")
class TestAnotherProject:
    """Results belong to one project."""

    @pytest.fixture
    def folder(self, plate_of):
        folder = plate_of("processed")
        assert nucprof(f"rename {folder.as_posix()}/project.toml") == 0
        return folder

    def refused(self, capsys, command: str, folder: Path) -> None:
        before = fingerprints(folder, ("results/masks", "results/images.csv", MANIFEST))
        capsys.readouterr()
        assert nucprof(command) == 2
        told = capsys.readouterr().err
        assert "holds the results of project 'demo'" in told
        assert str(folder / "project.toml") in told
        assert "Choose another project.output" in told
        assert fingerprints(folder, ("results/masks", "results/images.csv", MANIFEST)) == before

    @pytest.mark.parametrize("command", ["run-all", "rename", "segment --force", "rename --undo"])
    def test_with_the_same_output(self, capsys, folder, command):
        project = another(folder, (folder / "results").as_posix())
        words = command.split()
        self.refused(capsys, f"{words[0]} {project.as_posix()} {' '.join(words[1:])}", folder)

    def test_with_a_second_file_in_the_folder(self, capsys, folder):
        other = folder / "other.toml"
        shutil.copy(folder / "project.toml", other)
        swap("other.toml", 'name = "demo"\ncell', 'name = "plate2"\ncell')(folder)
        self.refused(capsys, f"rename {other.as_posix()}", folder)

    def test_whose_first_one_is_gone(self, capsys, folder):
        project = another(folder, (folder / "results").as_posix())
        (folder / "project.toml").rename(folder / "gone.txt")
        assert nucprof(f"rename {project.as_posix()}") == 2
        assert "holds the results of project 'demo'" in capsys.readouterr().err

    def test_a_renamed_file_is_the_same_project(self, folder):
        (folder / "project.toml").rename(folder / "plate7.toml")
        assert nucprof(f"rename {folder.as_posix()}/plate7.toml") == 0

    def test_a_moved_project_stays_itself(self, folder, tmp_path):
        moved = folder.rename(tmp_path / "moved")
        assert nucprof(f"rename {moved.as_posix()}/project.toml") == 0

    def test_a_copied_project_stays_itself(self, folder, tmp_path):
        copied = shutil.copytree(folder, tmp_path / "copied")
        assert nucprof(f"rename {copied.as_posix()}/project.toml") == 0

    def test_a_project_moved_away_from_its_results_stays_itself(self, folder, tmp_path):
        swap("project.toml", '"results"', f'"{(tmp_path / "shared").as_posix()}"')(folder)
        assert nucprof(f"rename {folder.as_posix()}/project.toml") == 0
        moved = folder.rename(tmp_path / "moved")
        assert nucprof(f"rename {moved.as_posix()}/project.toml") == 0

    def test_a_project_with_other_settings_is_the_same(self, folder):
        swap("project.toml", 'name = "demo"\noutput', 'name = "renamed"\noutput')(folder)
        assert nucprof(f"rename {folder.as_posix()}/project.toml") == 0

    def test_a_damaged_record_is_made_again(self, capsys, folder):
        put("results/project.json", b"{")(folder)
        assert nucprof(f"rename {folder.as_posix()}/project.toml") == 0
        assert json.loads((folder / "results/project.json").read_text())["project"] == "demo"
