"""A network's answer averaged over the eight ways to turn and mirror an image."""

from __future__ import annotations

import itertools

import numpy as np

from nucprof.segmentation.stardist_model import FloatImage, Predict

#: Transpose, mirror the rows, mirror the columns.
Way = tuple[bool, bool, bool]
WAYS: list[Way] = [
    (transpose, rows, cols) for transpose, rows, cols in itertools.product((False, True), repeat=3)
]


def average_symmetries(
    predict: Predict, window: FloatImage, grid: int
) -> tuple[FloatImage, FloatImage]:
    """Average probability and rays over all eight ways ("test-time augmentation").

    Parameters
    ----------
    predict
        The network.
    window : (H, W)
        Sides are multiples of what the network divides by.
    grid
        Pixels between values of the network's output.
    """
    prob, dist = predict(window)
    for way in WAYS[1:]:
        more = turn_back(*predict(turn_image(window, way, grid)), way)
        prob, dist = prob + more[0], dist + more[1]
    share = np.float32(1 / len(WAYS))
    return prob * share, dist * share


def turn_image(image: FloatImage, way: Way, grid: int) -> FloatImage:
    """Turn an image so that the places of the network's output fall on themselves.

    The output lies on every ``grid``-th pixel, counted from the first. A mirrored image is moved by
    ``grid - 1`` pixels for that; what is missing at its end is the image's first row again.
    """
    if way[0]:
        image = image.T
    for axis in (0, 1):
        if way[1 + axis]:
            image = np.flip(image, axis)
            last = np.take(image, [-1], axis)
            moved = np.take(image, range(grid - 1, image.shape[axis]), axis)
            image = np.concatenate([moved, *[last] * (grid - 1)], axis)
    return np.ascontiguousarray(image)


def turn_back(prob: FloatImage, dist: FloatImage, way: Way) -> tuple[FloatImage, FloatImage]:
    """Undo :func:`turn_image` on what the network answered.

    Ray k points along the columns at k = 0 and turns towards the rows.
    """
    count = dist.shape[-1]
    rays = np.arange(count)
    if way[2]:
        prob, dist = prob[:, ::-1], dist[:, ::-1]
        rays = rays[(count // 2 - np.arange(count)) % count]
    if way[1]:
        prob, dist = prob[::-1], dist[::-1]
        rays = rays[-np.arange(count) % count]
    if way[0]:
        prob, dist = prob.T, dist.transpose(1, 0, 2)
        rays = rays[(count // 4 - np.arange(count)) % count]
    return prob, dist[..., rays]
