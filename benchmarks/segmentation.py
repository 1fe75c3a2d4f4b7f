"""Measure segmentation: quality on annotated images, cost of the wrapper, memory.

    python benchmarks/segmentation.py quality DATA [--model nucprof-fluo] [--part held_out]
    python benchmarks/segmentation.py cost [--model nucprof-fluo] [--fields 10]
    python benchmarks/segmentation.py stage [--model nucprof-fluo] [--fields 10]
    python benchmarks/segmentation.py plates [--model nucprof-fluo] [--fields 20]
    python benchmarks/segmentation.py memory [--model nucprof-fluo]

DATA holds ``images/*.tif`` and ``masks/*.tif``. Images whose file name has a CRC-32 that is a
multiple of 10 are the held-out part, as in ``tools/train_stardist.py``; each image counts as a
plate of its own. F1 is pooled over all nuclei (matches at the given overlap, as
``stardist.matching`` counts them).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from tifffile import imread

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
SPECK = 0.25
SIZES = ((0, 12), (12, 18), (18, 35), (35, 1000))
Segment = Callable[[np.ndarray], np.ndarray]


def load(data: Path, part: str) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Images and masks of one part: ``held_out``, ``validation`` or ``training``."""
    wanted = {"held_out": {0}, "validation": {1}, "training": set(range(2, 10))}[part]
    paths = sorted((data / "images").glob("*.tif"))
    paths = [p for p in paths if zlib.crc32(p.name.encode()) % 10 in wanted]
    return [(p.name, imread(p), imread(data / "masks" / p.name)) for p in paths]


def count(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """True positives, false positives and false negatives at each overlap: (5, 3)."""
    from stardist.matching import matching

    rows = matching(truth.astype(np.int32), found, thresh=THRESHOLDS)
    return np.array([[r.tp, r.fp, r.fn] for r in rows])


def f1(counts: np.ndarray) -> np.ndarray:
    tp, fp, fn = np.moveaxis(counts, -1, 0)
    return 2 * tp / np.maximum(1, 2 * tp + fp + fn)


def diameter_of(labels: np.ndarray) -> float:
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    return float(np.sqrt(4 / np.pi * np.median(areas))) if areas.size else float("nan")


def without_specks(truth: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Truth and objects without micronuclei and fragments, which the annotators marked as well.

    These are the annotated objects below a quarter of their image's median area; an object that
    lies in one for the greater part is neither right nor wrong.
    """
    areas = np.bincount(truth.ravel())
    specks = np.flatnonzero(areas < SPECK * np.median(areas[1:][areas[1:] > 0]))
    inside = np.isin(truth, specks[specks > 0])
    own = np.bincount(found.ravel(), inside.ravel(), found.max() + 1)
    met = np.flatnonzero(own > 0.5 * np.bincount(found.ravel()))
    return np.where(inside, 0, truth), np.where(np.isin(found, met[met > 0]), 0, found)


def methods(
    folder: Path, names: list[str], threads: int, precision: Any, augment: bool
) -> dict[str, Segment]:
    """The methods to compare, by name: ``auto``, a number (fixed scale), ``watershed``.

    Networks as ``segment`` uses them by default: objects that do not stand out are dropped.
    """
    from nucprof.config.models import SegmentBase
    from nucprof.core.evidence import measure_evidence
    from nucprof.segmentation.plate_scale import measure_scale
    from nucprof.segmentation.stardist import StarDistBackend
    from nucprof.segmentation.watershed import segment_watershed

    min_contrast = SegmentBase().min_contrast

    def network(image: np.ndarray, scale: float) -> np.ndarray:
        backend = StarDistBackend(
            folder, scale=scale, threads=threads, precision=precision, augment=augment
        )
        labels = backend.segment(image)
        evidence = measure_evidence(image, labels)
        phantoms = evidence.ids[~evidence.stands_out(min_contrast)]
        return np.where(np.isin(labels, phantoms), 0, labels)

    def auto(image: np.ndarray) -> np.ndarray:
        chosen = measure_scale(folder, [image], threads=threads, precision=precision)
        return network(image, chosen.scale)

    def fixed(scale: float) -> Segment:
        return lambda image: network(image, scale)

    known: dict[str, Segment] = {"auto": auto, "watershed": segment_watershed}
    return {name: known[name] if name in known else fixed(float(name)) for name in names}


def quality(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """F1 of every method: all images, by their nuclei's median diameter, by the images' size.

    The set says nothing of where an image is from; those of one microscope have one size.
    """
    fields = load(args.data, args.part)
    sizes = np.array([diameter_of(mask) for _, _, mask in fields])
    nuclei = [len(np.unique(mask)) - 1 for _, _, mask in fields]
    print(f"{args.part}: {len(fields)} images, {sum(nuclei)} nuclei")
    print("| method | nuclei | " + " | ".join(f"F1@{t}" for t in THRESHOLDS) + " | mean | s |")
    print("|---|---|" + "---|" * (len(THRESHOLDS) + 2))
    result: dict[str, Any] = {"part": args.part, "images": len(fields), "nuclei": sum(nuclei)}
    result["columns"] = [*(f"F1@{t}" for t in THRESHOLDS), "mean"]
    scored: dict[str, list[float]] = {}
    result["rows"] = scored
    for name, segment in methods(
        folder, args.methods, args.threads, args.precision, args.augment
    ).items():
        begin = time.perf_counter()
        found = [segment(image) for _, image, _ in fields]
        counts = np.array([count(m, f) for (*_, m), f in zip(fields, found, strict=True)])
        larger = np.array(
            [count(*without_specks(m, f)) for (*_, m), f in zip(fields, found, strict=True)]
        )
        seconds = time.perf_counter() - begin
        shapes = [image.shape[:2] for _, image, _ in fields]
        parts = {"all": np.ones(len(fields), bool)}
        parts |= {f"{a}-{b} px": (sizes >= a) & (sizes < b) for a, b in SIZES}
        for shape in sorted(set(shapes)):
            parts["images of {} x {}".format(*shape)] = np.array([own == shape for own in shapes])
        rows = {row: counts[chosen] for row, chosen in parts.items() if chosen.any()}
        rows["all, specks left out"] = larger
        for row, counted in rows.items():
            scores = f1(counted.sum(axis=0))
            scored[f"{name}, {row}"] = [round(float(s), 4) for s in (*scores, scores.mean())]
            cells = " | ".join(f"{s:.3f}" for s in (*scores, scores.mean()))
            number = int(counted[:, 0, [0, 2]].sum())
            print(f"| {name}, {row} | {number} | {cells} | {seconds:.0f} |", flush=True)
        if args.each:
            for (image_name, *_), size, c in zip(fields, sizes, counts, strict=True):
                print(image_name, f"{size:.1f} px", c[0], f"{f1(c)[0]:.2f} {f1(c).mean():.2f}")
    return result


def synthetic(seed: int, side: int = 2048, nuclei: int = 900) -> np.ndarray:
    """A field of ``nuclei`` ellipses of about 30 px with haze and noise, uint16."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    image = np.zeros((side, side), np.float32)
    per_side = int(np.ceil(np.sqrt(nuclei)))
    step = side / per_side
    for k in range(nuclei):
        cy, cx = (np.array(divmod(k, per_side)) + 0.5) * step + rng.uniform(-0.22, 0.22, 2) * step
        a, b = rng.uniform(12, 19, 2)
        rows = slice(max(0, int(cy) - 24), int(cy) + 24)
        cols = slice(max(0, int(cx) - 24), int(cx) + 24)
        yy, xx = np.mgrid[rows, cols][:, : side - rows.start, : side - cols.start]
        inside = ((yy - cy) / a) ** 2 + ((xx - cx) / b) ** 2 < 1
        image[rows, cols] = np.maximum(image[rows, cols], inside * rng.uniform(1500, 6000))
    image = gaussian_filter(image, 1.2) + 0.05 * gaussian_filter(image, 30) + 300
    return np.clip(image + rng.normal(0, 60, image.shape), 0, 65535).astype(np.uint16)


def cost(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Seconds a field: bare ``predict_instances``, our wrapper, and our wrapper at auto scale."""
    from csbdeep.utils import normalize

    from nucprof.machine import multiplies_bfloat16
    from nucprof.segmentation.plate_scale import measure_scale
    from nucprof.segmentation.stardist import StarDistBackend

    fields = [synthetic(i) for i in range(args.fields)]
    plain = StarDistBackend(folder, threads=args.threads)
    choice = measure_scale(folder, fields[:3], threads=args.threads)
    scaled = StarDistBackend(folder, scale=choice.scale, threads=args.threads)
    from stardist.models import StarDist2D

    model = StarDist2D(None, name=folder.name, basedir=str(folder.parent))

    def bare(image: np.ndarray) -> np.ndarray:
        return model.predict_instances(normalize(image, 1, 99))[0]

    def bare_tiled(image: np.ndarray) -> np.ndarray:
        unit = normalize(image, 1, 99)
        return model.predict_instances(unit, n_tiles=(4, 4), show_tile_progress=False)[0]

    result: dict[str, Any] = {"scale": choice.scale, "diameter_px": round(choice.diameter_px, 1)}
    runs: dict[str, Segment] = {"bare predict_instances": bare, "bare, 4 x 4 tiles": bare_tiled}
    runs |= {"nucprof, scale 1": plain.segment}
    runs |= {f"nucprof, scale {choice.scale} (auto)": scaled.segment}
    if multiplies_bfloat16():
        narrow = StarDistBackend(
            folder, scale=choice.scale, threads=args.threads, precision="bfloat16"
        )
        runs |= {f"nucprof, scale {choice.scale}, bfloat16 (auto)": narrow.segment}
        runs |= {"nucprof, scale 1, bfloat16": _scaled(folder, 1.0, args.threads, "bfloat16")}
    runs |= {f"nucprof, scale {s}": _scaled(folder, s, args.threads) for s in args.scales}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    found: dict[str, list[int]] = {name: [] for name in runs}
    for segment in runs.values():
        segment(fields[0])
    # In turns, so that what else the machine does falls on all alike; CPU time beside wall time.
    for image in fields:
        for name, segment in runs.items():
            begin = time.perf_counter(), time.process_time()
            found[name].append(int(segment(image).max()))
            seconds[name].append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
    base = np.mean(seconds["bare predict_instances"], axis=0)
    print("| method | wall s | CPU s | wall, of bare | CPU, of bare | nuclei |")
    print("|---|---|---|---|---|---|")
    for name, rows in seconds.items():
        wall, cpu = np.mean(rows, axis=0)
        result[name] = {"wall_s": round(float(wall), 3), "cpu_s": round(float(cpu), 3)}
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {wall / base[0]:.2f} | {cpu / base[1]:.2f} "
              f"| {np.mean(found[name]):.0f} |")  # fmt: skip
    return result


def _scaled(folder: Path, scale: float, threads: int, precision: Any = "float32") -> Segment:
    from nucprof.segmentation.stardist import StarDistBackend

    return StarDistBackend(folder, scale=scale, threads=threads, precision=precision).segment


def stage(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The whole stage, files, quality figures and overlays included, against the bare network.

    In one run on the same fields: bare `normalize` and `predict_instances` in this process, then
    ``nucprof segment`` with one worker and with two. Process start, model load and the measurement
    of the plate's scale are told apart: they do not grow with the plate.
    """
    import tempfile

    from csbdeep.utils import normalize
    from stardist.models import StarDist2D

    from nucprof.config import load_project
    from nucprof.io.images import write_image
    from nucprof.run.pipeline import Options, Run
    from nucprof.stages import stage as stage_named

    fields = [synthetic(i) for i in range(args.fields)]
    model = StarDist2D(None, name=folder.name, basedir=str(folder.parent))
    model.predict_instances(normalize(fields[0][:512, :512], 1, 99))
    began = time.perf_counter(), time.process_time()
    for image in fields:
        model.predict_instances(normalize(image, 1, 99))
    bare = time.perf_counter() - began[0], time.process_time() - began[1]
    result: dict[str, Any] = {"bare": {"wall_s": bare[0], "cpu_s": bare[1]}}
    print(f"| | wall s a field | of bare |\n|---|---|---|\n"
          f"| bare | {bare[0] / args.fields:.2f} | 1.00 |", flush=True)  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        for number, image in enumerate(fields, start=1):
            write_image(Path(scratch) / "CP" / f"A-{number:02d}-01.tif", image[None], ["DAPI"])
        project = Path(scratch) / "project.toml"
        project.write_text(
            '[project]\nname = "b"\n[[plates]]\nname = "p"\ncell_painting = "CP"\n'
            '[channels]\ncell_painting = ["DAPI"]\nnuclei = "DAPI"\n'
            f'[segment]\nmodel = "{args.model}"\n'
        )
        for workers in (1, 2):
            settings = {"execution": {"workers": workers}}
            run = Run(load_project(project, settings), Options(force=True))
            run.run_stage(stage_named("rename"))
            children = resource.getrusage(resource.RUSAGE_CHILDREN)
            began = time.perf_counter(), time.process_time()
            run.run_stage(stage_named("segment"))
            wall, own = time.perf_counter() - began[0], time.process_time() - began[1]
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = own + after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime
            seconds = sorted(entry.seconds for entry in run.entries("segment").values())
            # A worker's first field waits for its model.
            usual = seconds[: len(seconds) - workers]
            finish = own / args.fields
            each = float(np.mean(usual)) + finish
            result[f"{workers} workers"] = {"wall_s": wall, "cpu_s": cpu, "field_s": each}
            print(f"| segment, {workers} worker(s): a field, with its share of tables and overlays "
                  f"| {each:.2f} ({finish:.2f} of it in the main process) "
                  f"| {each * args.fields / bare[0]:.2f} |\n"
                  f"| segment, {workers} worker(s): the whole command | {wall / args.fields:.2f} "
                  f"| {wall / bare[0]:.2f} |", flush=True)  # fmt: skip
    return result


def plates(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Many plates of one field against one plate of as many: the whole command, wall seconds."""
    import tempfile

    from nucprof.config import load_project
    from nucprof.io.images import write_image
    from nucprof.run.pipeline import Options, Run
    from nucprof.stages import stage as stage_named

    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        images = [synthetic(i, 640, 90) for i in range(args.fields)]
        for name, groups in {"one plate": [images], "plates": [[i] for i in images]}.items():
            text = '[project]\nname = "b"\n[channels]\ncell_painting = ["D"]\nnuclei = "D"\n'
            text += f'[segment]\nmodel = "{args.model}"\n'
            for k, group in enumerate(groups):
                text += f'[[plates]]\nname = "p{k}"\ncell_painting = "p{k}"\n'
                for j, image in enumerate(group, start=1):
                    path = Path(scratch) / name / f"p{k}" / f"A-{j:02d}-01.tif"
                    write_image(path, image[None], ["D"])
            project = Path(scratch) / name / "project.toml"
            project.write_text(text)
            run = Run(load_project(project), Options(force=True))
            run.run_stage(stage_named("rename"))
            begin = time.perf_counter()
            run.run_stage(stage_named("segment"))
            result[name] = round(time.perf_counter() - begin, 1)
            print(f"{name}: {len(groups)} plate(s), {len(images)} fields, {result[name]} s")
    result["ratio"] = round(result["plates"] / result["one plate"], 2)
    print(f"ratio {result['ratio']}")
    return result


def memory(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Peak resident memory of a process that segments one 2048 x 2048 field of 900 nuclei."""
    from nucprof.segmentation.stardist import StarDistBackend

    image = synthetic(0)
    backend = StarDistBackend(folder, scale=args.scale, threads=args.threads)
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    found = int(backend.segment(image).max())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"scale {args.scale}: {found} nuclei, {loaded:.2f} GiB loaded, {peak:.2f} GiB peak")
    return {"loaded_gib": round(loaded, 2), "peak_gib": round(peak, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    verbs = parser.add_subparsers(dest="command", required=True)
    parts = {
        name: verbs.add_parser(name) for name in ("quality", "cost", "stage", "plates", "memory")
    }
    parts["quality"].add_argument("data", type=Path)
    parts["quality"].add_argument("--part", default="held_out")
    parts["quality"].add_argument("--methods", nargs="+", default=["auto", "1", "watershed"])
    parts["quality"].add_argument("--precision", default="float32", help="or bfloat16")
    parts["quality"].add_argument("--augment", action="store_true", help="average symmetries")
    parts["quality"].add_argument("--each", action="store_true", help="also print every image")
    parts["cost"].add_argument("--fields", type=int, default=10)
    parts["cost"].add_argument("--scales", type=float, nargs="*", default=[0.7, 0.5])
    parts["stage"].add_argument("--fields", type=int, default=10)
    parts["plates"].add_argument("--fields", type=int, default=20)
    parts["memory"].add_argument("--scale", type=float, default=1.0)
    for part in parts.values():
        part.add_argument("--model", default="nucprof-fluo")
        part.add_argument("--threads", type=int, default=1)
        part.add_argument("--json", type=Path, help="write the figures here as well")
    args = parser.parse_args()
    from nucprof.segmentation.weights import resolve_model

    folder = resolve_model(args.model, backend="stardist")
    commands = {
        "quality": quality, "cost": cost, "stage": stage, "plates": plates, "memory": memory,
    }  # fmt: skip
    result = commands[args.command](args, folder)
    if args.json is not None:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
