"""The README's test command, its links, and the table of the published scripts' arguments."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from documents import REPOSITORY, exists

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
SCRIPTS = (REPOSITORY / "docs" / "howto" / "published-scripts.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+\.py)` \| (.+?) \| (.+?) \| (.+?) \|$", SCRIPTS, flags=re.MULTILINE)


def test_every_script_is_in_the_migration_table() -> None:
    assert {row[0] for row in ROWS} == {
        "renamer.py", "segment_cells.py", "segment_nuclei.py", "align_GT2CP.py", "crop_ROIs.py",
        "get_intensity_features.py", "get_texture_features.py", "set_GT_threshold.py",
        "train_evaluate_RF.py", "train_evaluate_CNN.py", "embeddings.py", "grad_cam.py", "UMAP.py",
    }  # fmt: skip


@pytest.mark.parametrize(("script", "argument", "keys", "default"), ROWS)
def test_every_key_of_the_migration_table_exists(
    script: str, argument: str, keys: str, default: str
) -> None:
    named = re.findall(r"`([\w.]+)`", keys)
    assert named
    for key in named:
        assert exists(key), f"{script} {argument}: {key}"


def test_every_published_argument_is_in_the_table() -> None:
    shared = Path(__file__).parents[2].parent / "shared" / "PUBLISHED_CLI.md"
    if not shared.is_file():
        pytest.skip("the list of published arguments is not beside this checkout")
    table = {
        script: " ".join(row[1] for row in ROWS if row[0] == script)
        for script in {row[0] for row in ROWS}
    }
    for line in shared.read_text(encoding="utf-8").splitlines():
        match = re.match(r"\| `(\w+\.py)` \| (.+) \|$", line)
        if match is None:
            continue
        for argument in re.findall(r"`(--?\w+)`", match[2]):
            assert argument in table[match[1]], f"{match[1]} {argument}"


def test_links_of_the_readme_lead_to_files() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", README)
    assert len(links) > 10
    assert [link for link in links if not (REPOSITORY / link).exists()] == []


def test_the_test_command_is_on_a_line_of_its_own() -> None:
    assert re.search(
        r"^pip install -c constraints\.txt -e '\.\[test\]' && python -m pytest$",
        README,
        flags=re.MULTILINE,
    )
