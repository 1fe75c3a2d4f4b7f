"""Whether the figures by which classifiers are judged can be believed, against known truth.

    python -m benchmarks.judging chance
    python -m benchmarks.judging intervals
    python -m benchmarks.judging padding PROJECT
    python -m benchmarks.judging maps PROJECT
    python -m benchmarks.judging curve PROJECT

``chance``: experiments in which the classes do not differ and wells do; how often a forest's
macro-F1 exceeds 0.6, and how often the permutation test calls it better than chance at 5%.

``intervals``: how often the 95% intervals over wells hold the true accuracy, with wells drawn from
a beta distribution, beside a bootstrap that draws n of n wells and takes percentiles.

``padding``: unseen cells of a project with a trained network, as if their field ended within the
crop. How many are called another class than in the whole field, with zeros and limits of all pixels
(as before version 2 of the crops), and now; at several offsets of the camera.

``maps``: the deletion test of the shipped maps on unseen cells, beside random maps, Grad-CAM on the
same layer, and occlusion by squares of a quarter of the crop.

``curve``: macro-F1 of the project's network learnt from 15 cells a class, in as many epochs as the
full run (as before) and in as many steps (now).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nucprof.config.by_mode import crop_kind
from nucprof.config.models import ForestSettings, TrainSettings
from nucprof.learn.cells import Training
from nucprof.plate.columns import CELL, PLATE, TARGET, WELL

TRAINING = Training.of(TrainSettings(), gated=True, mixed_name="co-culture")


def chance(args: argparse.Namespace) -> None:
    """No class effect, wells that differ by one standard deviation of the cells."""
    from nucprof.learn.forest.chance import forest_chance

    print("wells per class | experiments | F1 > 0.6 | p <= 0.05 | smallest p | 95% of shuffles")
    for wells in args.wells:
        found, scores = [], []
        for seed in range(args.experiments):
            cells, features = _plate_without_classes(wells, seed)
            found.append(forest_chance(cells, features, ForestSettings(), TRAINING, seed))
            scores.append(_observed(cells, features, seed))
        print(
            f"{wells:>3} | {len(found)} | {np.mean(np.array(scores) > 0.6):.2f} | "
            f"{np.mean([one.p_value <= 0.05 for one in found]):.3f} | "
            f"{found[0].p_value_min:.3f} | {np.mean([one.reach for one in found]):.2f}",
            flush=True,
        )


def _plate_without_classes(wells: int, seed: int) -> tuple[pd.DataFrame, list[str]]:
    rng = np.random.default_rng([wells, seed])
    features = [f"Nuclei_Texture_{i}_DNA" for i in range(10)]
    rows, values = [], []
    for row, name in zip("BC", ("astro", "neuro"), strict=True):
        for column in range(2, 2 + wells):
            rows += [("p", f"{row}{column:02d}", f"{row}{column:02d}_{i:03d}", name)
                     for i in range(30)]  # fmt: skip
            values.append(rng.normal(size=(30, 10)) + rng.normal(size=10))
    cells = pd.DataFrame(rows, columns=[PLATE, WELL, CELL, TARGET])
    return pd.concat([cells, pd.DataFrame(np.concatenate(values), columns=features)], axis=1), (
        features
    )


def _observed(cells: pd.DataFrame, features: list[str], seed: int) -> float:
    """Macro-F1 under cross-validation of a forest of the usual size."""
    from nucprof.learn.forest.fit import Shape, fit_forest, predict_proba
    from nucprof.learn.scores import macro_f1, table_of
    from nucprof.learn.split import attach, cv_folds

    fold = attach(cells, cv_folds(cells, seed=seed), "fold").to_numpy()
    classes, truth = np.unique(cells[TARGET].to_numpy(dtype=str), return_inverse=True)
    table = np.zeros((2, 2))
    for number in np.unique(fold):
        train, test = cells[fold != number], cells[fold == number]
        fitted = fit_forest(
            train, features, ForestSettings(), TRAINING, seed, shape=Shape(20, None, 1)
        )
        guess = predict_proba(fitted.forest, test[features].to_numpy(), 1).argmax(axis=1)
        table += table_of(truth[fold == number], guess, len(classes))
    return float(macro_f1(table))


def intervals(args: argparse.Namespace) -> None:
    """Coverage of the interval of accuracy, pure wells of 50 cells."""
    from nucprof.learn.scores import accuracy, f1_per_class, macro_f1
    from nucprof.learn.scores import intervals as over_wells

    print("accuracy | correlation in wells | wells per class | percentiles | now | width")
    for mean, concentration in ((0.5, 9), (0.9, 9), (0.97, 9), (0.5, 29), (0.9, 29), (0.97, 29)):
        for wells in args.wells:
            rng = np.random.default_rng(0)
            held, plain, width = 0, 0, 0.0
            for _ in range(args.experiments):
                shares = rng.beta(mean * concentration, (1 - mean) * concentration, (2, wells))
                right = rng.binomial(50, shares)
                tables = np.zeros((2, wells, 2, 2))
                for k in (0, 1):
                    tables[k, :, k, k], tables[k, :, k, 1 - k] = right[k], 50 - right[k]
                whole = tables.sum(axis=(0, 1))
                point: dict[str, Any] = {
                    "f1_macro": float(macro_f1(whole)), "accuracy": float(accuracy(whole)),
                    "f1_per_class": dict(zip("ab", f1_per_class(whole).tolist(), strict=True)),
                }  # fmt: skip
                low, high = over_wells(tables.reshape(-1, 2, 2), ["a", "b"], point)["accuracy_ci"]
                held += low <= mean <= high
                width += high - low
                drawn = rng.integers(wells, size=(1000, 2, wells))
                means = np.take_along_axis(right[None] / 50, drawn, axis=2).mean(axis=(1, 2))
                low, high = np.percentile(means, [2.5, 97.5])
                plain += low <= mean <= high
            n = args.experiments
            print(
                f"{mean} | {1 / (concentration + 1):.2f} | {wells} | {plain / n:.2f} | "
                f"{held / n:.2f} | {width / n:.2f}",
                flush=True,
            )


def _opened(project_file: Path) -> dict[str, Any]:
    """The trained network of a project, its unseen cells, and where their crops are."""
    from nucprof.config import load_project
    from nucprof.io.results import Results
    from nucprof.io.tables import read_table
    from nucprof.learn.cnn.crop_table import crop_files, open_cells_crops, trained_network
    from nucprof.learn.cnn.model import load_cnn

    project = load_project(project_file)
    results = Results(project.project.output)
    folder = trained_network(results, "default")
    model = load_cnn(folder)
    tested = read_table(folder / "predictions.csv")
    tested = tested[tested["seed"] == tested["seed"].min()].reset_index(drop=True)
    keys = tested.rename(columns={"plate": PLATE, "ROI_img_name": CELL, "well": WELL})
    index = crop_files(project, results)[0]
    channels = model.check_fits(model.crops)
    crops = open_cells_crops(keys, index, channels, masked=model.crops.masked)
    return {"model": model, "keys": keys, "crops": crops}


def padding(args: argparse.Namespace) -> None:
    """Predictions of crops of which one side lies beyond the image."""
    from nucprof.learn.cnn.augment import crop_limits
    from nucprof.learn.cnn.crop_data import CropsInMemory, RealPixels
    from nucprof.learn.cnn.inputs import InputPath

    opened = _opened(args.project)
    model, crops = opened["model"], opened["crops"]
    whole = crops.rows(np.arange(crops.shape[0]))
    side = whole.shape[-1]
    inside = (crops.real.boxes == (0, 0, side, side)).all(axis=1)
    whole = whole[inside].astype(np.uint16)

    def called(pixels: np.ndarray, boxes: np.ndarray | None = None) -> np.ndarray:
        held = CropsInMemory(pixels, RealPixels(boxes))
        inputs = InputPath(held, crop_limits(held), model.image_size, "cpu")
        return np.asarray(model.logits(inputs).argmax(axis=1))

    print(f"{len(whole)} cells, each with its field ending on all four sides in turn")
    print("columns beyond | offset | zeros, limits of all pixels | edge, limits of real pixels")
    for beyond in (side // 6, 3 * side // 10):
        boxes = np.tile([0, beyond, side, side], (len(whole), 1))
        for offset in (0, 500, 2000):
            changed = []
            for turns in range(4):
                shown = np.rot90(whole + np.uint16(offset), turns, axes=(2, 3))
                zeros, edge = shown.copy(), shown.copy()
                zeros[..., :beyond] = 0
                edge[..., :beyond] = edge[..., beyond : beyond + 1]
                truth = called(shown)
                changed.append([(called(zeros) != truth).mean(),
                                (called(edge, boxes) != truth).mean()])  # fmt: skip
            before, now = np.mean(changed, axis=0)
            print(f"{beyond} of {side} | {offset} | {before:.1%} | {now:.1%}", flush=True)


def maps(args: argparse.Namespace) -> None:
    """Fall of the margin when the 20% of the pixels with most attention are removed."""
    import torch

    from nucprof.learn.cnn.device import predict_logits
    from nucprof.learn.cnn.gradcam import attention_maps, deletion, random_maps

    opened = _opened(args.project)
    model, crops = opened["model"], opened["crops"]
    inputs = model.inputs(crops, opened["keys"][PLATE].to_numpy(dtype=str), "cpu")
    numbers = np.arange(min(crops.shape[0], args.cells))
    classes = predict_logits(model.network, inputs, numbers).argmax(axis=1)
    explained = (model.network, inputs, numbers, classes)
    ours = attention_maps(*explained)
    rng = np.random.default_rng(0)
    found = {
        "random, pixel by pixel": rng.random(ours.shape, dtype=np.float32),
        "random, as coarse as the layer": random_maps(len(numbers), model.image_size, seed=0),
        "Grad-CAM on the same layer": _gradcam(model.network, inputs, numbers, classes),
        "LayerCAM (shipped)": ours,
    }
    if args.occlusion:
        with torch.no_grad():
            found["occlusion"] = _occlusion(*explained)
    print("map | without evidence | fall of the margin")
    for name, heat in found.items():
        falls = deletion(*explained, heat)
        print(f"{name} | {np.isnan(falls).sum()} of {len(falls)} | {np.nanmean(falls):.2f}")


def _gradcam(network: Any, inputs: Any, numbers: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Grad-CAM (Selvaraju et al. 2017) on the layer that LayerCAM explains."""
    import torch
    import torch.nn.functional as F

    from nucprof.learn.cnn.gradcam import layer_to_explain

    layer = layer_to_explain(network, inputs.crops.shape[1], inputs.size)
    kept: dict[str, torch.Tensor] = {}
    hook = layer.register_forward_hook(lambda _, __, out: kept.update(out=out))
    chosen = network(inputs.prepare(numbers)).gather(1, torch.from_numpy(classes)[:, None])
    (gradient,) = torch.autograd.grad(chosen.sum(), kept["out"])
    hook.remove()
    weighted = kept["out"].detach() * gradient.mean(dim=(2, 3), keepdim=True)
    heat = weighted.sum(dim=1, keepdim=True).relu()
    return np.asarray(F.interpolate(heat, size=(inputs.size,) * 2, mode="bilinear")[:, 0].numpy())


def _occlusion(network: Any, inputs: Any, numbers: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Mean fall of the margin over the squares that cover a pixel (Zeiler and Fergus 2014)."""
    import torch

    crops, own = inputs.prepare(numbers), torch.from_numpy(classes)[:, None]
    side, step = inputs.size // 4, inputs.size // 8

    def margin(shown: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = network(shown)
        return logits.gather(1, own)[:, 0] - logits.scatter(1, own, -torch.inf).amax(dim=1)

    before, mean = margin(crops), crops.mean(dim=(2, 3), keepdim=True)
    heat, times = torch.zeros(crops[:, 0].shape), torch.zeros(crops.shape[2:])
    for top in range(0, inputs.size - side + 1, step):
        for left in range(0, inputs.size - side + 1, step):
            here = (slice(top, top + side), slice(left, left + side))
            hidden = crops.clone()
            hidden[:, :, here[0], here[1]] = mean
            heat[:, here[0], here[1]] += (before - margin(hidden))[:, None, None]
            times[here] += 1
    return np.asarray((heat / times).relu().numpy())


def curve(args: argparse.Namespace) -> None:
    """A point of the learning curve in two ways."""
    from nucprof.config import load_project
    from nucprof.io.results import Results
    from nucprof.io.tables import read_table
    from nucprof.learn.cells import add_true_class, choose_cells, training_of
    from nucprof.learn.cnn.crop_table import crop_files, open_cells_crops
    from nucprof.learn.cnn.evaluate import evaluate_cnn
    from nucprof.learn.cnn.studies import learning_curve
    from nucprof.plate.keys import CP_ROUND

    project = load_project(args.project)
    results, training = Results(project.project.output), training_of(project)
    table = add_true_class(read_table(results.features(CP_ROUND)), results.classes)
    cells, _, culture = choose_cells(table, training)
    kind = crop_kind(project)
    crops = open_cells_crops(
        cells, crop_files(project, results)[0], list(range(len(kind.channels))), masked=kind.masked
    )
    settings = project.train.cnn.model_copy(update={"repeats": 3, "sizes": [args.cells]})
    more: dict[str, Any] = {"culture": culture, "device": "cpu"}
    fewer = replace(training, sample=args.cells)
    before = evaluate_cnn(cells, crops, kind, settings, fewer, **more).metrics
    print(f"epochs of the full run: {before['f1_macro']:.3f} ± {before['f1_macro_std']:.3f}")
    now = learning_curve(cells, crops, kind, settings, training, **more)
    print(
        f"steps of the full run: {now['f1_macro'].mean():.3f} ± {now['f1_macro'].std(ddof=0):.3f}"
    )


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(required=True)
    part = parts.add_parser("chance")
    part.add_argument("--wells", type=int, nargs="+", default=[3, 4, 6, 8])
    part.add_argument("--experiments", type=int, default=100)
    part.set_defaults(run=chance)
    part = parts.add_parser("intervals")
    part.add_argument("--wells", type=int, nargs="+", default=[2, 3, 4, 8])
    part.add_argument("--experiments", type=int, default=400)
    part.set_defaults(run=intervals)
    part = parts.add_parser("padding")
    part.add_argument("project", type=Path)
    part.set_defaults(run=padding)
    part = parts.add_parser("maps")
    part.add_argument("project", type=Path)
    part.add_argument("--cells", type=int, default=110)
    part.add_argument("--occlusion", action="store_true")
    part.set_defaults(run=maps)
    part = parts.add_parser("curve")
    part.add_argument("project", type=Path)
    part.add_argument("--cells", type=int, default=15)
    part.set_defaults(run=curve)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
