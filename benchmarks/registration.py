"""Accuracy of the registration on hard pairs, and its time: ``python -m benchmarks.registration``.

Accuracy and significance beside scikit-image's phase correlation, which takes images as they are;
time (a part of ``benchmarks.run``) against the three transforms of a bare cross-correlation, on one
thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from skimage.registration import phase_cross_correlation
from threadpoolctl import threadpool_limits

from nucprof.core import moving as moving_images
from nucprof.core import registration
from nucprof.core.search import Search

SHAPE = (512, 512)
MARGIN = 80


def median_of(function: Callable[[], Any], repeats: int = 5) -> tuple[float, Any]:
    """Median CPU seconds of some calls, and the last result."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        result = function()
        seconds.append(time.process_time() - start)
    return float(np.median(seconds)), result


def nuclei(rng: np.random.Generator, count: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Nuclei as (y, x, radius, radius, angle, brightness)."""
    return np.column_stack(
        (
            rng.uniform(-MARGIN, shape[0] + MARGIN, count),
            rng.uniform(-MARGIN, shape[1] + MARGIN, count),
            rng.uniform(6, 11, (count, 2)),
            rng.uniform(0, np.pi, count),
            rng.uniform(300, 1500, count),
        )
    )


def draw(
    objects: NDArray[np.float64], shape: tuple[int, int], shift: tuple[float, float] = (0, 0)
) -> NDArray[np.float64]:
    """Draw nuclei by formula, exact to any fraction of a pixel."""
    image = np.zeros(shape)
    for y, x, a, b, angle, level in objects:
        y, x = y + shift[0], x + shift[1]
        top, left = max(0, int(y) - 25), max(0, int(x) - 25)
        bottom, right = min(shape[0], int(y) + 26), min(shape[1], int(x) + 26)
        if top < bottom and left < right:
            yy, xx = np.mgrid[top:bottom, left:right]
            u = (yy - y) * np.cos(angle) + (xx - x) * np.sin(angle)
            v = (xx - x) * np.cos(angle) - (yy - y) * np.sin(angle)
            edge = np.clip(4 * ((u / a) ** 2 + (v / b) ** 2 - 1), -50, 50)
            image[top:bottom, left:right] += level / (1 + np.exp(edge))
    return image


#: name: nuclei in the field, share of them that the round shows, noise, lamp, related at all
CASES = {
    "plain": (150, 1.0, 15, 0, True),
    "bright, uneven lamp": (40, 1.0, 15, 4000, True),
    "low signal": (150, 1.0, 600, 0, True),
    "a third of the nuclei": (150, 0.33, 15, 0, True),
    "a tenth of the nuclei": (150, 0.1, 15, 0, True),
    "a third, lamp, noise": (150, 0.33, 150, 2000, True),
    "six cells": (6, 1.0, 15, 0, True),
    "unrelated": (150, 1.0, 15, 0, False),
    "unrelated, same lamp": (40, 1.0, 15, 4000, False),
    "unrelated, six cells": (6, 1.0, 15, 0, False),
}


def make_pair(
    case: str, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[float, float]]:
    """Make the two images of a case, and the true shift."""
    count, share, noise, lamp, related = CASES[case]
    grown = int(count * (1 + 2 * MARGIN / SHAPE[0]) ** 2)
    objects = nuclei(rng, grown, SHAPE)
    seen = objects[rng.random(grown) < share] if related else nuclei(rng, grown, SHAPE)
    shift = (float(rng.uniform(-60, 60)), float(rng.uniform(-60, 60)))
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    light = lamp * (1 - ((yy - 240) ** 2 + (xx - 280) ** 2) / 400**2)
    fixed = draw(objects, SHAPE) + light + rng.normal(500, noise, SHAPE)
    moving = draw(seen, SHAPE, shift) + light + rng.normal(500, noise, SHAPE)
    return fixed, moving, shift


def accuracy(pairs: int) -> None:
    """Print errors and the share called significant, case by case.

    Nuclei 12 to 22 px wide, brightness 300 to 1500, drawn by formula, shifts up to 60 px. An
    unrelated pair should never be significant. Low signal: noise of 600, up to twice what a nucleus
    adds.
    """
    print(
        "| pair | error, median (px) | within 0.25 px | significant | scikit-image: error, median |"
        " within 0.25 px |\n|---|---|---|---|---|---|"
    )
    for case, (*_, related) in CASES.items():
        rng = np.random.default_rng(0)
        ours, theirs, called = [], [], []
        for _ in range(pairs):
            fixed, moving, shift = make_pair(case, rng)
            found = registration.estimate_shift(fixed, moving, max_shift_px=100)
            other = -phase_cross_correlation(fixed, moving, upsample_factor=20)[0]
            ours.append(np.hypot(found.shift_y - shift[0], found.shift_x - shift[1]))
            theirs.append(np.hypot(*(other - shift)))
            called.append(found.significant)
        row = [case, "-", "-", f"{np.mean(called):.0%}", "-", "-"]
        if related:
            row[1], row[4] = f"{np.median(ours):.3f}", f"{np.median(theirs):.3f}"
            row[2], row[5] = (f"{np.mean(np.array(e) <= 0.25):.0%}" for e in (ours, theirs))
        print("| " + " | ".join(row) + " |", flush=True)


def steps(size: int) -> list[tuple[str, float, float]]:
    """What the steps take, as (name, processor seconds, times the three transforms); one thread."""
    with threadpool_limits(limits=1):
        return _steps(size)


def _steps(size: int) -> list[tuple[str, float, float]]:
    rng = np.random.default_rng(0)
    shape = (size, size)
    objects = nuclei(rng, 700 * size * size // 2048**2, shape)
    fixed, moving = (
        (draw(objects, shape, shift) + rng.normal(200, 15, shape)).astype(np.uint16)
        for shift in ((0, 0), (-37.3, 61.8))
    )
    single = fixed.astype(np.float32)
    forward, half = median_of(lambda: fft.rfft2(single))
    backward, _ = median_of(lambda: fft.irfft2(half))
    bare = 2 * forward + backward
    whole, found = median_of(lambda: registration.estimate_shift(fixed, moving))
    search = Search.of(fixed, moving, 200, 0.5, 1)
    assert search is not None
    null, _ = median_of(lambda: search.null(14, np.random.default_rng(0)))
    image, shift = np.stack([moving] * 3), (found.shift_y, found.shift_x)
    move, _ = median_of(lambda: moving_images.shift_image(image, shift, shape))
    theirs, _ = median_of(lambda: phase_cross_correlation(fixed, moving, upsample_factor=20), 3)
    rows = {
        "three bare transforms (2 rfft2, 1 irfft2)": bare,
        "registration without its null distribution": whole - null,
        "null distribution, 14 samples": null,
        "3 channels moved by a fraction of a pixel": move,
        "scikit-image, phase_cross_correlation, upsample 20": theirs,
    }
    return [(name, seconds, seconds / bare) for name, seconds in rows.items()]


def main() -> None:
    """Print the table of accuracy."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=20, help="pairs of images of every kind")
    accuracy(parser.parse_args().pairs)


if __name__ == "__main__":
    main()
