"""Hard examples made from easy ones: what misleads a network, added where the truth is known.

All functions take patches whose background is near 0 and whose nuclei are near 1, and a label
image that says where the nuclei are. What they add is never a nucleus, so the labels stay right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage as ndi

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.float32]
    Labels = NDArray[np.int32]
    Rng = np.random.Generator


def smooth_noise(shape: tuple[int, ...], sigma: float | tuple[float, float], rng: Rng) -> Image:
    """Gaussian noise of unit variance, smoothed by ``sigma`` pixels (made on a coarser grid)."""
    step = max(1, int(np.min(sigma) / 2))
    small = tuple(-(-n // step) + 2 for n in shape)
    noise = ndi.gaussian_filter(rng.normal(0, 1, small), np.divide(sigma, step), mode="wrap")
    noise = ndi.zoom(noise, step, order=1)[: shape[0], : shape[1]] if step > 1 else noise
    noise = noise[: shape[0], : shape[1]]
    return (noise / max(float(noise.std()), 1e-6)).astype(np.float32)


def contrast(image: Image, labels: Labels) -> float:
    """How far the nuclei stand above what surrounds them; 1 where there are none."""
    inside = labels > 0
    if not inside.any() or inside.all():
        return 1.0
    return max(0.1, float(np.median(image[inside]) - np.percentile(image[~inside], 20)))


def haze(image: Image, labels: Labels, rng: Rng) -> Image:
    """Stained cytoplasm: lobes around the nuclei, textured, often on one side only."""
    names, starts = np.unique(labels, return_inverse=True)
    if names.size < 2 or names[0] != 0:
        return image
    starts = starts.reshape(labels.shape)
    away, (rows, cols) = ndi.distance_transform_edt(starts == 0, return_indices=True)
    owner = starts[rows, cols]
    count = names.size
    area = np.bincount(starts.ravel(), minlength=count)
    yy, xx = np.mgrid[: labels.shape[0], : labels.shape[1]]
    cy = np.bincount(starts.ravel(), yy.ravel(), count) / area
    cx = np.bincount(starts.ravel(), xx.ravel(), count) / area
    angle = np.arctan2(yy - cy[owner], xx - cx[owner])
    size = np.sqrt(4 / np.pi * np.median(area[1:]))
    phase = rng.uniform(0, 2 * np.pi, (3, count))
    reach = size * np.exp(rng.uniform(np.log(0.12), np.log(1.2), count))
    lobed = 1 + rng.uniform(0, 1) * np.cos(angle - phase[0][owner])
    lobed += rng.uniform(0, 0.5) * np.cos(2 * angle - phase[1][owner])
    level = contrast(image, labels) * rng.uniform(0.05, 0.65) * np.exp(rng.normal(0, 0.35, count))
    level *= rng.random(count) < rng.uniform(0.3, 1.0)
    side = 1 + rng.uniform(0, 0.9) * np.cos(angle - phase[2][owner])
    softness = np.exp(rng.uniform(np.log(0.4), np.log(5)))
    edge = np.clip((reach[owner] * lobed - away) / softness, -30, 30)
    added = level[owner] * side / (1 + np.exp(-edge))
    added *= np.exp(rng.uniform(0, 0.6) * smooth_noise(labels.shape, rng.uniform(1, 7), rng))
    added = np.where(starts > 0, added * rng.uniform(0, 1), added)
    return (image + ndi.gaussian_filter(added, rng.uniform(0.3, 2))).astype(np.float32)


def texture(image: Image, labels: Labels, rng: Rng) -> Image:
    """A second stain that shines through: fibres or clouds, ending where they like."""
    fine, long = rng.uniform(0.7, 3), rng.uniform(3, 20)
    sigma = (fine, long) if rng.random() < 0.6 else (fine, fine)
    noise = smooth_noise(image.shape, sigma, rng)
    if rng.random() < 0.5:
        noise = noise.T
    if rng.random() < 0.5 and sigma[0] != sigma[1]:
        noise = np.maximum(noise, smooth_noise(image.shape, sigma[::-1], rng))
    where = smooth_noise(image.shape, rng.uniform(8, 40), rng) > rng.normal(0, 0.7)
    mask = ndi.gaussian_filter(where.astype(np.float32), rng.uniform(0.5, 6))
    strength = contrast(image, labels) * rng.uniform(0.03, 0.25)
    return (image + strength * mask * np.maximum(noise + 1, 0)).astype(np.float32)


def out_of_focus(image: Image, labels: Labels, rng: Rng) -> Image:
    """Nuclei far above or below the plane: wide, dim blobs without an edge."""
    size = rng.uniform(15, 60)
    blobs = np.zeros(image.shape, np.float32)
    for _ in range(rng.integers(1, 6)):
        y, x = (rng.integers(0, n) for n in image.shape)
        blobs[y, x] = rng.uniform(0.3, 1)
    wide = ndi.gaussian_filter(blobs, size / 2.5, truncate=3)
    top = float(wide.max())
    strength = contrast(image, labels) * rng.uniform(0.05, 0.5)
    return (image + strength * wide / max(top, 1e-6)).astype(np.float32)


def glow(image: Image, labels: Labels, rng: Rng) -> Image:
    """Tissue that glows, or uneven light: slow changes of the background."""
    slow = smooth_noise(image.shape, rng.uniform(20, 60), rng)
    slow -= slow.min()
    return (image + contrast(image, labels) * rng.uniform(0.05, 0.5) * slow).astype(np.float32)


def debris(image: Image, labels: Labels, rng: Rng) -> Image:
    """Bright specks much smaller than nuclei, dark dust, scratches."""
    image = image.copy()
    level = contrast(image, labels)
    yy, xx = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    for _ in range(rng.integers(1, 25)):
        y, x = (rng.uniform(0, n) for n in image.shape)
        radius, height = rng.uniform(0.4, 2.2), level * np.exp(rng.uniform(-1.5, 1.5))
        rows = slice(max(0, int(y) - 8), int(y) + 9)
        cols = slice(max(0, int(x) - 8), int(x) + 9)
        far = (yy[rows, cols] - y) ** 2 + (xx[rows, cols] - x) ** 2
        image[rows, cols] += height * np.exp(-far / (2 * radius**2))
    if rng.random() < 0.3:
        y, x = (rng.uniform(0, n) for n in image.shape)
        radius = rng.uniform(5, 30)
        shade = np.exp(-(((yy - y) ** 2 + (xx - x) ** 2) / radius**2))
        image *= 1 - rng.uniform(0.1, 0.6) * shade
    if rng.random() < 0.3:
        angle, offset = rng.uniform(0, np.pi), rng.uniform(20, image.shape[0] - 20)
        far = (yy - offset) * np.cos(angle) - (xx - offset) * np.sin(angle)
        line = np.exp(-((far / rng.uniform(0.6, 2.0)) ** 2))
        image += level * rng.uniform(-0.4, 1.2) * line
    return image


def uneven_nuclei(image: Image, labels: Labels, rng: Rng) -> Image:
    """Nuclei of very different brightness, as of two cell lines, or of mitoses and dying cells."""
    gain = np.exp(rng.normal(0, 0.5, int(labels.max()) + 1)).clip(0.3, 3)
    gain[0] = 1
    base = np.percentile(image, 5)
    map_ = ndi.gaussian_filter(gain[labels], 0.7)
    return (base + (image - base) * map_).astype(np.float32)


def clipped(image: Image, labels: Labels, rng: Rng) -> Image:
    """Contrast cut off at the bottom or the top."""
    level = contrast(image, labels)
    if rng.random() < 0.5:
        return np.minimum(image, image.min() + level * rng.uniform(0.5, 1.2))
    return np.maximum(image, np.percentile(image, 20) + level * rng.uniform(0, 0.15))


def sparse(image: Image, labels: Labels, rng: Rng) -> tuple[Image, Labels]:
    """At most a few of the nuclei, cut out and set on an even background; often none."""
    names = np.unique(labels)[1:]
    kept = rng.permutation(names)[: rng.choice([0, 0, 1, 1, 2, 3])]
    labels = np.where(np.isin(labels, kept), labels, 0).astype(np.int32)
    near = ndi.distance_transform_edt(labels == 0)
    alpha = np.exp(-((near / rng.uniform(1, 3)) ** 2)).astype(np.float32)
    base = np.percentile(image, 5)
    return (base + (image - base) * alpha).astype(np.float32), labels


ADDED: dict[Callable[[Image, Labels, Rng], Image], float] = {
    uneven_nuclei: 0.3,
    haze: 0.5,
    texture: 0.25,
    out_of_focus: 0.15,
    glow: 0.25,
    debris: 0.25,
    clipped: 0.1,
}
"""What is added, in this order, and how often."""


def harden(image: Image, labels: Labels, rng: Rng) -> tuple[Image, Labels]:
    """Make a hard example from a patch ``(H, W)`` and its labels ``(H, W)``."""
    if rng.random() < 0.2:
        image, labels = sparse(image, labels, rng)
    for add, often in ADDED.items():
        if rng.random() < often:
            image = add(image, labels, rng)
    return image.astype(np.float32), labels


def camera(image: Image, background: NDArray[np.bool_], rng: Rng) -> Image:
    """Noise of a camera: read and shot noise, enlarged pixels, hot ones, few grey levels.

    Now and then the grey levels are those of a nearly empty field, whose percentiles, by which
    images are normalised, lie within the noise of the ``background``.
    """
    if rng.random() < 0.6:
        noise = rng.normal(0, 1, image.shape)
        if rng.random() < 0.5:
            factor = rng.uniform(1, 5)
            small = rng.normal(0, 1, tuple(int(n / factor) + 2 for n in image.shape))
            noise = ndi.zoom(small, factor, order=1)[: image.shape[0], : image.shape[1]]
            noise /= max(float(noise.std()), 1e-6)
        sigma = np.exp(rng.uniform(np.log(0.01), np.log(0.15)))
        if rng.random() < 0.5:
            sigma = sigma * np.sqrt(np.clip(image, 0, 4) + 0.1)
        image = image + sigma * noise
    if rng.random() < 0.1:
        hot = rng.random(image.shape) < rng.uniform(0, 0.002)
        image = np.where(hot, image.max() + rng.uniform(0, 2), image)
    if rng.random() < 0.25:
        levels = np.exp(rng.uniform(np.log(4), np.log(60)))
        image = np.round(image * levels) / levels
    if rng.random() < 0.2 and np.count_nonzero(background) > 100:
        low, high = np.percentile(image[background], (1, 99))
        spread = max(float(high - low), 0.02) * np.exp(rng.uniform(0, np.log(4)))
        image = (image - low) / spread
    return np.clip(image, -20, 50).astype(np.float32)
