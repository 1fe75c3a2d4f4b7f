"""Every table of the results as CSV, in one folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from nucprof.errors import ResultMissing, UserError
from nucprof.io.tables import write_table
from nucprof.plate.keys import CP_ROUND
from nucprof.project.export.tables import one_vocabulary
from nucprof.project.reader import ProjectResults


def write(results: ProjectResults, folder: Path) -> list[str]:
    """Write the tables that exist; raises :class:`UserError` if there is none."""
    # All are read before the first is written: one that is refused leaves no half of a folder.
    present = {name: read for name, read in _tables(results).items() if _can_be_read(read)}
    if not present:
        raise UserError("There are no tables yet; run: nucprof run-all PROJECT")
    lines = []
    for name, read in present.items():
        table = one_vocabulary(read())
        write_table(folder / f"{name}.csv", table)
        lines.append(f"{name}.csv: {len(table)} rows")
    return lines


def _can_be_read(read: Callable[[], pd.DataFrame]) -> bool:
    """Whether a table exists; raises :class:`UserError` if it is not as its stage wrote it."""
    try:
        read()
    except ResultMissing:
        return False  # its stage has not run
    return True


def _tables(results: ProjectResults) -> dict[str, Callable[[], pd.DataFrame]]:
    def features(round_name: str) -> Callable[[], pd.DataFrame]:
        return lambda: results.features(round_name)

    return {
        "images": lambda: results.images,
        "cells": lambda: results.cells,
        "registration": lambda: results.registration,
        "features_CP": features(CP_ROUND),
        **{f"features_GT_{name}": features(name) for name in results.project.rounds},
        "classes": lambda: results.classes,
        "predictions_rf": lambda: results.predictions("rf"),
        "predictions_cnn": lambda: results.predictions("cnn"),
        "embeddings": lambda: results.embeddings,
        "composition": lambda: results.composition(),
    }
