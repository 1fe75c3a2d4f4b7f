"""Measure whole cells grown from nuclei, on simulated cells whose outlines are known.

    python benchmarks/cells.py [--fields 4] [--methods propagation distance watershed]

Kinds of culture: ``round`` cells that touch, ``spread`` ones with thin margins, cells with
``processes``, and a ``confluent`` layer without background; nuclei of 20 and 65 px. The true nuclei
are given, so the figures are those of the growing alone: F1 at an overlap of 0.5, mean Dice.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy import ndimage as ndi

KINDS = ("round", "spread", "processes", "confluent")


def simulate(
    kind: str, nucleus_px: float, seed: int, side: int = 512
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nuclei, cell stain (uint16) and true cells, all ``(side, side)``."""
    rng = np.random.default_rng(seed)
    radius = nucleus_px / 2
    wide = {"round": 1.8, "spread": 3.0, "processes": 1.7, "confluent": 2.2}[kind] * radius
    gap = {"round": 1.75, "spread": 1.35, "processes": 2.6, "confluent": 1.3}[kind] * wide
    yy, xx = np.mgrid[:side, :side].astype(np.float32)
    centres: list[np.ndarray] = []
    for _ in range(3000):
        point = rng.uniform(0, side, 2)
        if all(np.hypot(*(point - other)) > gap for other in centres):
            centres.append(point)
    best = np.full((side, side), np.inf, np.float32)
    cells, nuclei = (np.zeros((side, side), np.int32) for _ in range(2))
    stain = np.zeros((side, side), np.float32)
    for label, (cy, cx) in enumerate(centres, start=1):
        dy, dx = yy - cy, xx - cx
        far, angle = np.hypot(dy, dx), np.arctan2(dy, dx)
        rim = np.ones_like(far)
        bend = 0.1 if kind == "round" else 0.25
        for k in (2, 3, 4):
            rim += bend / k * 2 * np.sin(k * angle + rng.uniform(0, 2 * np.pi))
        reach = far / (wide * np.maximum(rim, 0.5))
        if kind == "processes":
            for way in rng.uniform(0, 2 * np.pi, rng.integers(2, 4)):
                along = dy * np.sin(way) + dx * np.cos(way)
                off = dy * np.cos(way) - dx * np.sin(way)
                length, width = rng.uniform(2, 4.5) * radius, rng.uniform(0.15, 0.3) * radius
                arm = np.where(along > 0, np.hypot(np.maximum(along - length, 0), off) / width, 9)
                reach = np.minimum(reach, np.maximum(arm, 0.75))
        if kind == "confluent":
            reach = np.minimum(reach, 0.999)
            reach = 0.3 * reach + 0.65 * np.minimum(far / (4 * wide), 1)
        mine = (reach < 1) & (reach < best)
        best[mine], cells[mine] = reach[mine], label
        level = np.exp(rng.normal(0, 0.3))
        fall = {"round": 0.4, "spread": 0.85, "processes": 0.5, "confluent": 0.6}[kind]
        stain[mine] = level * (1 - fall * np.minimum(reach, 1))[mine]
    for label, (cy, cx) in enumerate(centres, start=1):
        inside = np.hypot(yy - cy, xx - cx) < radius * rng.uniform(0.85, 1.1)
        nuclei[inside & (cells == label)] = label
    stain[nuclei > 0] *= rng.uniform(0.5, 1.2)
    grain = ndi.gaussian_filter(rng.normal(0, 1, stain.shape), 2)
    stain *= 1 + 0.15 * grain / grain.std()
    image = 800 * ndi.gaussian_filter(stain, 1.2) + 150
    image *= 1 + 0.1 * (yy + xx) / (2 * side)
    return nuclei, np.clip(rng.normal(image, 12), 0, 65535).astype(np.uint16), cells


def score(truth: np.ndarray, found: np.ndarray) -> tuple[int, int, int, list[float]]:
    """True positives at an overlap of 0.5, objects found, true objects, Dice of all pairs."""
    pairs = np.zeros((truth.max() + 1, truth.max() + 1), np.int64)
    np.add.at(pairs, (truth.ravel(), found.ravel()), 1)
    true, own = pairs.sum(axis=1)[1:], pairs.sum(axis=0)[1:]
    both = np.diag(pairs)[1:]
    there = true > 0
    overlap = both / np.maximum(1, true + own - both)
    dice = 2 * both[there] / (true + own)[there]
    return int((overlap[there] >= 0.5).sum()), int((own > 0).sum()), int(there.sum()), dice.tolist()


def main() -> None:
    from nucprof.segmentation.propagate import propagate_cells

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fields", type=int, default=4)
    parser.add_argument("--methods", nargs="+", default=["propagation", "distance", "watershed"])
    args = parser.parse_args()
    print("| method | kind | nuclei, px | cells | F1 at 0.5 | Dice | s a field |\n|" + "---|" * 7)
    for method in args.methods:
        for size in (20, 65):
            for kind in KINDS:
                hits = own = true = 0
                dice: list[float] = []
                spent = 0.0
                for seed in range(args.fields):
                    nuclei, plane, truth = simulate(kind, size, seed)
                    begin = time.process_time()
                    found = propagate_cells(nuclei, plane, method=method).labels
                    spent += time.process_time() - begin
                    one = score(truth, found)
                    hits, own, true = hits + one[0], own + one[1], true + one[2]
                    dice += one[3]
                f1, seconds = 2 * hits / (own + true), spent / args.fields
                row = f"{f1:.3f} | {np.mean(dice):.3f} | {seconds:.2f}"
                print(f"| {method} | {kind} | {size} | {true} | {row} |", flush=True)


if __name__ == "__main__":
    main()
