"""Commands that show or write results, on files that are not what a stage wrote."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from edits import both, edit_table, half, put, swap

from hostile import Case, fingerprints, ids, nucprof

CP = "results/features/CP.parquet"
CLASSES = "results/gate/GT_data.csv"
STACK = "results/crops/nucleocentric_24/demo/B-02-01.tif"
CORRECTIONS = "plate,ROI_img_name,true_condition,{}\ndemo,B-02-01_0001,astro,Anna,x\n"


def reversed_crops(name: str):
    """Give every cell of a field the crop of another."""

    def edit(folder: Path) -> None:
        import tifffile

        crops = tifffile.imread(folder / name)[::-1].copy()
        tifffile.imwrite(folder / name, crops, photometric="minisblack")

    return edit


def cut(name: str):
    """Keep five rows of a table."""
    return edit_table(name, lambda table: table.iloc[:5])


CASES = [
    *(
        Case(
            name=f"{command}: {what} {name}",
            kind="silent",
            command=f"{command.replace(' ', ' {p}/project.toml ', 1)}",
            prepare=edit(name),
            says=(f"{{p}}/{name} is not as '{stage}' wrote it", f"nucprof {stage} PROJECT"),
            silent_on=("Wrote",),
        )
        for command, name, stage, what, edit in (
            ("export --to csv", CP, "features", "cut", cut),
            ("export --to csv", CP, "features", "half", half),
            ("export --to xlsx", CP, "features", "cut", cut),
            ("export --to pycytominer", CP, "features", "cut", cut),
            ("export --to crops", CLASSES, "gate", "cut", cut),
            ("export --to csv", CLASSES, "gate", "cut", cut),
            ("export --to csv", "results/registration.csv", "align", "cut", cut),
            ("export --to csv", "results/embed/embeddings.parquet", "embed", "cut", cut),
            ("export --to crops", STACK, "crop", "reversed", reversed_crops),
            ("review --queue B-02-01_0004", STACK, "crop", "reversed", reversed_crops),
            ("review --n 3", CP, "features", "cut", cut),
            ("review --n 3", CLASSES, "gate", "cut", cut),
        )
    ),
    Case(
        name="one marker with two cutoffs",
        kind="silent",
        command="gate {p}/project.toml --cutoff EdU=5 --cutoff EdU=500",
        says=("--cutoff EdU=500: EdU has another value before; give it once",),
        keeps=("results/gate",),
    ),
    Case(
        name="corrections with a column twice",
        kind="silent",
        command="gate {p}/project.toml",
        settings='[gate]\ncorrections = "corrections.csv"\n',
        prepare=put("corrections.csv", CORRECTIONS.format("who,true_condition")),
        says=("{p}/corrections.csv has two columns 'true_condition'; delete one",),
        keeps=("results/gate",),
    ),
    Case(
        name="corrections without a line",
        kind="unclear",
        command="gate {p}/project.toml",
        settings='[gate]\ncorrections = "corrections.csv"\n',
        prepare=put("corrections.csv", CORRECTIONS.format("who").splitlines()[0] + "\n"),
        says=("corrections: no cell is reviewed yet",),
        silent_on=("nan",),
        status=0,
    ),
    Case(
        name="relink of a folder that was edited already",
        kind="silent",
        command="relink {p}/project.toml --cp {p}/GT",
        prepare=swap("project.toml", '"CP"', '"other"'),
        says=("plate demo, round CP: no listed image lies in the folder",),
        keeps=("project.toml",),
    ),
]

#: Small tables and records that `status`, `report` and the end of a run read.
SMALL = {
    "segment/qc.csv": "segment",
    "segment/nuclear_size.json": "segment",
    "registration.csv": "align",
    "gate/counts.csv": "gate",
    "gate/cutoffs.json": "gate",
    "train/rf/default/metrics.json": "train-rf",
    "train/cnn/default/metrics.json": "train-cnn",
    "train/cnn/default/split.csv": "train-cnn",
    "predict/default/composition.csv": "predict",
}
CASES += [
    Case(
        name=f"{command}: another {name}",
        kind="traceback",
        command=f"{command} {{p}}/project.toml",
        prepare=put(f"results/{name}", "[1]" if name.endswith("json") else "plate,well\nx,y\n"),
        says=told,
        status=status,
    )
    for name, stage in SMALL.items()
    for command, status, told in (
        ("status", 0, ("output missing or changed", "cells: 112 segmented")),
        ("report", 2, (f"{{p}}/results/{name} is not as '{stage}' wrote it",)),
    )
]
CASES += [
    Case(
        name=f"gate: colours.json holds {what}",
        kind=kind,
        command="gate {p}/project.toml --force",
        prepare=put("results/colours.json", text),
        says=("{p}/results/colours.json: ", "is no colour like", "move the file away"),
    )
    for what, kind, text in (
        ("a number", "traceback", '{"astro": 5}'),
        ("a list", "traceback", "[1]"),
        ("markup", "unsafe", '{"astro": "red}</style><script>x()</script>"}'),
    )
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_case(case, run_case):
    run_case(case)


@pytest.mark.kind("lost")
@pytest.mark.parametrize("command", ["clean --stage segment --yes", "export --to csv", "review"])
def test_results_of_another_project_are_left_alone(plate_of, capsys, command):
    folder = plate_of("processed")
    assert nucprof(f"rename {folder.as_posix()}/project.toml") == 0  # it is the owner
    other = folder.parent / "other"
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns("results"))
    both(
        swap("project.toml", '"results"', f'"{(folder / "results").as_posix()}"'),
        lambda place: [path.write_bytes(b"II*\0other") for path in (place / "CP").iterdir()],
    )(other)
    before = fingerprints(folder, ("results",))
    word, _, rest = command.partition(" ")
    capsys.readouterr()
    assert nucprof(f"{word} {other.as_posix()}/project.toml {rest}") == 2
    assert "holds the results of project 'demo'" in capsys.readouterr().err
    after = fingerprints(folder, ("results",))
    assert {k: v for k, v in after.items() if ".lock" not in k} == {
        k: v for k, v in before.items() if ".lock" not in k
    }


@pytest.mark.kind("lost")
def test_saving_flags_keeps_a_linked_project_file_linked(plate_of):
    folder: Path = plate_of("processed")
    real = (folder / "project.toml").rename(folder / "settings.toml")
    (folder / "project.toml").symlink_to(real)
    (folder / "results" / "project.json").unlink()  # the plate is a copy, by another name now
    assert nucprof(f"gate {folder.as_posix()}/project.toml --unmix --save") == 0
    assert (folder / "project.toml").is_symlink()
    assert "unmix = true" in real.read_text(encoding="utf-8")
