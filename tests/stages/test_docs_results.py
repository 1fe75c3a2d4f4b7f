"""Every column and every figure that a run writes is explained in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

DOCS = Path(__file__).parents[2] / "docs"
# features, places on the map, and intensities of the plate's markers
FEATURE = re.compile(r"(Nuclei|Patch|Cells|Cytoplasm)_|Embedding_|(umap|pca)_\d|(EdU|BrdU)$")
INTERNAL = ("parts/", "journal/", "logs/")


def written(project: Path, *suffixes: str) -> list[tuple[str, Path]]:
    results = project.parent / "results"
    files = [path for path in sorted(results.rglob("*")) if path.suffix in suffixes]
    named = [(path.relative_to(results).as_posix(), path) for path in files]
    return [(name, path) for name, path in named if not name.startswith(INTERNAL)]


def test_every_column_is_explained(processed: Path) -> None:
    text = (DOCS / "reference" / "tables.md").read_text(encoding="utf-8")
    tables = written(processed, ".csv", ".parquet")
    assert len(tables) > 15
    for name, path in tables:
        table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        for column in table.columns:
            column = re.sub(r"^p_\w+", "p_CLASS", column)
            assert FEATURE.match(column) or f"`{column}`" in text, f"{name}: {column}"


def test_every_figure_is_explained(processed: Path) -> None:
    text = (DOCS / "explanation" / "figures.md").read_text(encoding="utf-8")
    captions = (processed.parent / "results" / "report" / "captions.md").read_text("utf-8")
    for name, path in written(processed, ".png"):
        inside = re.sub(r"shifts-\w+", "shifts-ROUND", path.name)
        told = captions if name.startswith("report/") else text
        assert inside in told or path.name in told or "overlays/" in name, name
