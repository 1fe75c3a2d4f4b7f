"""Plates of a few tiny fields whose masks and truth are known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from nucprof.config import load_project
from nucprof.io.images import write_image, write_labels
from nucprof.io.tables import read_table
from nucprof.run.pipeline import Options, Run
from nucprof.run.reporter import StageResult
from nucprof.stages import stage

CHANNELS = ("DNA", "GFP")
PROJECT = """\
[project]
name = "p"
[[plates]]
name = "p"
cell_painting = "CP"
{layout}
[channels]
cell_painting = ["DNA", "GFP"]
nuclei = "DNA"
[execution]
workers = 1
[segment]
backend = "labels"
path = "made"
"""


class MaskedPlate:
    """A plate without ground truth whose masks were made elsewhere."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.layout = ""
        self.settings = ""

    def add(self, field: str, image: np.ndarray, labels: np.ndarray | None = None) -> None:
        """Write a field, and its mask for the labels backend."""
        write_image(self.root / "CP" / f"{field}.tif", image)
        if labels is not None:
            write_labels(self.root / "made" / f"{field}.tif", labels)

    @property
    def project(self) -> Path:
        path = self.root / "project.toml"
        layout = f'layout = "{self.layout}"' if self.layout else ""
        path.write_text(PROJECT.format(layout=layout) + self.settings, encoding="utf-8")
        return path

    def run(self, *names: str, **options: object) -> tuple[Run, Mapping[str, StageResult]]:
        """Run stages; ``rename`` and ``segment`` come first where neither is named."""
        run = Run(load_project(self.project), Options(**options))
        if not {"rename", "segment"} & set(names):
            names = ("rename", "segment", *names)
        return run, {name: run.run_stage(stage(name)) for name in names}

    def ledger(self) -> dict[str, str]:
        """Fate by cell: an empty text for those kept, else stage and reason."""
        table = read_table(self.root / "results" / "cells.parquet")
        return {
            row.Metadata_ROI_img_name: "" if row.status == "kept" else f"{row.stage}: {row.reason}"
            for row in table.itertuples()
        }


@pytest.fixture
def masked_plate(tmp_path: Path) -> MaskedPlate:
    """An empty plate for the labels backend; add fields, then run stages."""
    return MaskedPlate(tmp_path)


@pytest.fixture
def paint():
    """Draw squares: ``paint(shape, {label: (top, left, height, width)})``."""

    def draw(shape: tuple[int, int], boxes: Mapping[int, tuple[int, int, int, int]]) -> np.ndarray:
        labels = np.zeros(shape, np.int64)
        for label, (top, left, height, width) in boxes.items():
            labels[top : top + height, left : left + width] = label
        return labels

    return draw
