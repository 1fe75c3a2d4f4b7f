"""The recipes for conda and containers agree with pyproject.toml."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ON_CONDA_FORGE = {"torch": "pytorch", "matplotlib": "matplotlib-base"}


def recipe() -> dict:
    """The recipe as conda-build reads it, with its two variables filled in."""
    text = (REPOSITORY / "recipe" / "meta.yaml").read_text(encoding="utf-8")
    text = re.sub(r"{%.*?%}", "", text)
    text = text.replace("{{ version }}", "1.0").replace("{{ PYTHON }}", "python")
    assert "{{" not in text
    return yaml.safe_load(text)


def test_the_conda_recipe_has_the_dependencies_of_the_package() -> None:
    wanted = {"python >=3.10"}
    for dependency in PROJECT["dependencies"]:
        name, limits = re.fullmatch(r"([\w-]+)([^;]*)(?:;.*)?", dependency).groups()
        wanted.add(f"{ON_CONDA_FORGE.get(name, name)} {limits}".strip())
    assert set(recipe()["requirements"]["run"]) == wanted


def test_the_conda_recipe_installs_the_command() -> None:
    scripts = [f"{name} = {target}" for name, target in PROJECT["scripts"].items()]
    assert recipe()["build"]["entry_points"] == scripts


def test_the_conda_recipe_finds_the_version() -> None:
    text = (REPOSITORY / "recipe" / "meta.yaml").read_text(encoding="utf-8")
    path = re.search(r'load_file="([^"]+)"', text)[1]
    pattern = re.search(r"regex_pattern='([^']+)'", text)[1]
    assert re.search(pattern, (REPOSITORY / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["Dockerfile", "nucprof.def"])
def test_containers_copy_files_that_exist(name: str) -> None:
    text = (REPOSITORY / "containers" / name).read_text(encoding="utf-8")
    if name == "Dockerfile":
        copied = [p for line in re.findall(r"^COPY (.+)$", text, re.M) for p in line.split()[:-1]]
    else:
        section = re.search(r"^%files\n(.+?)^%", text, re.M | re.S)[1]
        copied = [line.split()[0] for line in section.splitlines() if line.strip()]
    assert {"pyproject.toml", "README.md", "LICENSE", "src", "constraints.txt"} == set(copied)
    extras = re.search(r"\"\.\[([\w,]+)\]\"", text)[1].split(",")
    assert set(extras) <= set(PROJECT["optional-dependencies"])


def test_the_dockerfile_passes_the_linter() -> None:
    if shutil.which("hadolint") is None:
        pytest.skip("hadolint is not installed (extra dev)")
    done = subprocess.run(
        ["hadolint", str(REPOSITORY / "containers" / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_apptainer_definition_has_its_sections() -> None:
    text = (REPOSITORY / "containers" / "nucprof.def").read_text(encoding="utf-8")
    assert text.startswith("Bootstrap: docker\nFrom: python:3.11")
    sections = re.findall(r"^%(\w+)$", text, re.M)
    assert sections == [
        "arguments", "files", "post", "environment", "runscript", "test", "labels", "help",
    ]  # fmt: skip
    post = re.search(r"^%post\n(.+?)^%", text, re.M | re.S)[1]
    variables = set(re.findall(r"{{ (\w+) }}", text))
    assert variables == set(re.findall(r"^    (\w+)=", text.partition("%files")[0], re.M))
    # the same versions from the same places as the Dockerfile
    docker = (REPOSITORY / "containers" / "Dockerfile").read_text(encoding="utf-8")
    for part in ("--constraint constraints.txt", "https://download.pytorch.org/whl/", "libgomp1"):
        assert part in post
        assert part in docker
    if shutil.which("bash"):
        script = re.sub(r"{{ \w+ }}", "cpu", post)
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
