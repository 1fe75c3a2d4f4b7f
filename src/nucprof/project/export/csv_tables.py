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
    lines = []
    for name, read in _tables(results).items():
        try:
            table = one_vocabulary(read())
        except ResultMissing:
            continue  # its stage has not run
        write_table(folder / f"{name}.csv", table)
        lines.append(f"{name}.csv: {len(table)} rows")
    if not lines:
        raise UserError("There are no tables yet; run: nucprof run-all PROJECT")
    return lines


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
