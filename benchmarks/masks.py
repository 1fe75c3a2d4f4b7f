"""Measure whether masks can be trusted on images that are not like the training set.

    python benchmarks/masks.py scale DATA [--part validation]     measured against true diameters
    python benchmarks/masks.py plates                             scales of simulated odd plates
    python benchmarks/masks.py sparse DATA [--fields 60]          few nuclei, or none, a field
    python benchmarks/masks.py haze BBBC013                       objects dimmer than Otsu's limit

DATA holds ``images/*.tif`` and ``masks/*.tif`` as for ``segmentation.py``; each image counts as a
plate of its own. BBBC013 is the folder of that set's images.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from scipy import ndimage as ndi
from segmentation import load
from tifffile import imread

Images = list[np.ndarray]


def scale(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Compare measured nuclear diameters with the true ones, image by image."""
    from nucprof.core.scale import diameters_of_labels, typical_diameter
    from nucprof.segmentation.plate_scale import measure_scale

    ratios, unknown, begin = [], 0, time.perf_counter()
    for name, image, mask in load(args.data, args.part)[:: args.every]:
        true = typical_diameter(diameters_of_labels(mask))
        found = measure_scale(
            folder, [image if image.ndim == 2 else image[..., 0]], precision=args.precision
        )
        if not np.isfinite(true):
            continue
        if not np.isfinite(found.diameter_px):
            unknown += 1
            print(f"{name}: nothing measured, true {true:.1f} px")
            continue
        ratios.append(found.diameter_px / true)
        if not 1 / 1.5 < ratios[-1] < 1.5:
            count = len(np.unique(mask)) - 1
            print(f"{name}: {found.diameter_px:.1f} px, true {true:.1f}, {count} nuclei")
    off = np.abs(np.log(ratios))
    seconds = (time.perf_counter() - begin) / max(1, len(ratios))
    result = {"images": len(ratios), "unknown": unknown, "seconds an image": round(seconds, 2)}
    result |= {f"off by more than {f}": int((off > np.log(f)).sum()) for f in (1.3, 1.5, 2)}
    print(result)
    return result


def ellipses(
    rng: np.random.Generator, number: int, diameter: float, *, level: float = 600.0,
    background: float = 200.0, noise: float = 10.0, specks: int = 0,
) -> np.ndarray:  # fmt: skip
    """A field (512, 512) uint16 of separate, textured ellipses, with debris if asked."""
    field = np.zeros((512, 512), np.float32)
    yy, xx = np.mgrid[:512, :512].astype(np.float32)
    for _ in range(number):
        radius = diameter / 2 * rng.uniform(0.85, 1.15)
        y, x = rng.uniform(radius + 2, 510 - radius, 2)
        ratio = rng.uniform(0.8, 1.2)
        inside = ((yy - y) / (radius * ratio)) ** 2 + ((xx - x) * ratio / radius) ** 2
        grain = ndi.gaussian_filter(rng.normal(size=field.shape), radius / 6) * radius / 3
        body = level * (1 + 0.15 * grain) / (1 + np.exp(np.clip(8 * (inside - 1), -30, 30)))
        field = np.maximum(field, body)
    for _ in range(specks):
        (y, x), radius = rng.uniform(0, 512, 2), rng.uniform(1, 3)
        far = (yy - y) ** 2 + (xx - x) ** 2
        field += level * rng.uniform(0.5, 3) * np.exp(-far / (2 * radius**2))
    field += background
    return np.clip(rng.normal(field, np.sqrt(noise**2 + 0.2 * field)), 0, 65535).astype(np.uint16)


def odd_plates(rng: np.random.Generator) -> dict[str, tuple[Images, float]]:
    """Plates of four or eight fields by name, with their true diameter (NaN: no nuclei)."""

    def plate(*fields: tuple[int, float, int], **options: float) -> Images:
        return [ellipses(rng, n, d, **options) for n, d, copies in fields for _ in range(copies)]

    return {
        "40 of 24 px a field": (plate((40, 24, 4)), 24),
        "2 of 24 px": (plate((2, 24, 4)), 24),
        "2 of 60 px": (plate((2, 60, 4)), 60),
        "2 of 100 px": (plate((2, 100, 4)), 100),
        "2 of 150 px": (plate((2, 150, 4)), 150),
        "2 of 100 px, dim": (plate((2, 100, 4), level=60), 100),
        "2 of 24 px, dim": (plate((2, 24, 4), level=60), 24),
        "no nuclei": (plate((0, 24, 4)), float("nan")),
        "3 empty fields, 1 with 40 of 24 px": (plate((0, 24, 3), (40, 24, 1)), 24),
        "6 empty, 2 with 10 of 60 px": (plate((0, 24, 6), (10, 60, 2)), 60),
        "20 of 24 px and 300 specks": (plate((20, 24, 4), specks=300), 24),
        "5 of 60 px and 300 specks": (plate((5, 60, 4), specks=300), 60),
        "2 of 100 px, background 0": (
            plate((2, 100, 4), background=0, noise=0.5, level=200), 100),
        "30 of 9 px": (plate((30, 9, 4)), 9),
    }  # fmt: skip


def plates(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Print the diameter measured on each odd plate beside the true one."""
    from nucprof.segmentation.plate_scale import measure_scale

    result = {}
    print("| plate | true px | measured px | scale | fields measured, agreeing |")
    print("|---|---|---|---|---|")
    for name, (images, true) in odd_plates(np.random.default_rng(0)).items():
        found = measure_scale(folder, images, precision=args.precision)
        result[name] = {"true": true, "px": found.diameter_px, "scale": found.scale}
        print(f"| {name} | {true} | {found.diameter_px:.1f} | {found.scale} "
              f"| {found.measured}, {found.agreeing} |", flush=True)  # fmt: skip
    return result


def empty_parts(data: Path, side: int = 48) -> Images:
    """Squares of real images without any nucleus within 12 px, from the training part.

    A square with something of a third of the nuclei's brightness is left out: it holds nuclei that
    nobody annotated (one image of 49, 1.15 times as bright; the others reach 0.07).
    """
    parts = []
    for _, image, mask in load(data, "training"):
        plane = image if image.ndim == 2 else image[..., 0]
        dark, bright = np.median(plane[mask == 0]), np.median(plane[mask > 0])
        far = ndi.distance_transform_edt(mask == 0)
        free = ndi.minimum_filter(far, side)
        y, x = np.unravel_index(int(free.argmax()), free.shape)
        y, x = int(y) - side // 2, int(x) - side // 2
        if free.max() > 12 and y >= 0 and x >= 0:
            part = plane[y : y + side, x : x + side].astype(np.float32)
            nuclei = ndi.gaussian_filter(part, 2).max() - dark > (bright - dark) / 3
            if part.shape == (side, side) and part.std() > 0 and not nuclei:
                parts.append(part - np.median(part))
    return parts


def sparse_field(
    rng: np.random.Generator, parts: Images, number: int, shape: tuple[int, int] = (512, 512)
) -> tuple[np.ndarray, np.ndarray]:
    """A field of ``number`` nuclei of one size on the noise of a real image, and its labels."""
    part = parts[rng.integers(len(parts))]
    side = len(part)
    across = [-(-n // side) for n in shape]
    tiles = [[np.rot90(part, rng.integers(4)) for _ in range(across[1])] for _ in range(across[0])]
    noise = np.block([[t[:, :: rng.choice([-1, 1])] for t in row] for row in tiles])
    noise = noise[: shape[0], : shape[1]]
    spread = max(float(noise.std()), 0.3)
    diameter = float(np.exp(rng.uniform(np.log(8), np.log(150))))
    labels, signal = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    yy, xx = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    level = spread * float(np.exp(rng.uniform(np.log(12), np.log(100))))
    for label in range(1, number + 1):
        for _ in range(50):
            radius, ratio = diameter / 2 * rng.uniform(0.85, 1.15), np.exp(rng.uniform(-0.25, 0.25))
            (y, x), angle = (
                rng.uniform(radius * 1.3, np.array(shape) - radius * 1.3),
                rng.uniform(0, np.pi),
            )
            v = (yy - y) * np.cos(angle) + (xx - x) * np.sin(angle)
            u = (xx - x) * np.cos(angle) - (yy - y) * np.sin(angle)
            inside = np.sqrt((v / (radius * ratio)) ** 2 + (u * ratio / radius) ** 2)
            if not labels[inside < 1.3].any():
                break
        else:
            continue
        labels[inside < 1] = label
        grain = ndi.gaussian_filter(rng.normal(size=shape), radius / 5) * radius / 3
        edge = np.clip((1 - inside) * radius / rng.uniform(0.6, 1.5), -30, 30)
        body = level * rng.uniform(0.7, 1.3) * (1 + 0.2 * grain) / (1 + np.exp(-edge))
        signal = np.maximum(signal, body)
    image = noise + signal
    if rng.random() < 0.5:
        gain = min(1.0, 250 / max(1.0, float(image.max() - image.min())))
        image = np.clip(np.rint((image - image.min()) * gain), 0, 255).astype(np.uint8)
    else:
        gain = rng.uniform(4, 20)
        smooth = image + rng.uniform(-0.5, 0.5, shape)
        image = np.clip(200 + gain * (smooth - smooth.min()), 0, 65535).astype(np.uint16)
    return image, labels


def found_and_false(truth: np.ndarray, found: np.ndarray) -> tuple[int, int]:
    """Nuclei found (overlap at least 0.5) and objects that match none."""
    from stardist.matching import matching

    match = matching(truth, found.astype(np.int32), thresh=0.5)
    return int(match.tp), int(match.fp)


def sparse(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Count nuclei found and false objects in fields of 0 to 4 nuclei."""
    rng = np.random.default_rng(args.seed)
    parts = empty_parts(args.data)
    nuclei = hits = false = empty_false = empty = 0
    for number in range(args.fields):
        image, truth = sparse_field(rng, parts, number % 5)
        labels = segment(folder, image, [image], args)
        tp, fp = found_and_false(truth, labels)
        true = len(np.unique(truth)) - 1
        nuclei, hits, false = nuclei + true, hits + tp, false + fp
        empty, empty_false = empty + (true == 0), empty_false + (fp if true == 0 else 0)
        if args.each and (fp or tp < true):
            size = np.sqrt(4 / np.pi * (truth > 0).sum() / max(1, true))
            print(
                number, image.dtype, f"{true} of {size:.0f} px: found {tp}, false {fp}", flush=True
            )
    result = {"fields": args.fields, "nuclei": nuclei, "found": round(hits / max(1, nuclei), 3),
              "false a field": round(false / args.fields, 3), "false in empty fields": empty_false,
              "empty fields": empty}  # fmt: skip
    print(result)
    return result


def segment(folder: Path, image: np.ndarray, plate: Images, args: argparse.Namespace) -> np.ndarray:
    """Masks of one image as ``segment`` makes them, phantoms dropped."""
    from nucprof.core.evidence import measure_evidence
    from nucprof.segmentation.plate_scale import measure_scale
    from nucprof.segmentation.stardist import StarDistBackend

    chosen = args.scale or measure_scale(folder, plate, precision=args.precision).scale
    labels = StarDistBackend(folder, scale=chosen, precision=args.precision).segment(image)
    evidence = measure_evidence(image, labels)
    return np.where(
        np.isin(labels, evidence.ids[~evidence.stands_out(args.min_contrast)]), 0, labels
    )


def haze(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Share of objects whose mean lies below their image's Otsu threshold; watershed's found."""
    from skimage.filters import threshold_otsu

    from nucprof.core.labels import clear_border
    from nucprof.segmentation.plate_scale import measure_scale
    from nucprof.segmentation.watershed import segment_watershed

    paths = sorted(p for p in args.data.glob("Channel2-*-[A-D]-*"))
    images = [imread(p) for p in paths]
    args.scale = (
        args.scale or measure_scale(folder, images[::6][:8], precision=args.precision).scale
    )
    objects = dim = wanted = met = 0
    for image in images:
        labels = segment(folder, image, images, args)
        areas = np.bincount(labels.ravel())[1:]
        mean = np.bincount(labels.ravel(), image.ravel())[1:][areas > 0] / areas[areas > 0]
        objects, dim = objects + len(mean), dim + int((mean < threshold_otsu(image)).sum())
        for_sure = well_separated(clear_border(segment_watershed(image))[0])
        tp, _ = found_and_false(for_sure, labels)
        wanted, met = wanted + len(np.unique(for_sure)) - 1, met + tp
    result = {"scale": args.scale, "objects": objects, "dim share": round(dim / objects, 4),
              "well separated": wanted, "of these found": round(met / wanted, 4)}  # fmt: skip
    print(result)
    return result


def well_separated(labels: np.ndarray, gap: int = 3) -> np.ndarray:
    """The objects that have no other within ``gap`` pixels and are of middle size."""
    areas = np.bincount(labels.ravel())
    middle = np.median(areas[1:][areas[1:] > 0])
    near = ndi.maximum_filter(labels, 2 * gap + 1)
    least = ndi.minimum_filter(np.where(labels == 0, labels.max() + 1, labels), 2 * gap + 1)
    met = np.unique(labels[(labels > 0) & ((near != labels) | (least != labels))])
    odd = np.flatnonzero((areas < 0.5 * middle) | (areas > 2 * middle))
    return np.where(np.isin(labels, np.union1d(met, odd)), 0, labels).astype(np.int32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    verbs = parser.add_subparsers(dest="command", required=True)
    commands = {"scale": scale, "plates": plates, "sparse": sparse, "haze": haze}
    parts = {name: verbs.add_parser(name) for name in commands}
    for name in ("scale", "sparse", "haze"):
        parts[name].add_argument("data", type=Path)
    parts["scale"].add_argument("--part", default="validation")
    parts["scale"].add_argument("--every", type=int, default=1)
    parts["sparse"].add_argument("--fields", type=int, default=60)
    parts["sparse"].add_argument("--seed", type=int, default=0)
    parts["sparse"].add_argument("--each", action="store_true", help="also print every odd field")
    for name in ("sparse", "haze"):
        parts[name].add_argument("--min-contrast", type=float, default=0.7)
        parts[name].add_argument("--scale", type=float, help="instead of measuring it")
    for part in parts.values():
        part.add_argument("--model", default="nucprof-fluo")
        part.add_argument("--precision", default="float32", help="or bfloat16")
        part.add_argument("--json", type=Path, help="write the figures here as well")
    args = parser.parse_args()
    from nucprof.segmentation.weights import resolve_model

    result = commands[args.command](args, resolve_model(args.model, backend="stardist"))
    if args.json is not None:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
