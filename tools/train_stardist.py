"""Train the StarDist network that nucprof carries, on a folder of images and instance masks.

The folder holds ``images/*.tif`` and ``masks/*.tif`` of the same names. Images whose file name has
a CRC-32 that is a multiple of 10 are held out and never opened here; of the rest, those with
``crc32 % 10 == 1`` choose the weights that are kept and the two thresholds.

Most patches are made harder (``hard_examples.py``): cytoplasmic haze, bleed-through, glow, debris,
nearly empty fields, camera noise. The validation part has hard versions of its own.

Every patch is resized so that its nuclei have about the canonical diameter, with a wide jitter:
nucprof brings a plate to that size before the network sees it (``segment.scale = auto``), which
lets a small network do the work of a large one.

    python tools/train_stardist.py DATA OUT --minutes 100 [--init OTHER_MODEL]

A run that was stopped goes on from its last checkpoint when it is started again with the same OUT.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import multiprocessing
import os
import shutil
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from queue import Full
from typing import TYPE_CHECKING

import numpy as np
from hard_examples import camera, harden
from scipy import ndimage as ndi

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger("train_stardist")

CANONICAL_PX = 28.0
"""Nuclear diameter, in pixels, around which training sizes are drawn."""
LOW_PERCENTILES = np.array([0.5, 1.0, 2.0])
HIGH_PERCENTILES = np.array([98.0, 99.0, 99.5, 99.8, 99.9])


POOL = 400
"""Patches that are kept to be used again."""
Patch = tuple["NDArray", "NDArray", "NDArray"]


@dataclass
class Field:
    """One training image with what the sampler needs to know about it."""

    name: str
    image: NDArray[np.float32]
    labels: NDArray[np.int32]
    diameter: float
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @property
    def count(self) -> int:
        """Number of nuclei."""
        return len(np.unique(self.labels)) - 1


def part_of(name: str) -> str:
    """Say which part a file name belongs to: ``held_out``, ``validation`` or ``training``."""
    crc = zlib.crc32(name.encode())
    return {0: "held_out", 1: "validation"}.get(crc % 10, "training")


def make_field(name: str, image: NDArray, labels: NDArray) -> Field | None:
    """Wrap an image and its mask; None when the mask is empty."""
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    if areas.size == 0:
        return None
    image = np.asarray(image, dtype=np.float32)
    return Field(
        name=name,
        image=image,
        labels=labels.astype(np.int32),
        diameter=float(np.sqrt(4 * np.median(areas) / np.pi)),
        low=np.percentile(image, LOW_PERCENTILES),
        high=np.percentile(image, HIGH_PERCENTILES),
    )


def load_fields(data: Path, part: str) -> list[Field]:
    """Read the images of one part of the split."""
    from tifffile import imread

    fields = []
    for path in sorted((data / "images").glob("*.tif")):
        if part_of(path.name) == part:
            image, labels = imread(path), imread(data / "masks" / path.name)
            if image.ndim == 3:
                image = image.mean(axis=-1)
            field = make_field(path.name, image, labels)
            if field is not None:
                fields.append(field)
    return fields


# ------------------------------------------------------------------------------ synthetic fields


def synthetic_field(rng: np.random.Generator, index: int, size: int = 256) -> Field:
    """Draw a dense field of bent ellipses that touch, as confluent cultures show them."""
    diameter = CANONICAL_PX * float(np.exp(rng.normal(0, 0.2)))
    yy, xx = np.mgrid[:size, :size].astype(np.float32)
    best = np.full((size, size), np.inf, dtype=np.float32)
    labels = np.zeros((size, size), dtype=np.int32)
    signal = np.zeros((size, size), dtype=np.float32)
    spacing = diameter * rng.uniform(0.85, 1.4)
    points: list[tuple[float, float]] = []
    for _ in range(1500):
        point = rng.uniform(-0.3 * diameter, size + 0.3 * diameter, 2)
        if all((point[0] - y) ** 2 + (point[1] - x) ** 2 > spacing**2 for y, x in points):
            points.append((float(point[0]), float(point[1])))
    for label, (cy, cx) in enumerate(points, start=1):
        radius = 0.5 * diameter * float(np.exp(rng.normal(0, 0.18)))
        ratio = float(np.exp(rng.normal(0, 0.22)))
        angle, phase2, phase3 = rng.uniform(0, 2 * np.pi, 3)
        reach = int(radius * 2.2) + 2
        rows = slice(max(0, int(cy) - reach), max(0, int(cy) + reach))
        cols = slice(max(0, int(cx) - reach), max(0, int(cx) + reach))
        dy, dx = yy[rows, cols] - cy, xx[rows, cols] - cx
        u = (dy * np.cos(angle) + dx * np.sin(angle)) / ratio
        v = (dx * np.cos(angle) - dy * np.sin(angle)) * ratio
        theta = np.arctan2(v, u)
        rim = 1 + 0.06 * np.sin(2 * theta + phase2) + 0.05 * np.sin(3 * theta + phase3)
        distance = np.hypot(u, v) / (radius * rim)
        nearer = (distance < 1) & (distance < best[rows, cols])
        labels[rows, cols][nearer] = label
        best[rows, cols][nearer] = distance[nearer]
        dome = rng.uniform(0, 0.5)
        level = float(np.exp(rng.normal(0, 0.35)))
        body = level * (1 - dome * np.clip(distance, 0, 1) ** 2)
        signal[rows, cols] = np.where(nearer, body, signal[rows, cols])
    for sigma, weight in ((1.5, 0.5), (4.0, 1.2)):
        signal *= 1 + weight * rng.uniform(0, 1) * ndi.gaussian_filter(
            rng.normal(0, sigma, (size, size)), sigma
        )
    signal = ndi.gaussian_filter(signal, rng.uniform(0.6, 2.0))
    haze = ndi.gaussian_filter(signal, diameter) * rng.uniform(0, 0.6)
    signal = signal + haze + rng.uniform(0.02, 0.3)
    signal = signal + rng.normal(0, rng.uniform(0.005, 0.08), signal.shape)
    field = make_field(f"synthetic-{index:03d}", signal, labels)
    assert field is not None
    return field


# ----------------------------------------------------------------------------------- sampling


def draw_patch(
    field: Field, size: int, rng: np.random.Generator, *, jitter: bool = True
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Cut one resized, turned and flipped patch of image (normalised) and labels.

    One affine map does crop, scale, rotation and flip at once, so that a pixel is interpolated
    only once. Half of the patches are centred near a nucleus.
    """
    spread = 0.42 if jitter else 0.0
    target = CANONICAL_PX * float(np.clip(np.exp(rng.normal(0, spread)), 0.3, 3.2))
    scale = float(np.clip(target / field.diameter, 0.2, 5.0))
    angle = rng.integers(4) * np.pi / 2
    if jitter and rng.random() < 0.4:
        angle += rng.uniform(-np.pi / 4, np.pi / 4)
    stretch = np.exp(rng.normal(0, 0.08, 2)) if jitter else np.ones(2)
    flip = np.diag([1.0, rng.choice([-1.0, 1.0])])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ flip @ np.diag(1 / (scale * stretch))

    shape = np.array(field.image.shape, dtype=float)
    half = 0.5 * size / scale
    if rng.random() < 0.5:
        rows, cols = np.nonzero(field.labels)
        pick = rng.integers(rows.size)
        centre = np.array([rows[pick], cols[pick]]) + rng.uniform(-0.5, 0.5, 2) * half
    else:
        centre = rng.uniform(0, 1, 2) * shape
    centre = np.where(shape > 2 * half, np.clip(centre, half, shape - half), shape / 2)
    offset = centre - matrix @ np.array([(size - 1) / 2] * 2)

    # Only the part of the image that the patch can reach is filtered and interpolated.
    reach = int(np.ceil(1.6 * half)) + 8
    start = np.maximum(0, np.floor(centre).astype(int) - reach)
    stop = np.minimum(shape.astype(int), np.ceil(centre).astype(int) + reach)
    window = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    image = field.image[window]
    if scale < 1:
        image = ndi.gaussian_filter(image, 0.5 * (1 / scale - 1) + 0.2)
    out = (size, size)
    image = ndi.affine_transform(image, matrix, offset - start, out, order=1, mode="mirror")
    labels = ndi.affine_transform(
        field.labels[window], matrix, offset - start, out, order=0, mode="mirror"
    )
    low = field.low[rng.integers(len(field.low)) if jitter else 1]
    high = field.high[rng.integers(len(field.high)) if jitter else 1]
    return ((image - low) / max(high - low, 1e-3)).astype(np.float32), labels


def disturb(
    patch: NDArray[np.float32], background: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Change gain, offset, gamma, focus, illumination and noise of a normalised patch."""
    if rng.random() < 0.5:
        gamma = float(np.exp(rng.normal(0, 0.3)))
        patch = np.sign(patch) * np.abs(patch) ** gamma
    patch = patch * float(np.exp(rng.normal(0, 0.25))) + rng.normal(0, 0.04)
    if rng.random() < 0.25:
        patch = ndi.gaussian_filter(patch, rng.uniform(0.3, 1.8))
    if rng.random() < 0.2:
        coarse = rng.uniform(0.6, 1.4, (3, 3))
        patch = patch * ndi.zoom(coarse, np.array(patch.shape) / 3, order=1)
    return camera(patch, background, rng)


class Sampler:
    """Draw batches of patches with their StarDist targets."""

    def __init__(
        self, fields: list[Field], size: int, rays: int, grid: int, seed: int, hard: float
    ) -> None:
        self.fields, self.size, self.rays, self.grid = fields, size, rays, grid
        self.hard = hard
        self.rng = np.random.default_rng(seed)
        self.pool: list[Patch] = []
        weights = np.sqrt([field.count for field in fields])
        self.weights = weights / weights.sum()

    def targets(self, labels: NDArray[np.int32]) -> tuple[NDArray, NDArray]:
        """Return object probability (h, w) and ray lengths (h, w, rays) on the network's grid."""
        from stardist.geometry import star_dist
        from stardist.utils import edt_prob

        step = self.grid
        prob = edt_prob(labels)[::step, ::step]
        dist = star_dist(labels, self.rays, mode="cpp", grid=(step, step))
        return prob, dist

    def draw(self, *, jitter: bool = True) -> Patch:
        """Draw one patch with its targets; made harder in a share ``hard`` of the draws."""
        while True:
            field = self.fields[self.rng.choice(len(self.fields), p=self.weights)]
            image, labels = draw_patch(field, self.size + 1, self.rng, jitter=jitter)
            if not labels.any() and self.rng.random() > 0.1:
                continue
            if self.rng.random() < self.hard:
                image, labels = harden(image, labels, self.rng)
            return image, *self.targets(np.ascontiguousarray(labels[1:, 1:]))

    def background(self, prob: NDArray) -> NDArray[np.bool_]:
        """Pixels of a patch outside all nuclei, from its target on the network's grid."""
        return np.kron(prob == 0, np.ones((self.grid, self.grid), dtype=bool))

    def batch(self, n: int, *, augment: bool = True) -> tuple[NDArray, NDArray, NDArray]:
        """Draw ``n`` patches: images (n, s, s, 1), probability and ray lengths.

        Cutting a patch and its targets costs as much as the network's step, so with ``augment``
        only two of a batch are new; the others were cut for earlier batches and are mirrored and
        disturbed anew.
        """
        if not augment:
            chosen = [turn(self.draw(), (False, False, False)) for _ in range(n)]
            if self.hard:
                chosen = [(camera(i, self.background(p), self.rng), p, d) for i, p, d in chosen]
        else:
            fresh = 2 if len(self.pool) >= POOL // 4 else n
            self.pool.extend(self.draw() for _ in range(fresh))
            older = self.rng.choice(len(self.pool), n - fresh, replace=False)
            picked = [self.pool[i] for i in older] + self.pool[-fresh:]
            del self.pool[:-POOL]
            chosen = [turn(patch, tuple(self.rng.random(3) < 0.5)) for patch in picked]
            chosen = [
                (disturb(image, self.background(prob), self.rng), prob, dist)
                for image, prob, dist in chosen
            ]
        images, probs, dists = (
            np.stack(part).astype(np.float32) for part in zip(*chosen, strict=True)
        )
        return images[..., None], probs[..., None], dists


def feed(sampler: Sampler, n: int, queue: multiprocessing.Queue) -> None:
    """Put batches of ``n`` patches into a queue, for as long as the training lives."""
    training = multiprocessing.parent_process()
    assert training is not None
    while training.is_alive():
        batch = sampler.batch(n)
        while training.is_alive():
            try:
                queue.put(batch, timeout=5)
                break
            except Full:
                continue


def turn(patch: Patch, how: tuple[bool, ...]) -> Patch:
    """Transpose and mirror a patch of size + 1 and its targets, which become patches of size.

    The targets lie on every ``grid``-th pixel. So that mirroring keeps them there, the image has
    one row and column more at its start, which a mirrored patch takes in place of its last. Ray k
    points along the columns at k = 0 and turns towards the rows.
    """
    image, prob, dist = patch
    rays = np.arange(dist.shape[-1])
    if how[0]:
        image, prob, dist = image.T, prob.T, dist.transpose(1, 0, 2)
        rays = (rays.size // 4 - rays) % rays.size
    image = image[-2::-1] if how[1] else image[1:]
    if how[1]:
        prob, dist = prob[::-1], dist[::-1]
        rays = rays[-np.arange(rays.size) % rays.size]
    image = image[:, -2::-1] if how[2] else image[:, 1:]
    if how[2]:
        prob, dist = prob[:, ::-1], dist[:, ::-1]
        rays = rays[(rays.size // 2 - np.arange(rays.size)) % rays.size]
    return image, prob, dist[..., rays]


# ----------------------------------------------------------------------------------- network


def widen(source: list[NDArray], target: list[NDArray], seed: int) -> list[NDArray]:
    """Fill a wider network from a narrower one: copied channels, input weights shared out.

    After Chen, Goodfellow and Shlens, "Net2Net" (2016): every channel is repeated, and where a
    layer reads the copies each gets its share of the weight, so the function stays the same; a
    little noise lets the copies part. Copies lie side by side, so that two maps concatenated by a
    skip connection need no care. Widths must be multiples of the old ones.
    """
    rng = np.random.default_rng(seed)
    out = []
    for old, new in zip(source, target, strict=True):
        filled = old
        for axis in (2, 3) if old.ndim == 4 else (0,):
            times, left = divmod(new.shape[axis], old.shape[axis])
            if left:
                raise SystemExit(f"cannot widen {old.shape} to {new.shape}: not a multiple")
            filled = np.repeat(filled, times, axis=axis) / (times if axis == 2 else 1)
        if filled.shape != old.shape and old.ndim == 4:
            filled = filled + rng.normal(0, 0.05 * filled.std(), filled.shape)
        out.append(np.asarray(filled, dtype=np.float32))
    return out


def build_model(args: argparse.Namespace) -> object:
    """Create the StarDist model in ``args.out``, from ``args.init``'s weights where given."""
    from stardist.models import Config2D, StarDist2D

    config = Config2D(
        n_rays=args.rays, grid=(args.grid, args.grid), n_channel_in=1,
        unet_n_depth=3, unet_n_filter_base=args.filters, net_conv_after_unet=args.features,
        train_patch_size=(args.patch, args.patch), train_batch_size=args.batch,
        train_learning_rate=args.learning_rate,
    )  # fmt: skip
    model = StarDist2D(config, name=args.out.name, basedir=str(args.out.parent))
    if args.init is not None:
        other = StarDist2D(None, name=args.init.name, basedir=str(args.init.parent))
        weights = other.keras_model.get_weights()
        model.keras_model.set_weights(widen(weights, model.keras_model.get_weights(), args.seed))
        log.info("started from the weights of %s", args.init.name)
    return model


class Trainer:
    """The training loop: Adam with a cosine rate, averaged weights, checkpoints."""

    def __init__(self, model: object, args: argparse.Namespace) -> None:
        import keras
        import tensorflow as tf

        self.net, self.args, self.out = model.keras_model, args, args.out
        # Trained on its logits: in bfloat16 a probability near 1 is 1, and its logarithm no number.
        self.net.get_layer("prob").activation = keras.activations.linear
        self.optimizer = keras.optimizers.Adam(args.learning_rate, clipnorm=1.0)
        self.optimizer.build(self.net.trainable_variables)
        self.average = [w.copy() for w in self.net.get_weights()]
        self.step, self.elapsed, self.best = 0, 0.0, np.inf
        self._apply = tf.function(self._train_step, jit_compile=False)
        self._loss = tf.function(self._losses)

    def _losses(self, image, prob, dist):  # noqa: ANN001, ANN202
        import tensorflow as tf

        logit, d = self.net(image, training=True)
        cross = tf.nn.sigmoid_cross_entropy_with_logits(labels=prob, logits=logit)
        cross = tf.reduce_mean(cross)
        # Relative to the object's size: overlap, by which masks are judged, is relative too.
        size = tf.reduce_mean(dist, axis=-1, keepdims=True) + 2.0
        error = tf.reduce_mean(tf.abs(d - dist), axis=-1, keepdims=True) / size
        inside = tf.reduce_sum(prob * error) / (tf.reduce_sum(prob) + 1.0)
        outside = tf.reduce_mean(tf.cast(prob == 0, tf.float32) * tf.abs(d))
        return cross + self.args.distance_weight * inside + 1e-5 * outside, cross, inside

    def _train_step(self, image, prob, dist):  # noqa: ANN001, ANN202
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss, cross, inside = self._losses(image, prob, dist)
        variables = self.net.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss, cross, inside

    @property
    def progress(self) -> float:
        """Share of the run that is done, by steps or by minutes, whichever is further."""
        return max(self.step / self.args.steps, self.elapsed / 60 / self.args.minutes)

    def rate(self) -> float:
        """Learning rate of the next step: a short warm-up, then half a cosine."""
        warm = min(1.0, (self.step + 1) / 150)
        cosine = 0.5 * (1 + np.cos(np.pi * min(1.0, self.progress)))
        return float(self.args.learning_rate * warm * (0.005 + 0.995 * cosine))

    def save(self) -> None:
        """Write everything that a later run needs to go on."""
        state = {f"w{i}": w for i, w in enumerate(self.net.get_weights())}
        state |= {f"a{i}": w for i, w in enumerate(self.average)}
        state |= {f"o{i}": np.asarray(v) for i, v in enumerate(self.optimizer.variables)}
        state |= {"step": self.step, "elapsed": self.elapsed, "best": self.best}
        temporary = self.out / "state.tmp.npz"
        np.savez(temporary, **state)
        os.replace(temporary, self.out / "state.npz")

    def restore(self) -> None:
        """Go on where ``save`` left off, when there is something to go on from."""
        path = self.out / "state.npz"
        if not path.exists():
            return
        with np.load(path) as state:
            n = len(self.average)
            self.net.set_weights([state[f"w{i}"] for i in range(n)])
            self.average = [state[f"a{i}"] for i in range(n)]
            for i, variable in enumerate(self.optimizer.variables):
                variable.assign(state[f"o{i}"])
            self.step, self.elapsed = int(state["step"]), float(state["elapsed"])
            self.best = float(state["best"])
        log.info("going on from step %d, %.1f minutes", self.step, self.elapsed / 60)

    def validate(self, batches: list) -> tuple[float, float, float]:
        """Mean losses of the averaged weights, which are stored when they are the best so far."""
        own = self.net.get_weights()
        self.net.set_weights(self.average)
        losses = np.mean([[float(v) for v in self._loss(*batch)] for batch in batches], axis=0)
        self.net.save_weights(str(self.out / "weights_now.h5"))
        if losses[0] < self.best:
            self.best = float(losses[0])
            shutil.copyfile(self.out / "weights_now.h5", self.out / "weights_tmp.h5")
            os.replace(self.out / "weights_tmp.h5", self.out / "weights_best.h5")
        self.net.set_weights(own)
        return tuple(losses)

    def run(self, sampler: Sampler, batches: list) -> None:
        """Train until the steps or the minutes are used up."""
        self.restore()
        sampler.rng = np.random.default_rng([self.args.seed, self.step])
        # Cutting patches takes half as long as a step: a process of its own does it meanwhile.
        context = multiprocessing.get_context("spawn")
        queue = context.Queue(maxsize=16)
        feeder = context.Process(target=feed, args=(sampler, self.args.batch, queue), daemon=True)
        feeder.start()
        running, waited = [], 0.0
        log_path = self.out / "log.csv"
        if not log_path.exists():
            log_path.write_text("step,minutes,rate,train_loss,val_loss,val_prob,val_dist\n")
        while self.progress < 1:
            begin = time.perf_counter()
            batch = queue.get()
            waited += time.perf_counter() - begin
            self.optimizer.learning_rate.assign(self.rate())
            running.append(float(self._apply(*batch)[0]))
            self.step += 1
            if self.step % 4 == 0:
                keep = min(0.998, self.step / (self.step + 40)) ** 4
                for mean, now in zip(self.average, self.net.get_weights(), strict=True):
                    mean += (1 - keep) * (now - mean)
            self.elapsed += time.perf_counter() - begin
            if self.step % self.args.every == 0 or self.progress >= 1:
                begin = time.perf_counter()
                val = self.validate(batches)
                self.elapsed += time.perf_counter() - begin
                self.save()
                row = [self.step, self.elapsed / 60, self.rate(), np.mean(running), *val]
                with log_path.open("a") as file:
                    file.write(",".join(f"{v:.6g}" for v in row) + "\n")
                log.info(
                    "step %d, %.1f min, train %.4f, val %.4f (prob %.4f, dist %.4f); "
                    "waited %.0f ms a step", self.step, self.elapsed / 60, np.mean(running),
                    *val, 1000 * waited / len(running),
                )  # fmt: skip
                running, waited = [], 0.0
        feeder.terminate()


def write_split(data: Path, out: Path) -> None:
    """Write which file is in which part."""
    with (out / "split.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "part"])
        for path in sorted((data / "images").glob("*.tif")):
            writer.writerow([path.name, part_of(path.name)])


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="folder with images/ and masks/")
    parser.add_argument("out", type=Path, help="folder of the model, made or continued")
    parser.add_argument("--init", type=Path, help="model folder to start from (may be narrower)")
    parser.add_argument("--minutes", type=float, default=100.0)
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--every", type=int, default=250, help="steps between checkpoints")
    parser.add_argument("--filters", type=int, default=16)
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--rays", type=int, default=32)
    parser.add_argument("--grid", type=int, default=2)
    parser.add_argument("--patch", type=int, default=160)
    parser.add_argument("--batch", type=int, default=5)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--distance-weight", type=float, default=2.0)
    parser.add_argument("--synthetic", type=float, default=0.12, help="share of synthetic patches")
    parser.add_argument("--hard", type=float, default=0.6, help="share of hard patches")
    parser.add_argument(
        "--bfloat16", action="store_true", help="multiply in bfloat16; weights stay float32"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out = args.out.resolve()
    if args.init is not None:
        args.init = args.init.resolve()
    return args


def main() -> None:
    """Load, build, train."""
    args = arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if args.bfloat16:
        tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": True})
    tf.keras.utils.set_random_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    write_split(args.data, args.out)

    training = load_fields(args.data, "training")
    rng = np.random.default_rng(args.seed)
    made = [synthetic_field(rng, i) for i in range(60)]
    validation = load_fields(args.data, "validation")
    log.info("%d training, %d validation images", len(training), len(validation))

    model = build_model(args)
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()}
    settings |= {"data": args.data.name, "out": args.out.name,
                 "init": args.init.name if args.init else None}  # fmt: skip
    (args.out / "training.json").write_text(json.dumps(settings, indent=1) + "\n")
    shape = args.patch, args.rays, args.grid
    sampler = Sampler(training + made, *shape, args.seed, args.hard)
    share = np.r_[np.full(len(training), 1 - args.synthetic), np.full(len(made), args.synthetic)]
    weights = np.sqrt([f.count for f in training + made])
    for part in (slice(0, len(training)), slice(len(training), None)):
        weights[part] *= share[part] / weights[part].sum()
    sampler.weights = weights / weights.sum()
    # Half of the validation patches as they are, half with hard versions of their own.
    checks = [Sampler(validation, *shape, seed=12345, hard=hard) for hard in (0.0, 1.0)]
    batches = [
        check.batch(args.batch, augment=False) for check in checks for _ in range(48 // args.batch)
    ]
    Trainer(model, args).run(sampler, batches)


if __name__ == "__main__":
    main()
