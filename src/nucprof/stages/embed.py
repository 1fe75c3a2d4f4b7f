"""Features of every cell, from the network or handcrafted, and their map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucprof.io.files import atomic, sha256
from nucprof.io.tables import read_table, write_table
from nucprof.learn.cells import add_true_class, gate_table
from nucprof.learn.cnn.crop_table import (
    crop_files,
    crop_folder,
    crop_kind,
    open_cells_crops,
    trained_network,
)
from nucprof.learn.model_files import DESCRIPTION, WEIGHTS
from nucprof.plate.keys import CP_ROUND
from nucprof.stages.base import WHOLE, Context, Entry, Job, Outcome, Plan, Summary, require

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from nucprof.learn.embedding import Map

METADATA = [
    "Metadata_Plate",
    "Metadata_Well",
    "Metadata_Site",
    "Metadata_ObjectNumber",
    "Metadata_ROI_img_name",
    "Metadata_Target",
    "Metadata_FieldCellCount",
]


def plan(context: Context) -> Plan:
    """One job: all cells, labelled or not."""
    project, results = context.project, context.results
    settings, gated = project.embed, project.has_ground_truth
    by_network = settings.source == "cnn"
    require(
        context,
        "features",
        *(["gate"] if gated else []),
        *(["crop"] if by_network else []),
    )
    folder = results.folder("embed")
    inputs = [results.features(CP_ROUND), *([gate_table(results)] if gated else [])]
    if by_network:
        trained = trained_network(results, settings.model)
        inputs += [trained / DESCRIPTION, trained / WEIGHTS, *crop_files(project, results)]
    names = ["embeddings.parquet", "umap.csv", "umap.png"]
    if settings.map is None:
        names.append("map.npz")
    else:
        inputs.append(settings.map)
    names += ["embeddings.csv"] if settings.csv else []
    job = Job(
        *WHOLE,
        tuple(inputs),
        tuple(folder / name for name in names),
        {
            "settings": settings,
            "seed": project.project.seed,
            "gated": gated,
            "crops": vars(crop_kind(project)) if by_network else None,
        },
        {
            "folder": folder,
            "trained": trained if by_network else None,
            "index": crop_folder(project, results) / "index.parquet",
            "kind": crop_kind(project) if by_network else None,
            "device": project.execution.device,
        },
    )
    return Plan([job])


def work(job: Job) -> Outcome:
    """Embed, map, write."""
    from nucprof.learn.embedding import fit_map, load_map, scale_by_plate
    from nucprof.plate.columns import PLATE, in_key_order

    settings, folder = job.params["settings"], job.runtime["folder"]
    table = read_table(job.inputs[0])
    cells = in_key_order(add_true_class(table, job.inputs[1] if job.params["gated"] else None))
    known = load_map(settings.map) if settings.map else None
    values, names, weights = _features(job, cells, known)
    if settings.scaling == "plate":
        values = scale_by_plate(values, cells[PLATE].to_numpy(dtype=str))
    about_map = {"source": settings.source, "scaling": settings.scaling, "features": names}
    about_map["weights"] = weights
    if known is None:
        fitted, places = fit_map(
            values, method=settings.method, seed=job.params["seed"], metadata=about_map
        )
        fitted.save(folder / "map.npz")
    else:
        fitted = known
        fitted.check_made_of(about_map)
        places = fitted.project(values)
    about = _about(cells)
    _write_embeddings(job, about, values, names)
    first, second = f"{fitted.method}_1", f"{fitted.method}_2"
    write_table(folder / "umap.csv", about.assign(**{first: places[:, 0], second: places[:, 1]}))
    _draw(folder / "umap.png", about, places, fitted.axis_names, settings.source)
    return Outcome({"cells": len(cells), "features": len(names)})


def _features(
    job: Job, cells: pd.DataFrame, known: Map | None
) -> tuple[np.ndarray, list[str], str]:
    """Values `(n, D)` and names of the features that are mapped, and the network's hash."""
    if job.params["settings"].source == "features":
        from nucprof.learn.selection import choose_features, informative
        from nucprof.plate.columns import require as require_columns

        if known is not None and known.metadata.get("source") == "features":
            names = known.metadata["features"]
            require_columns(cells, names)
        else:
            names = informative(cells, choose_features(list(cells.columns)), drop_redundant=False)
        return cells[names].to_numpy(dtype=float), names, ""
    from nucprof.learn.cnn.model import load_cnn
    from nucprof.learn.device import resolve_device
    from nucprof.plate.columns import PLATE

    model = load_cnn(job.runtime["trained"])
    channels = model.check_fits(job.runtime["kind"])
    crops = open_cells_crops(
        cells, job.runtime["index"], channels, masked=job.runtime["kind"].masked
    )
    device = resolve_device(job.runtime["device"])
    values = model.embed(model.inputs(crops, cells[PLATE].to_numpy(dtype=str), device))
    names = [f"Embedding_{i:04d}" for i in range(values.shape[1])]
    return values, names, sha256(job.runtime["trained"] / WEIGHTS)


def _about(cells: pd.DataFrame) -> pd.DataFrame:
    """Key, well, class and density of every cell, joinable with every other table."""
    kept = [*METADATA, *(["true_condition"] if "true_condition" in cells else [])]
    return cells[[name for name in kept if name in cells]].reset_index(drop=True)


def _write_embeddings(job: Job, about: pd.DataFrame, values: np.ndarray, names: list[str]) -> None:
    import numpy as np
    import pandas as pd

    features = pd.DataFrame(values.astype(np.float32), columns=names)
    table = pd.concat([about, features], axis=1)
    write_table(job.runtime["folder"] / "embeddings.parquet", table)
    if job.params["settings"].csv:
        write_table(job.runtime["folder"] / "embeddings.csv", table)


def _draw(
    path: Path, about: pd.DataFrame, places: np.ndarray, axes: tuple[str, str], source: str
) -> None:
    from nucprof.figures import plots

    panels: dict[str, Any] = {}
    if "true_condition" in about:
        panels["true class"] = about["true_condition"].to_numpy(dtype=str)
    panels["culture"] = about["Metadata_Target"].fillna("not in the layout").to_numpy(dtype=str)
    if about["Metadata_Plate"].nunique() > 1:
        panels["plate"] = about["Metadata_Plate"].to_numpy(dtype=str)
    panels["well"] = about["Metadata_Well"].to_numpy(dtype=str)
    panels["cells in the field"] = about["Metadata_FieldCellCount"].to_numpy(dtype=float)
    what = "the network's features" if source == "cnn" else "handcrafted features"
    with atomic(path) as target:
        plots.umap_scatter(
            target, places[:, 0], places[:, 1], panels, title=f"Map of {what}", axis_names=axes
        )


def finish(context: Context, plan: Plan, entries: Sequence[Entry]) -> Summary:
    """Tell what was mapped."""
    job, record = plan.jobs[0], entries[0].record
    settings = job.params["settings"]
    return Summary(
        list(job.outputs),
        dict(record),
        [
            f"{settings.method} of {record['features']} features of {record['cells']} cells"
            + (f", on the map {settings.map}" if settings.map else ""),
            f"look at {job.runtime['folder'] / 'umap.png'}",
        ],
    )
