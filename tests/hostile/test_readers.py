"""Commands that show or write results, on files that are not what a stage wrote."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from edits import both, edit_table, half, put, swap

from hostile import Case, fingerprints, ids, nucprof

CP = "results/features/CP.parquet"
CLASSES = "results/gate/GT_data.csv"
CORRECTIONS = "plate,ROI_img_name,true_condition,{}\ndemo,B-02-01_0001,astro,Anna,x\n"


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
        name="relink of a folder that was edited already",
        kind="silent",
        command="relink {p}/project.toml --cp {p}/GT",
        prepare=swap("project.toml", '"CP"', '"other"'),
        says=("plate demo, round CP: no listed image lies in the folder",),
        keeps=("project.toml",),
    ),
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
    assert nucprof(f"gate {folder.as_posix()}/project.toml --unmix --save") == 0
    assert (folder / "project.toml").is_symlink()
    assert "unmix = true" in real.read_text(encoding="utf-8")
