"""Every column and every figure that a run writes is explained in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

DOCS = Path(__file__).parents[2] / "docs"
# features have a page of their own; MARKER and CLASS stand for the plate's names
FEATURE = re.compile(r"(Nuclei|Patch|Cells|Cytoplasm)_")
NAMED = [
    (r"Embedding_\d+", "Embedding_0000"),
    (r"(EdU|BrdU)", "MARKER"),
    (r"p_(astro|neuro)", "p_CLASS"),
]
#: Columns that the plate of the tests has no reason to write.
SOMETIMES = {"gate/GT_data.csv": {"gate_condition"}}
#: One section is for both tables: what is in one of them need not be in the other.
ONE_OF = (r"train/\w+/NAME/(predictions|split)\.csv", r"embed/.*", r"images\.csv")
INTERNAL = ("parts/", "journal/", "logs/")


def written(project: Path, *suffixes: str) -> list[tuple[str, Path]]:
    results = project.parent / "results"
    files = [path for path in sorted(results.rglob("*")) if path.suffix in suffixes]
    named = [(path.relative_to(results).as_posix(), path) for path in files]
    return [(name, path) for name, path in named if not name.startswith(INTERNAL)]


def explained() -> dict[str, set[str]]:
    """The columns of every table, by the headings, lines of names and first cells of the page."""
    text = (DOCS / "reference" / "tables.md").read_text(encoding="utf-8")
    found: dict[str, set[str]] = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        told = re.findall(r"^Names: (.+)$", body, flags=re.MULTILINE)
        rows = re.search(r"^\| column .*\n\|[-|: ]+\n((?:\|.*\n?)+)", body, flags=re.MULTILINE)
        told += [row.split("|")[1] for row in rows[1].splitlines()] if rows else []
        columns = {name for part in told for name in re.findall(r"`(\w+)`", part)}
        found |= dict.fromkeys(heading.split(", "), columns)
    return found


def called(name: str) -> str:
    """The name of a table on the page."""
    name = re.sub(r"^((?:train/\w+|predict))/default/", r"\1/NAME/", name)
    name = re.sub(r"^crops/[^/]+/", "crops/REGION_SIZE/", name)
    return re.sub(r"GT_EdU_BrdU", "GT_ROUND", name)


def test_every_column_of_every_table_is_explained_and_no_other(processed: Path) -> None:
    page, tables = explained(), written(processed, ".csv", ".parquet")
    assert len(tables) > 15
    for file, path in tables:
        name = called(file)
        table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        columns = {column for column in table.columns if not FEATURE.match(column)}
        for pattern, word in NAMED:
            columns = {re.sub(f"^{pattern}$", word, column) for column in columns}
        assert columns - page[name] == set(), name
        if not any(re.fullmatch(pattern, name) for pattern in ONE_OF):
            assert page[name] - columns - SOMETIMES.get(name, set()) == set(), name


def test_every_figure_is_explained(processed: Path) -> None:
    text = (DOCS / "explanation" / "figures.md").read_text(encoding="utf-8")
    captions = (processed.parent / "results" / "report" / "captions.md").read_text("utf-8")
    for name, path in written(processed, ".png"):
        inside = re.sub(r"shifts-\w+", "shifts-ROUND", path.name)
        told = captions if name.startswith("report/") else text
        assert inside in told or path.name in told or "overlays/" in name, name
