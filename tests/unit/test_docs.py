"""The documentation says what the program does: commands, keys, columns, figures, features."""

from __future__ import annotations

import re
import sys
import typing

import pytest
from documents import PAGES, REPOSITORY, blocks, commands, exists, parse
from pydantic import BaseModel

from nucprof.cli.flags import given, section_model
from nucprof.config import Project
from nucprof.config.models import PlateSection
from nucprof.core.features import feature_names
from nucprof.core.features.micrometres import repeats_pixels
from nucprof.report.doubts import RULES
from nucprof.stages import STAGES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DOCS = REPOSITORY / "docs"
NAMED = [page.relative_to(REPOSITORY).as_posix() for page in PAGES]
KEYS = re.compile(rf"`((?:{'|'.join(Project.model_fields)})\.[a-z_.]+)(?: = [^`]+)?`")
#: Names of files that look like keys.
FILES = {
    "project.json",
    "project.toml",
    "segment.py",
    "align.py",
    "features.py",
    "predict.py",
    "plates.py",
}


def check_sections(sections: dict[str, typing.Any]) -> None:
    """Validate parts of a project file; a part need not be complete."""
    for name, values in sections.items():
        if name == "plates":
            for plate in values:
                PlateSection.model_validate(plate)
            continue
        model: type[BaseModel] = section_model(Project, name)
        required = {k: "x" for k, f in model.model_fields.items() if f.is_required()}
        if name == "channels":
            required = {"cell_painting": ["x"], "nuclei": "x"}
        model.model_validate(required | values)


def test_pages_with_commands_are_found() -> None:
    assert sum(len(commands(page)) for page in PAGES) > 60


@pytest.mark.parametrize("name", NAMED)
def test_every_command_is_one_of_the_command_line(name: str) -> None:
    by_command = {stage.command: stage for stage in STAGES}
    for words in commands(REPOSITORY / name):
        try:
            command, values = parse(words)
        except Exception as error:
            raise AssertionError(f"nucprof {' '.join(words)}: {error}") from error
        if command in by_command:
            check_sections(given(by_command[command].sections, Project, values))


@pytest.mark.parametrize("name", NAMED)
def test_every_project_file_is_valid(name: str) -> None:
    for block in blocks(REPOSITORY / name, "toml"):
        if "--8<--" in block or "entry-points" in block or '"threshold"' in block:
            continue  # an example's own file, or a package with a backend: run in other tests
        check_sections(tomllib.loads(block))


@pytest.mark.parametrize("name", NAMED)
def test_every_key_exists(name: str) -> None:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    assert [key for key in KEYS.findall(text) if key not in FILES and not exists(key)] == []


def test_every_feature_is_defined() -> None:
    text = (DOCS / "reference" / "features.md").read_text(encoding="utf-8")
    for name in feature_names(("A", "B"), "Nuclei"):
        _, category, feature, *_ = name.split("_")
        assert f"## {category}" in text
        assert f"`{feature}`" in text or feature in ("Correlation",), name
        assert not repeats_pixels(name)


def test_every_key_and_command_is_in_the_reference() -> None:
    sys.path.insert(0, str(REPOSITORY / "tools"))
    try:
        import docs_pages
    finally:
        sys.path.pop(0)
    pages = docs_pages.pages()
    for stage in STAGES:
        assert f"## nucprof {stage.command}\n" in pages["reference/commands.md"]
    example = (REPOSITORY / "nucprof.toml.example").read_text(encoding="utf-8")
    for key in re.findall(r"^(?:# )?([a-z_]+) =", example, flags=re.MULTILINE):
        assert f"| `{key}` |" in pages["reference/settings.md"], key


def test_every_doubt_of_the_report_is_explained() -> None:
    text = (DOCS / "explanation" / "warnings.md").read_text(encoding="utf-8")
    assert len(RULES) > 10
    assert [rule.kind for rule in RULES if f"| `{rule.kind}` |" not in text] == []


def test_every_included_file_exists() -> None:
    """A formatter that takes the line for Python must not break it either."""
    page = (DOCS / "examples.md").read_text("utf-8")
    included = re.findall(r"^.*-- ?\"(.*)\"$", page, flags=re.MULTILINE)
    assert len(included) == 9
    for name in included:
        assert f'\n--8<-- "{name}"\n' in page
        assert (REPOSITORY / "examples" / name).is_file()
