"""A profile table for pycytominer: Cell Painting features and ``Metadata_...`` columns."""

from __future__ import annotations

from pathlib import Path

from nucprof.io.tables import write_table
from nucprof.project.export.tables import FeatureName, cell_table
from nucprof.project.reader import ProjectResults


def write(results: ProjectResults, path: Path) -> list[str]:
    """Write one row per cell as Parquet.

    pycytominer infers features from the compartments Cells, Nuclei and Cytoplasm; the lines show
    the call that takes Patch too.
    """
    table = cell_table(results, ground_truth=False)
    write_table(path, table.cells)
    compartments = sorted({FeatureName.parse(name).compartment for name in table.features})
    return [
        f"{len(table.cells)} cells, {len(table.features)} features",
        "features for pycytominer: pycytominer.cyto_utils.infer_cp_features(profiles, "
        f"compartments={compartments})",
    ]
