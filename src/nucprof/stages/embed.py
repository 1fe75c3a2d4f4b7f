"""Features of every cell, from the network or handcrafted, and their map."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucprof.config import Project
from nucprof.config.by_mode import CropKind, crop_kind
from nucprof.config.models import EmbedSettings, Precision
from nucprof.io.digest import WHERE_IT_RUNS, sha256
from nucprof.learn.cells import add_true_class
from nucprof.learn.cnn.crop_table import (
    crop_files,
    network_inputs,
    trained_network,
)
from nucprof.learn.model_files import DESCRIPTION, WEIGHTS, scaled_by_plate
from nucprof.learn.references import References, references_of
from nucprof.plate.keys import CP_ROUND
from nucprof.stages.base import (
    Context,
    Entry,
    Job,
    Outcome,
    Plan,
    Stage,
    Summary,
    disabled,
)

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


@dataclass(frozen=True)
class Network:
    """A trained network and the crops that it sees; ``index`` is the crops' index table.

    ``references`` is None if the network scales each crop separately.
    """

    crops: CropKind
    index: Path
    references: References | None
    folder: Path = dataclasses.field(metadata=WHERE_IT_RUNS)
    device: str = dataclasses.field(metadata=WHERE_IT_RUNS)
    precision: Precision = dataclasses.field(metadata=WHERE_IT_RUNS)


@dataclass(frozen=True, kw_only=True)
class EmbedJob(Job):
    """All cells; ``network`` is None for handcrafted features."""

    settings: EmbedSettings
    seed: int
    features: Path
    gate: Path | None
    network: Network | None
    folder: Path = dataclasses.field(metadata=WHERE_IT_RUNS)
    colours: Path = dataclasses.field(metadata=WHERE_IT_RUNS)


@dataclass(frozen=True)
class EmbedRecord:
    """Cells on the map, and the number of features behind it."""

    cells: int
    features: int


def plan(context: Context) -> Plan[EmbedJob]:
    """One job: all cells, labelled or not."""
    project, results = context.project, context.results
    settings = project.embed
    folder = results.folder("embed")
    features = results.features(CP_ROUND)
    gate = results.classes if project.has_ground_truth else None
    inputs = [features, *([gate] if gate else [])]
    network = None
    if settings.source == "cnn":
        trained = trained_network(results, settings.model)
        crops = crop_files(project, results)
        references = references_of(project) if scaled_by_plate(trained) else None
        inputs += [trained / DESCRIPTION, trained / WEIGHTS, *crops]
        inputs += references.files if references else ()
        network = Network(
            crop_kind(project),
            crops[0],
            references,
            trained,
            project.execution.device,
            project.execution.precision,
        )
    names = ["embeddings.parquet", "umap.csv", "umap.png"]
    if settings.map is None:
        names.append("map.npz")
    else:
        inputs.append(settings.map)
    names += ["embeddings.csv"] if settings.csv else []
    job = EmbedJob(
        inputs=tuple(inputs),
        outputs=tuple(folder / name for name in names),
        settings=settings,
        seed=project.project.seed,
        features=features,
        gate=gate,
        network=network,
        folder=folder,
        colours=results.colours,
    )
    return Plan([job])


def work(job: EmbedJob) -> Outcome[EmbedRecord]:
    """Embed, map, write."""
    from nucprof.io.tables import read_table, write_table
    from nucprof.learn.embedding import fit_map, load_map, scale_by_plate
    from nucprof.plate.columns import PLATE, in_key_order

    settings, folder = job.settings, job.folder
    cells = in_key_order(add_true_class(read_table(job.features), job.gate))
    known = load_map(settings.map) if settings.map else None
    values, names, weights = _features(job, cells, known)
    if settings.scaling == "plate":
        values = scale_by_plate(values, cells[PLATE].to_numpy(dtype=str))
    about_map = {
        "source": settings.source,
        "scaling": settings.scaling,
        "features": names,
        "weights": weights,
    }
    if known is None:
        fitted, places = fit_map(values, method=settings.method, seed=job.seed, metadata=about_map)
        fitted.save(folder / "map.npz")
    else:
        fitted = known
        fitted.check_made_of(about_map)
        places = fitted.project(values)
    about = _about(cells)
    _write_embeddings(job, about, values, names)
    first, second = f"{fitted.method}_1", f"{fitted.method}_2"
    write_table(folder / "umap.csv", about.assign(**{first: places[:, 0], second: places[:, 1]}))
    _draw(job, about, places, fitted.axis_names)
    return Outcome(EmbedRecord(len(cells), len(names)))


def _features(
    job: EmbedJob, cells: pd.DataFrame, known: Map | None
) -> tuple[np.ndarray, list[str], str]:
    """Values `(n, D)` and names of the features that are mapped, and the network's hash."""
    if job.network is None:
        from nucprof.learn.selection import choose_features, informative
        from nucprof.plate.columns import require

        if known is not None and known.metadata.get("source") == "features":
            names = known.metadata["features"]
            require(cells, names)
        else:
            names = informative(cells, choose_features(list(cells.columns)), drop_redundant=False)
        return cells[names].to_numpy(dtype=float), names, ""
    from nucprof.learn.cnn.model import load_cnn

    network = job.network
    model = load_cnn(network.folder)
    inputs = network_inputs(
        model,
        cells,
        network.index,
        network.crops,
        network.references,
        device=network.device,
        precision=network.precision,
    )
    values = model.embed(inputs)
    names = [f"Embedding_{i:04d}" for i in range(values.shape[1])]
    return values, names, sha256(network.folder / WEIGHTS)


def _about(cells: pd.DataFrame) -> pd.DataFrame:
    """Key, well, class and density of every cell, joinable with every other table."""
    kept = [*METADATA, *(["true_condition"] if "true_condition" in cells else [])]
    return cells[[name for name in kept if name in cells]].reset_index(drop=True)


def _write_embeddings(
    job: EmbedJob, about: pd.DataFrame, values: np.ndarray, names: list[str]
) -> None:
    import numpy as np
    import pandas as pd

    from nucprof.io.tables import write_table

    features = pd.DataFrame(values.astype(np.float32), columns=names)
    table = pd.concat([about, features], axis=1)
    write_table(job.folder / "embeddings.parquet", table)
    if job.settings.csv:
        write_table(job.folder / "embeddings.csv", table)


def _draw(job: EmbedJob, about: pd.DataFrame, places: np.ndarray, axes: tuple[str, str]) -> None:
    from nucprof.figures import plots
    from nucprof.figures.canvas import NO_CLASS
    from nucprof.figures.colours import project_colours
    from nucprof.io.files import atomic

    unknown = "not in the layout"
    panels: dict[str, Any] = {}
    if "true_condition" in about:
        panels["true class"] = about["true_condition"].to_numpy(dtype=str)
    panels["culture"] = about["Metadata_Target"].fillna(unknown).to_numpy(dtype=str)
    names = sorted(set().union(*panels.values()) - {unknown})
    colours = project_colours(job.colours, names) | {unknown: NO_CLASS}
    if about["Metadata_Plate"].nunique() > 1:
        panels["plate"] = about["Metadata_Plate"].to_numpy(dtype=str)
    panels["cells in the field"] = about["Metadata_FieldCellCount"].to_numpy(dtype=float)
    what = "the network's features" if job.settings.source == "cnn" else "handcrafted features"
    with atomic(job.folder / "umap.png") as target:
        plots.umap_scatter(
            target, places[:, 0], places[:, 1], panels, title=f"Map of {what}", axis_names=axes,
            colours=colours,
        )  # fmt: skip


def finish(
    context: Context, plan: Plan[EmbedJob], entries: Sequence[Entry[EmbedRecord]]
) -> Summary:
    """Report what was mapped."""
    job = plan.jobs[0]
    settings = job.settings
    (record,) = (entry.record for entry in entries)
    assert record is not None
    return Summary(
        list(job.outputs),
        {"cells": record.cells, "features": record.features},
        [
            f"{settings.method} of {record.features} features of {record.cells} cells"
            + (f", on the map {settings.map}" if settings.map else ""),
            f"look at {job.folder / 'umap.png'}",
        ],
    )


def _needs(project: Project) -> tuple[str, ...]:
    by_network = project.embed.source == "cnn"
    return ("features", "gate", *(("crop", "train-cnn") if by_network else ()))


def _skip(project: Project) -> str | None:
    off = disabled("embed")(project)
    return off or (disabled("train.cnn")(project) if project.embed.source == "cnn" else None)


STAGE = Stage(
    name="embed",
    help="Embed every cell and draw the map",
    sections=("embed",),
    needs=_needs,
    makes=("embed/",),
    plan=plan,
    work=work,
    finish=finish,
    record=EmbedRecord,
    skip=_skip,
)
