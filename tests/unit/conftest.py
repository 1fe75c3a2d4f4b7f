"""A simulator of fields that the tests of registration share."""

from __future__ import annotations

import numpy as np
import pytest


class Scene:
    """Nuclei of a field and its surroundings, drawn by formula through any similarity.

    A point p of the Cell Painting frame lies at ``c + shift + scale R(angle) (p - c)`` in a round,
    c the centre of the frame and R turning y towards x.
    """

    def __init__(self, seed, shape=(400, 440), count=90, margin=80):
        self.rng = rng = np.random.default_rng(seed)
        self.shape = shape
        grown = [n + 2 * margin for n in shape]
        count = int(count * np.prod(grown) / np.prod(shape))
        self.points = rng.uniform(0, 1, (count, 2)) * grown - margin
        self.radii = rng.uniform(6, 9, count)
        self.levels = rng.uniform(400, 1600, count)

    def moved(self, points, shift=(0.0, 0.0), angle=0.0, scale=1.0):
        centre = (np.array(self.shape) - 1) / 2
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        turned = (points - centre) @ np.array([[cos, sin], [-sin, cos]])
        return centre + np.array(shift) + scale * turned

    def draw(self, *, points=None, levels=None, noise=15, background=200, **where):
        image = self.rng.normal(background, noise, self.shape)
        scale = where.get("scale", 1.0)
        at = self.moved(self.points if points is None else points, **where)
        for (y, x), r, level in zip(
            at, self.radii * scale, self.levels if levels is None else levels, strict=True
        ):
            top, left = max(0, int(y) - 14), max(0, int(x) - 14)
            box = image[top : max(0, int(y) + 15), left : max(0, int(x) + 15)]
            yy, xx = np.mgrid[: box.shape[0], : box.shape[1]]
            away = np.hypot(yy + top - y, xx + left - x)
            box += level * np.clip((r + 1 - away) / 2, 0, 1)
        return image

    def error(self, found, **where):
        """Largest distance in the frame between where a nucleus is and where it was put."""
        height, width = self.shape
        points = np.array([(0, 0), (0, width), (height, 0), (height, width), (height / 2, 9)])
        placed = found.similarity(self.shape)(points)
        return float(np.hypot(*(placed - self.moved(points, **where)).T).max())


@pytest.fixture(scope="session")
def scene():
    """Make a `Scene`."""
    return Scene
