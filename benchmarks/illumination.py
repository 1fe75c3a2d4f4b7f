"""Illumination on the simulator: error of mean intensities per cell, before and after correction.

Fields of the synthetic co-culture with and without a vignette are taken by one camera (blur, shot
and read noise, an offset), with the same noise; an error is that of a cell's mean intensity,
relative to the same cell under even illumination.

    python benchmarks/illumination.py
"""

from __future__ import annotations

import time

import numpy as np
from scipy import ndimage as ndi

from nucprof.core.illumination import Illumination, correct, estimate, reduced
from nucprof.demo.cells import draw, place
from nucprof.errors import ProjectError
from nucprof.raw.illumination import estimate_by_basicpy

SHAPE = (300, 320)
CELLS = 35
OFFSET, BACKGROUND = 100.0, 100.0
CHANNELS = {"DAPI": 0, "Cy3": 2}
MEASURED = 20  # fields


def vignette(drop: float) -> np.ndarray:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    r2 = ((y - 0.45 * SHAPE[0]) / SHAPE[0]) ** 2 + ((x - 0.55 * SHAPE[1]) / SHAPE[1]) ** 2
    light = 1 - drop * r2 / r2.max()
    return light / light.mean()


def photograph(light: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=light.shape) * (0.8 * np.sqrt(np.maximum(light, 0)) + 5)
    return np.clip(np.rint(ndi.gaussian_filter(light, 0.9) + OFFSET + noise), 0, 65535)


def fields(count: int, drop: float, channel: int) -> tuple[list[np.ndarray], list[tuple]]:
    rng = np.random.default_rng(1)
    uneven, measured = [], []
    for number in range(count):
        painting, _, labels = draw(rng, place(rng, SHAPE, CELLS, ("astro", "neuro")), SHAPE)
        light = painting[channel] + BACKGROUND
        seed = int(rng.integers(1 << 30))
        uneven.append(photograph(light * vignette(drop), seed))
        if number < MEASURED:
            measured.append((uneven[-1], photograph(light, seed), labels))
    return uneven, measured


def errors(illumination: Illumination | None, measured: list[tuple]) -> np.ndarray:
    found = []
    for uneven, even, labels in measured:
        image = uneven if illumination is None else correct(uneven, illumination)
        ids = np.unique(labels)[1:]
        found.append(ndi.mean(image, labels, ids) / ndi.mean(even, labels, ids) - 1)
    return np.concatenate(found)


def main() -> None:
    print("channel fields vignette method    error (sd)  error (max)  seconds")
    for channel, number in CHANNELS.items():
        for count in (8, 24, 96):
            for drop in (0.0, 0.2, 0.4, 0.7):
                images, measured = fields(count, drop, number)
                small = [reduced(image) for image in images]
                row = f"{channel:7} {count:6} {drop:8.0%}"
                off = errors(None, measured)
                print(f"{row} none      {off.std():10.2%} {np.abs(off).max():12.2%}")
                for method, by in (("median", estimate), ("basicpy", estimate_by_basicpy)):
                    start = time.perf_counter()
                    try:
                        found = by(small, SHAPE)
                    except ProjectError:
                        continue  # basicpy is not installed
                    seconds = time.perf_counter() - start
                    off = errors(found, measured)
                    print(
                        f"{row} {method:9} {off.std():10.2%} {np.abs(off).max():12.2%} "
                        f"{seconds:8.1f}"
                    )


if __name__ == "__main__":
    main()
