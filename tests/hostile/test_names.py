"""Names of files, projects, plates, channels and classes: checked once, where they enter."""

from __future__ import annotations

import pytest

from hostile import Case, ids

TRAIN = "train rf {p}/project.toml --name "
CASES = [
    *(
        Case(
            name=f"--name {name!r} of {command}",
            kind="lost",
            command=f"{command} {{p}}/project.toml --name '{name}'",
            says=("--name", "device" if name == "CON" else "letters, digits"),
            keeps=("results",),
        )
        for command in ("train rf", "train cnn", "predict")
        for name in ("../x", "/tmp/elsewhere", "", "a/b", "..", "CON", "x\x07y", "a:b")
    ),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_case(case, run_case):
    run_case(case)
