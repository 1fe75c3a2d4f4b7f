"""Where the network looked: Grad-CAM of chosen cells, class means, and a table of attention."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nucprof.core.crops import extract_crops
from nucprof.core.labels import ObjectIndex
from nucprof.io.files import read_json
from nucprof.io.images import describe, read_labels
from nucprof.io.tables import read_table, write_table
from nucprof.learn.cnn.crop_table import (
    crop_files,
    crop_folder,
    crop_kind,
    open_cells_crops,
    trained_network,
)
from nucprof.learn.model_files import DESCRIPTION, WEIGHTS
from nucprof.plate.keys import CP_ROUND, parse_cell_key
from nucprof.stages.base import (
    WHOLE,
    Context,
    Entry,
    Job,
    Outcome,
    Plan,
    Summary,
    fields_with_masks,
    mask_path,
    require,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FILES = ("index.csv", "attention.csv", "crops.png", "mean.png", "gallery.png", "mistakes.png")
_MAPPED_PER_CLASS = 200  # cells per class behind the mean maps and the table


def plan(context: Context) -> Plan:
    """One job: cells that the network was tested on, which it had not seen."""
    require(context, "crop")
    project, results = context.project, context.results
    trained = trained_network(results, project.gradcam.model)
    predictions = trained / "predictions.csv"
    folder = results.folder("gradcam")
    fields = fields_with_masks(context)
    masks = {key: mask_path(context, "nuclei", *key) for key in fields}
    image = context.images.sources(*fields[0], CP_ROUND, [project.channels.nuclei])[0]
    job = Job(
        *WHOLE,
        (
            trained / DESCRIPTION,
            trained / WEIGHTS,
            predictions,
            *crop_files(project, results),
            *masks.values(),
        ),
        tuple(folder / name for name in FILES),
        {
            "settings": project.gradcam,
            "seed": project.project.seed,
            "crops": vars(crop_kind(project)),
        },
        {
            "folder": folder,
            "trained": trained,
            "index": crop_folder(project, results) / "index.parquet",
            "kind": crop_kind(project),
            "device": project.execution.device,
            "masks": masks,
            "image": image.path,
        },
    )
    return Plan([job])


def work(job: Job) -> Outcome:
    """Explain, measure, draw."""
    import numpy as np

    from nucprof.figures.gradcam import Pictures
    from nucprof.learn.cnn.gradcam import attention_inside, attention_maps
    from nucprof.learn.cnn.model import load_cnn
    from nucprof.learn.device import resolve_device
    from nucprof.plate.columns import CELL, PLATE, WELL

    model = load_cnn(job.runtime["trained"])
    channels = model.check_fits(job.runtime["kind"])
    tested = _tested(job)
    keys = tested.rename(columns={"plate": PLATE, "ROI_img_name": CELL, "well": WELL})
    crops = open_cells_crops(keys, job.runtime["index"], channels)
    device = resolve_device(job.runtime["device"])
    inputs = model.inputs(crops, keys[PLATE].to_numpy(dtype=str), device)
    classes = np.searchsorted(model.classes, tested["predicted"].to_numpy(dtype=str))
    mapped = _some_of_each(classes, job.params["seed"])
    shown = _chosen(job, tested, model.classes)
    numbers = np.union1d(mapped, shown)
    maps = attention_maps(model.network, inputs, numbers, classes[numbers])
    nuclei = _nuclei(job, tested.iloc[numbers], crops.shape[2])
    attention = attention_inside(maps, nuclei)
    table = tested.iloc[numbers].reset_index(drop=True).assign(**vars(attention))
    Pictures(
        job.runtime["folder"], job.params["settings"], model, inputs, tested, numbers, maps, nuclei,
        describe(Path(job.runtime["image"])).pixel_size_um,
    ).draw(mapped, shown)  # fmt: skip
    write_table(job.outputs[0], table[np.isin(numbers, shown)])
    summary = _summary(table[np.isin(numbers, mapped)])
    write_table(job.outputs[1], summary)
    return Outcome({"attention": summary.to_dict("records")})


def _tested(job: Job) -> pd.DataFrame:
    """Cells of the model's unseen wells, of its first run, with the confidence of their class."""
    table = read_table(job.runtime["trained"] / "predictions.csv")
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


def _chosen(job: Job, tested: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    import numpy as np

    from nucprof.learn.cnn.gradcam import choose_crops

    settings = job.params["settings"]
    return choose_crops(
        np.searchsorted(classes, tested["predicted"].to_numpy(dtype=str)),
        tested["confidence"].to_numpy(),
        np.searchsorted(classes, tested["true_condition"].to_numpy(dtype=str)),
        n_classes=len(classes),
        per_class=settings.per_class,
        choose=settings.choose,
        seed=job.params["seed"],
    )


def _nuclei(job: Job, cells: pd.DataFrame, size: int) -> np.ndarray:
    """The cells' own nuclei in their crops, `(n, size, size)` bool, by label, never by rank."""
    import numpy as np

    out = np.zeros((len(cells), size, size), dtype=bool)
    names = cells["ROI_img_name"].map(parse_cell_key)
    fields = [str(field) for field, _ in names]
    labels_of = np.array([label for _, label in names])
    for plate, field in sorted(set(zip(cells["plate"], fields, strict=True))):
        labels = read_labels(job.runtime["masks"][plate, field])
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
    """Mean attention by class, beside what an even map gives, and their ratio."""
    shares = ["nucleus", "nucleus_area", "with_ring", "with_ring_area"]
    means = table.groupby("predicted")[shares].mean()
    means.loc["all classes"] = table[shares].mean()
    means.insert(0, "n", [*table.groupby("predicted").size(), len(table)])
    means["nucleus_ratio"] = means["nucleus"] / means["nucleus_area"]
    means["with_ring_ratio"] = means["with_ring"] / means["with_ring_area"]
    return means.rename_axis("predicted").reset_index()


def finish(context: Context, plan: Plan, entries: Sequence[Entry]) -> Summary:
    """Tell how much of the attention falls on nuclei."""
    job = plan.jobs[0]
    every = entries[0].record["attention"][-1]
    metrics = read_json(job.runtime["trained"] / "metrics.json")
    return Summary(
        list(job.outputs),
        {"attention_in_nucleus": every["nucleus"], "n_test": metrics["n_test"]},
        [
            f"{every['nucleus']:.0%} of the attention lies inside the nucleus, which takes "
            f"{every['nucleus_area']:.0%} of the crop; with a ring around it "
            f"{every['with_ring']:.0%} of {every['with_ring_area']:.0%}",
            f"look at {job.runtime['folder'] / 'crops.png'} and mean.png",
        ],
    )
