"""AnnData for scanpy: features, embeddings, map, positions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nucprof.io.files import atomic
from nucprof.io.tables import read_table
from nucprof.plate.columns import CELL, KEY, PLATE
from nucprof.project.export.tables import CellTable, FeatureName, cell_table
from nucprof.project.reader import ProjectResults
from nucprof.version import __version__


def write(results: ProjectResults, path: Path) -> list[str]:
    """Write an ``.h5ad`` file.

    ``X``: features, float32; ``var``: round, compartment, category, feature and channel of each;
    ``obs``: metadata and classes, named ``plate/cell``; ``obsm``: ``spatial`` (x and y in the
    field, px), ``X_embedding`` and ``X_umap`` or ``X_pca`` if ``embed`` has run; ``uns``: project,
    plates, settings, version. Cells without embedding have NaN there.
    """
    import anndata

    table = cell_table(results)
    cells = table.cells
    obs = cells[table.metadata].copy()
    obs.index = pd.Index(cells[PLATE] + "/" + cells[CELL], dtype=str)
    data = anndata.AnnData(
        X=cells[table.features].to_numpy(dtype=np.float32),
        obs=_categories(obs),
        var=_variables(table),
        obsm=_coordinates(results, cells),
        uns={"nucprof": _about(results)},
    )
    with atomic(path) as temporary:
        data.write_h5ad(temporary)
    held = ", ".join(data.obsm)
    return [f"{data.n_obs} cells, {data.n_vars} features, obsm: {held}"]


def _variables(table: CellTable) -> pd.DataFrame:
    rows = []
    for name, round_name in table.rounds.items():
        parts = FeatureName.parse(name.removesuffix(f"_{round_name}"))
        rows.append((round_name, parts.compartment, parts.category, parts.feature, parts.channel))
    columns = ["round", "compartment", "category", "feature", "channel"]
    return pd.DataFrame(rows, columns=columns, index=pd.Index(table.features, dtype=str))


def _categories(obs: pd.DataFrame) -> pd.DataFrame:
    """Texts as categories, a missing one as such: h5ad stores no mixture of text and NaN."""
    return obs.assign(
        **{
            name: pd.Categorical(obs[name])
            for name in obs.columns
            if not pd.api.types.is_numeric_dtype(obs[name])
        }
    )


def _coordinates(results: ProjectResults, cells: pd.DataFrame) -> dict[str, np.ndarray]:
    found = {"spatial": cells[["Metadata_Center_X", "Metadata_Center_Y"]].to_numpy(dtype=float)}
    folder = results.files.folder("embed")
    for name, file, prefix in (
        ("X_embedding", "embeddings.parquet", "Embedding_"),
        ("X_umap", "umap.csv", "umap_"),
        ("X_pca", "umap.csv", "pca_"),
    ):
        if not (folder / file).is_file():
            continue
        table = read_table(results.require(folder / file, "embed"))
        columns = [column for column in table.columns if column.startswith(prefix)]
        if columns:
            joined = cells[KEY].merge(table[[*KEY, *columns]], on=KEY, how="left", validate="1:1")
            found[name] = joined[columns].to_numpy(dtype=np.float32)
    return found


def _about(results: ProjectResults) -> dict[str, Any]:
    project = results.project
    return {
        "version": __version__,
        "project": project.project.name,
        "plates": [plate.name for plate in project.plates],
        "channels": list(project.channels.cell_painting),
        "settings": json.dumps(project.model_dump(mode="json")),
    }
