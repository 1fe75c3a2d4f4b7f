"""Edges of the alignment, on simulated fields with truth: ``python -m benchmarks.alignment PART``.

``rotation``: rounds that are turned or magnified, with a shift alone and as `align.model = "auto"`
does it. ``camera``: fields of a plate that share specks, dust or an edge. ``lost``: lost nuclei.
``unrelated``: fields that do not belong together. ``time``: what a translation costs. Turned rounds
of real cells: ``python -m benchmarks.alignment_coculture``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from nucprof.core.lost import lost_cells
from nucprof.core.moving import move_image
from nucprof.core.pattern import Pattern, common, reduced, signature
from nucprof.core.registration import Registration, estimate_shift, register
from nucprof.core.similarity import Similarity
from nucprof.core.verdict import doubt, refusal

Float64 = NDArray[np.float64]
MARGIN = 200
RADIUS = 9.0


class Scene:
    """Ellipses that hardly overlap, of two classes, drawn by formula through any similarity."""

    def __init__(
        self, rng: np.random.Generator, shape: tuple[int, int], count: int, fainter: float = 1.0
    ) -> None:
        self.rng, self.shape = rng, shape
        grown = np.array(shape) + 2 * MARGIN
        wanted = int(count * np.prod(grown) / np.prod(shape))
        taken: dict[tuple[int, int], Float64] = {}
        for point in rng.uniform(0, 1, (4 * wanted, 2)) * grown - MARGIN:
            # One nucleus per square of 16 px, and none in the squares beside it that is too near.
            y, x = (int(v // 16) for v in point)
            near = (taken.get((y + j, x + i)) for j in (-1, 0, 1) for i in (-1, 0, 1))
            if all(p is None or np.hypot(*(p - point)) > 15 for p in near):
                taken[y, x] = point
            if len(taken) == wanted:
                break
        self.points = np.array(list(taken.values()))
        self.axes = rng.uniform(7, 11, (len(self.points), 2))
        self.turns = rng.uniform(0, np.pi, len(self.points))
        self.second = rng.random(len(self.points)) < 0.5
        self.levels = rng.uniform(600, 2500, len(self.points))
        self.levels[self.second] /= fainter

    def draw(
        self,
        levels: Float64 | None = None,
        where: Similarity | None = None,
        background: float = 200.0,
        light: Float64 | float = 1.0,
    ) -> Float64:
        """Draw the nuclei with these levels, where a similarity puts them, with noise."""
        image = np.zeros(self.shape)
        at = self.points if where is None else where(self.points)
        turn, grow = (0.0, 1.0) if where is None else (np.deg2rad(where.angle), where.scale)
        values = self.levels if levels is None else levels
        for k in np.flatnonzero(values > 0):
            box, ring = self._ellipse(at[k], self.axes[k] * grow, self.turns[k] + turn)
            image[box] += values[k] / (1 + np.exp(np.clip(4 * (ring - 1), -50, 50)))
        image = (image + background) * light
        return self.rng.normal(image, np.sqrt(15.0**2 + 0.3 * image)).clip(0)

    def labels(self) -> NDArray[np.int32]:
        """Label image; label k + 1 is nucleus k."""
        labels = np.zeros(self.shape, dtype=np.int32)
        for k in range(len(self.points)):
            box, ring = self._ellipse(self.points[k], self.axes[k], self.turns[k])
            part = labels[box]
            part[(ring < 1) & (part == 0)] = k + 1
        return labels

    def _ellipse(
        self, at: Float64, axes: Float64, turn: float
    ) -> tuple[tuple[slice, slice], Float64]:
        (top, bottom), (left, right) = (
            np.clip((int(v) - 20, int(v) + 21), 0, n) for v, n in zip(at, self.shape, strict=True)
        )
        yy, xx = np.mgrid[top:bottom, left:right]
        dy, dx = yy - at[0], xx - at[1]
        u, v = dy * np.cos(turn) + dx * np.sin(turn), dx * np.cos(turn) - dy * np.sin(turn)
        return (slice(top, bottom), slice(left, right)), (u / axes[0]) ** 2 + (v / axes[1]) ** 2


def standing(found: Registration) -> bool:
    """Whether a field is accepted."""
    return not refusal(found, "auto", RADIUS)


def rotation(fields: int) -> None:
    """Cells kept and wrong classes, over angles, magnifications and densities."""
    print(
        "| nuclei in 2048 px | degrees | magnification | by a shift: kept | decided | wrong |"
        " auto: accepted | kept | decided | wrong | angle off | error at corner (px) |\n"
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    turns = [(0, 1), (0.5, 1), (1, 1), (2, 1), (3, 1), (5, 1), (10, 1), (0, 1.02), (2, 0.98)]
    for count in (200, 2000):
        for angle, scale in turns:
            rows = [_turned(count, angle, scale, seed) for seed in range(fields)]
            means = [np.nanmean(values) for values in zip(*rows, strict=True)]
            text = " | ".join(f"{value:.3f}" for value in means)
            print(f"| {count} | {angle} | {scale} | {text} |", flush=True)


def _turned(count: int, angle: float, scale: float, seed: int) -> list[float]:
    rng = np.random.default_rng([count, seed])
    shape = (2048, 2048)
    scene = Scene(rng, shape, count)
    true = Similarity.of(shape, tuple(rng.uniform(-40, 40, 2)), angle, scale)
    painted, nuclear = scene.draw(), scene.draw(where=true)
    bright = rng.lognormal(6.6, 0.4, len(scene.points))
    markers = [
        scene.draw(np.where(scene.second == k, bright, 10.0), true, 100.0) for k in (True, False)
    ]
    image, labels = np.stack([nuclear, *markers]), scene.labels()
    plain = estimate_shift(painted, nuclear)
    found = register(painted, nuclear, radius_px=RADIUS)
    by_shift = _classes(plain, scene, image, labels, painted)
    own = _classes(found, scene, image, labels, painted) if standing(found) else [np.nan] * 3
    off = found.similarity(shape).departure(true)
    return [*by_shift, float(standing(found)), *own, abs(found.angle - angle), off]


def _classes(
    found: Registration, scene: Scene, image: Float64, labels: NDArray, painted: Float64
) -> list[float]:
    """Shares of the cells kept, of these decided, and of these wrong."""
    moved, valid = move_image(image, found.similarity(scene.shape), scene.shape)
    lost = lost_cells(labels, labels, (painted, moved[0]), valid)
    ids = np.unique(labels)[1:]
    kept = ~np.isin(ids, np.concatenate(list(lost.values())))
    first, second = (ndi.mean(marker, labels, ids) > 300 for marker in moved[1:])
    decided = kept & (first != second)
    wrong = decided & (first != scene.second[ids - 1])
    return [kept.mean(), decided.sum() / kept.sum(), wrong.sum() / max(1, decided.sum())]


def camera(fields: int) -> None:
    """Fields accepted, unrelated and related, without and with what their plate tells."""
    print(
        "| shared by all fields | fields | related | accepted, field alone | of them sure |"
        " accepted, in its plate | of them sure | error, largest (px) |\n"
        "|---|---:|---|---:|---:|---:|---:|---:|"
    )
    for name, make in DIRT.items():
        for plate in (4, 16):
            for related in (False, True):
                rows = _plate(make, plate, related, fields)
                alone, alone_sure, within, sure, error = zip(*rows, strict=True)
                largest = f"{np.max(error):.2f}" if related else "-"
                print(
                    f"| {name} | {plate} | {'yes' if related else 'no'} | {np.mean(alone):.0%} | "
                    f"{np.mean(alone_sure):.0%} | {np.mean(within):.0%} | {np.mean(sure):.0%} | "
                    f"{largest} |",
                    flush=True,
                )


def _specks(rng: np.random.Generator, image: Float64, yy: Float64, xx: Float64) -> Float64:
    for y, x in rng.uniform(0, len(image), (20, 2)):
        width = rng.uniform(2, 5)
        image = image + rng.uniform(2000, 8000) * np.exp(
            -((yy - y) ** 2 + (xx - x) ** 2) / (2 * width**2)
        )
    return image


def _dust(rng: np.random.Generator, image: Float64, yy: Float64, xx: Float64) -> Float64:
    for y, x in rng.uniform(0, len(image), (25, 2)):
        width = rng.uniform(8, 30)
        depth = rng.uniform(0.5, 0.9)
        image = image * (1 - depth * np.exp(-((yy - y) ** 2 + (xx - x) ** 2) / (2 * width**2)))
    return image


def _edge(rng: np.random.Generator, image: Float64, yy: Float64, xx: Float64) -> Float64:
    away = np.hypot(yy - 1500, xx - 512) - 1300
    beyond = 60 + 3000 * np.exp(-np.abs(away) / 8)
    return np.where(away > 0, beyond, image + (beyond - 60) * (np.abs(away) < 40))


DIRT: dict[str, Callable[..., Float64]] = {
    "20 bright specks": _specks,
    "deep dust shadows": _dust,
    "the well's edge": _edge,
    "nothing": lambda rng, image, yy, xx: image,
}


def _plate(make: Callable[..., Float64], plate: int, related: bool, fields: int) -> list[list[Any]]:
    shape = (1024, 1024)
    yy, xx = np.mgrid[: shape[0], : shape[1]].astype(float)
    rng = np.random.default_rng(plate)
    pairs, shifts = [], []
    for _ in range(plate):
        scene = Scene(rng, shape, 150)
        other = scene if related else Scene(rng, shape, 150)
        true = Similarity.of(shape, tuple(rng.uniform(-30, 30, 2)))
        drawn = scene.draw(background=400.0), other.draw(where=true, background=400.0)
        pairs.append([make(np.random.default_rng(0), image, yy, xx) for image in drawn])
        shifts.append(true.shift)
    here, there = ([reduced(pair[k], shape) for pair in pairs] for k in (0, 1))
    hidden = common(here), common(there)
    rows = []
    for own in range(min(plate, fields)):
        others = [k for k in range(plate) if k != own][:6]
        scenes = tuple(signature(here[k]) for k in others)
        known = Pattern(*hidden, scenes, tuple(there[k] for k in others))
        alone = register(*pairs[own], radius_px=RADIUS)
        found = register(*pairs[own], radius_px=RADIUS, pattern=known)
        row = [f(x) for x in (alone, found) for f in (standing, _sure)]
        away = np.subtract((found.shift_y, found.shift_x), shifts[own])
        rows.append([*row, np.hypot(*away)])
    return rows


def _sure(found: Registration) -> bool:
    return standing(found) and not doubt(found, "auto")


def lost(fields: int) -> None:
    """Sensitivity and false alarms of ``lost_nucleus``."""
    shape = (1024, 1024)
    yy, xx = np.mgrid[: shape[0], : shape[1]] / shape[0]
    lamp = 1 - 0.6 * (yy**2 + xx**2) / 2
    cases: dict[str, dict[str, Any]] = {
        "20% lost": {},
        "50% lost": {"share": 0.5},
        "80% lost": {"share": 0.8},
        "none lost": {"share": 0.0},
        "dense (800)": {"count": 800},
        "a class 3 times fainter": {"fainter": 3},
        "a class 4 times fainter": {"fainter": 4},
        "a class 5 times fainter": {"fainter": 5},
        "a class 5 times fainter in the round only": {"round_only": 5},
        "a class 5 times fainter, 80% lost": {"fainter": 5, "share": 0.8},
        "an off-centre lamp over a background of 2,000": {"light": lamp, "background": 2000.0},
        "stain 50 times fainter": {"gain": 0.02},
    }
    print("| | sensitivity | false alarms, bright class | other class |\n|---|---:|---:|---:|")
    for name, case in cases.items():
        counts = sum(_lost(np.random.default_rng([7, k]), shape, **case) for k in range(fields))
        found, gone, *false = np.asarray(counts)
        hit = f"{found / gone:.3f}" if gone else "-"
        print(f"| {name} | {hit} | {false[0] / false[1]:.4f} | {false[2] / false[3]:.4f} |")


def _lost(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    count: int = 200,
    share: float = 0.2,
    fainter: float = 1.0,
    round_only: float = 1.0,
    gain: float = 1.0,
    light: Float64 | float = 1.0,
    background: float = 200.0,
) -> Float64:
    scene = Scene(rng, shape, count, fainter)
    gone = rng.random(len(scene.points)) < share
    levels = gain * scene.levels / np.where(scene.second, round_only, 1)
    where = Similarity.of(shape, tuple(rng.uniform(-20, 20, 2)))
    painted, labels = scene.draw(), scene.labels()
    image = scene.draw(np.where(gone, 0, levels), where, background, light)
    moved, valid = move_image(image[None], where, shape)
    told = lost_cells(labels, labels, (painted, moved[0]), valid)
    ids = np.setdiff1d(np.unique(labels)[1:], told["outside_overlap"])
    called, true, kind = np.isin(ids, told["lost_nucleus"]), gone[ids - 1], scene.second[ids - 1]
    there = [~true & (kind == k) for k in (False, True)]
    false = [count for own in there for count in ((called & own).sum(), own.sum())]
    return np.array([(called & true).sum(), true.sum(), *false], dtype=np.float64)


def unrelated(fields: int) -> None:
    """Unrelated pairs that are accepted, of all kinds, and of these the sure ones."""
    accepted = sure = total = 0
    for count in (20, 60, 200):
        for seed in range(fields):
            rng = np.random.default_rng([9, count, seed])
            pair = [Scene(rng, (512, 512), count).draw() for _ in range(2)]
            found = register(*pair, radius_px=RADIUS, max_shift_px=100)
            accepted, sure, total = accepted + standing(found), sure + _sure(found), total + 1
    print(f"unrelated pairs accepted: {accepted} of {total}, without a doubt {sure}")


def duration(repeats: int) -> None:
    """Processor seconds of a translation in 2048 px, by the shift alone and with its parts."""
    rng = np.random.default_rng(0)
    scene = Scene(rng, (2048, 2048), 700)
    where = Similarity.of(scene.shape, (-37.3, 61.8))
    fixed, moving = (i.astype(np.uint16) for i in (scene.draw(), scene.draw(where=where)))
    others = [Scene(rng, scene.shape, 700).draw() for _ in range(6)]
    planes = [reduced(image, scene.shape) for image in others]
    nothing = np.zeros(planes[0].shape, dtype=bool)
    known = Pattern(nothing, nothing, tuple(signature(p) for p in planes), tuple(planes))
    calls: dict[str, Callable[[], Any]] = {
        "shift alone": lambda: estimate_shift(fixed, moving),
        "with its parts": lambda: register(fixed, moving, radius_px=RADIUS),
        "and six other wells": lambda: register(fixed, moving, radius_px=RADIUS, pattern=known),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):  # in turn, so that a busy machine is busy for all
        for name, call in calls.items():
            begin = time.process_time()
            call()
            seconds[name].append(time.process_time() - begin)
    bare = np.median(seconds["shift alone"])
    for name, values in seconds.items():
        print(f"| {name} | {np.median(values):.3f} | {np.median(values) / bare:.2f} |")


def main() -> None:
    """Print the table that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parts = {
        "rotation": rotation,
        "camera": camera,
        "lost": lost,
        "unrelated": unrelated,
        "time": duration,
    }
    parser.add_argument("part", choices=parts)
    parser.add_argument("--fields", type=int, default=4, help="fields (or repeats) of every kind")
    asked = parser.parse_args()
    parts[asked.part](asked.fields)


if __name__ == "__main__":
    main()
