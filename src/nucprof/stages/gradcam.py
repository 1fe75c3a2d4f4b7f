"""Where the network looked: maps of chosen cells, class means, and a table of attention."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nucprof.config import Project
from nucprof.config.by_mode import CropKind, crop_kind
from nucprof.config.models import GradcamSettings, Precision
from nucprof.io.digest import WHERE_IT_RUNS
from nucprof.learn.cnn.crop_table import (
    crop_files,
    network_inputs,
    trained_network,
)
from nucprof.learn.model_files import DESCRIPTION, WEIGHTS, scaled_by_plate
from nucprof.learn.references import References, references_of
from nucprof.plate.keys import CP_ROUND, parse_cell_key
from nucprof.stages.base import (
    Context,
    Entry,
    Job,
    Outcome,
    Plan,
    Stage,
    Summary,
    disabled,
    fields_with_masks,
    mask_path,
    needs,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FILES = ("index.csv", "attention.csv", "crops.png", "mean.png", "gallery.png", "mistakes.png")
ALL = "all classes"
_MAPPED_PER_CLASS = 200  # cells per class behind the mean maps and the table


@dataclass(frozen=True, kw_only=True)
class GradcamJob(Job):
    """The cells that a network was tested on; ``masks`` are their nuclei, by plate and field.

    ``pixel_size_um`` is the side of a pixel if it is known; ``references`` is None if the network
    scales each crop separately.
    """

    settings: GradcamSettings
    seed: int
    crops: CropKind
    index: Path
    masks: dict[tuple[str, str], Path]
    references: References | None = None
    trained: Path = dataclasses.field(metadata=WHERE_IT_RUNS)
    folder: Path = dataclasses.field(metadata=WHERE_IT_RUNS)
    device: str = dataclasses.field(metadata=WHERE_IT_RUNS)
    precision: Precision = dataclasses.field(metadata=WHERE_IT_RUNS)
    pixel_size_um: float | None = dataclasses.field(metadata=WHERE_IT_RUNS)


@dataclass(frozen=True)
class Attention:
    """Means over the maps with evidence; None if all maps of ``cells`` are empty.

    Share of the attention on nuclei, also with a ring around them, and the area of these; drop of
    the margin when the pixels of highest attention are removed, and for random maps.
    """

    predicted: str
    cells: int
    no_evidence: int
    nucleus: float | None
    nucleus_area: float | None
    with_ring: float | None
    with_ring_area: float | None
    deletion: float | None
    deletion_random: float | None
    nucleus_ratio: float | None
    with_ring_ratio: float | None


@dataclass(frozen=True)
class GradcamRecord:
    """The attention by predicted class, the last one over all."""

    attention: tuple[Attention, ...]


def plan(context: Context) -> Plan[GradcamJob]:
    """One job: cells that the network was tested on, which it had not seen."""
    project, results = context.project, context.results
    trained = trained_network(results, project.gradcam.model)
    folder = results.folder("gradcam")
    fields = fields_with_masks(context)
    masks = {key: mask_path(context, "nuclei", *key) for key in fields}
    image = context.images.sources(*fields[0], CP_ROUND, [project.channels.nuclei])[0]
    crops = crop_files(project, results)
    references = references_of(project) if scaled_by_plate(trained) else None
    job = GradcamJob(
        inputs=(
            trained / DESCRIPTION,
            trained / WEIGHTS,
            trained / "predictions.csv",
            *crops,
            *masks.values(),
            *(references.files if references else ()),
        ),
        outputs=tuple(folder / name for name in FILES),
        settings=project.gradcam,
        seed=project.project.seed,
        crops=crop_kind(project),
        index=crops[0],
        masks=masks,
        references=references,
        trained=trained,
        folder=folder,
        device=project.execution.device,
        precision=project.execution.precision,
        pixel_size_um=image.pixel_size_um,
    )
    return Plan([job])


def work(job: GradcamJob) -> Outcome[GradcamRecord]:
    """Explain, measure, draw."""
    import numpy as np

    from nucprof.figures.gradcam import Pictures
    from nucprof.io.tables import write_table
    from nucprof.learn.cnn.gradcam import attention_inside, attention_maps, deletion, random_maps
    from nucprof.learn.cnn.model import load_cnn
    from nucprof.plate.columns import CELL, PLATE, WELL

    model = load_cnn(job.trained)
    tested = _tested(job)
    keys = tested.rename(columns={"plate": PLATE, "ROI_img_name": CELL, "well": WELL})
    inputs = network_inputs(
        model,
        keys,
        job.index,
        job.crops,
        job.references,
        device=job.device,
        precision=job.precision,
    )
    classes = np.searchsorted(model.classes, tested["predicted"].to_numpy(dtype=str))
    mapped = _some_of_each(classes, job.seed)
    shown = _chosen(job, tested, model.classes)
    numbers = np.union1d(mapped, shown)
    explained = (model.network, inputs, numbers, classes[numbers])
    maps = attention_maps(*explained)
    chance = random_maps(len(numbers), model.image_size, seed=job.seed)
    nuclei = _nuclei(job, tested.iloc[numbers], inputs.crops.shape[2])
    attention = attention_inside(maps, nuclei)
    measured = {
        "no_evidence": ~maps.any(axis=(1, 2)),
        **vars(attention),
        "deletion": deletion(*explained, maps),
        "deletion_random": deletion(*explained, chance),
    }
    table = tested.iloc[numbers].reset_index(drop=True).assign(**measured)
    Pictures(
        folder=job.folder,
        choose=job.settings.choose,
        per_class=job.settings.per_class,
        classes=model.classes,
        channels=model.crops.channels,
        enlarged=model.image_size / model.crops.patch_size,
        prepare=lambda rows: inputs.prepare(rows).cpu().numpy(),
        tested=tested,
        numbers=numbers,
        maps=maps,
        nuclei=nuclei,
        pixel_um=job.pixel_size_um,
    ).draw(mapped, shown)
    write_table(job.outputs[0], table[np.isin(numbers, shown)])
    summary = _summary(table[np.isin(numbers, mapped)])
    write_table(job.outputs[1], summary)
    known = summary.astype(object).where(summary.notna(), None)
    return Outcome(GradcamRecord(tuple(Attention(**row) for row in known.to_dict("records"))))


def _tested(job: GradcamJob) -> pd.DataFrame:
    """Cells of the model's unseen wells, of its first run, with the confidence of their class."""
    from nucprof.io.tables import read_table

    table = read_table(job.trained / "predictions.csv")
    first = table["seed"] == table["seed"].iloc[0]
    if "repeat" in table:
        first &= table["repeat"] == 0
    table = table[first].reset_index(drop=True)
    likely = [name for name in table.columns if name.startswith("p_")]
    return table.assign(confidence=table[likely].max(axis=1)).drop(columns=likely)


def _some_of_each(classes: np.ndarray, seed: int) -> np.ndarray:
    import numpy as np

    order = np.random.default_rng(seed).permutation(len(classes))
    return np.sort(
        np.concatenate([order[classes[order] == k][:_MAPPED_PER_CLASS] for k in np.unique(classes)])
    )


def _chosen(job: GradcamJob, tested: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    import numpy as np

    from nucprof.learn.cnn.gradcam import choose_crops

    settings = job.settings
    return choose_crops(
        np.searchsorted(classes, tested["predicted"].to_numpy(dtype=str)),
        tested["confidence"].to_numpy(),
        np.searchsorted(classes, tested["true_condition"].to_numpy(dtype=str)),
        n_classes=len(classes),
        per_class=settings.per_class,
        choose=settings.choose,
        seed=job.seed,
    )


def _nuclei(job: GradcamJob, cells: pd.DataFrame, size: int) -> np.ndarray:
    """The cells' own nuclei in their crops, `(n, size, size)` bool, by label, not by position."""
    import numpy as np

    from nucprof.core.crops import extract_crops
    from nucprof.core.labels import ObjectIndex
    from nucprof.io.images import read_labels

    out = np.zeros((len(cells), size, size), dtype=bool)
    names = cells["ROI_img_name"].map(parse_cell_key)
    fields = [str(field) for field, _ in names]
    labels_of = np.array([label for _, label in names])
    for plate, field in sorted(set(zip(cells["plate"], fields, strict=True))):
        labels = read_labels(job.masks[plate, field])
        here = np.flatnonzero((cells["plate"] == plate) & (np.array(fields) == field))
        objects = ObjectIndex.of(labels)
        rows = np.searchsorted(objects.ids, labels_of[here])
        ones = np.ones((1, *labels.shape), dtype=np.uint8)
        cut, _ = extract_crops(
            ones, labels, objects.ids[rows], objects.centroids[rows], size, masked=True
        )
        out[here] = cut[:, 0] > 0
    return out


def _summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means by class of the cells with evidence, and the same for uniform and random maps."""
    import pandas as pd

    every = pd.concat([table, table.assign(predicted=ALL)])
    groups = every.groupby("predicted")
    names = [*sorted(table["predicted"].unique()), ALL]
    measures = [
        "nucleus", "nucleus_area", "with_ring", "with_ring_area", "deletion", "deletion_random",
    ]  # fmt: skip
    means = every[~every["no_evidence"]].groupby("predicted")[measures].mean().reindex(names)
    means.insert(0, "cells", groups.size().reindex(names))
    means.insert(1, "no_evidence", groups["no_evidence"].sum().reindex(names))
    means["nucleus_ratio"] = means["nucleus"] / means["nucleus_area"]
    means["with_ring_ratio"] = means["with_ring"] / means["with_ring_area"]
    return means.rename_axis("predicted").reset_index()


def finish(
    context: Context, plan: Plan[GradcamJob], entries: Sequence[Entry[GradcamRecord]]
) -> Summary:
    """Report the share of attention on nuclei, and whether the maps can be trusted."""
    from nucprof.io.files import read_json

    job = plan.jobs[0]
    (record,) = (entry.record for entry in entries)
    assert record is not None
    every = record.attention[-1]
    metrics = read_json(job.trained / "metrics.json")
    return Summary(
        list(job.outputs),
        {"attention_in_nucleus": every.nucleus, "n_test": metrics["n_test"]},
        [*_lines(every), f"look at {job.folder / 'crops.png'} and mean.png"],
    )


def _lines(every: Attention) -> list[str]:
    left_out = (
        f"{every.no_evidence} of {every.cells} maps show no evidence for the predicted class and "
        "are left out of the means"
    )
    if every.no_evidence == every.cells:
        return [left_out]
    return [
        f"{every.nucleus:.0%} of the attention lies inside the nucleus, which covers "
        f"{every.nucleus_area:.0%} of the crop; with a ring around the nucleus, "
        f"{every.with_ring:.0%} lies in {every.with_ring_area:.0%} of the crop",
        "removing the 20% of the pixels with the highest attention lowers the margin of the "
        f"predicted class by {every.deletion:.2f}; removing 20% chosen by random maps lowers it "
        f"by {every.deletion_random:.2f}",
        left_out,
    ]


def _skip(project: Project) -> str | None:
    return disabled("gradcam")(project) or disabled("train.cnn")(project)


STAGE = Stage(
    name="gradcam",
    help="Show where the network looks",
    sections=("gradcam",),
    needs=needs("crop", "train-cnn"),
    makes=("gradcam/",),
    plan=plan,
    work=work,
    finish=finish,
    record=GradcamRecord,
    skip=_skip,
    version=3,
)
