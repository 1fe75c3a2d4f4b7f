"""Every pixel of an area given to the seed from which it is reached at the least cost.

Jones, Carpenter and Golland, "Voronoi-based segmentation of cells on image manifolds" (2005), as
in CellProfiler's Propagation: a step costs what the image changes along it, and a little for its
length, so that borders lie on edges of the stain, and half-way where there is none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nucprof.core.features._compile import compiled
from nucprof.errors import FieldError

#: Levels by which costs are told apart, per unit of the image: costs are whole numbers, so that the
#: pixels wait in one list per cost and need no sorting.
_LEVELS = 256


def propagate(
    seeds: NDArray, image: NDArray, mask: NDArray[np.bool_], regularisation: float
) -> NDArray[np.int32]:
    """Share an area out among seeds.

    A step between neighbours costs ``sqrt(difference^2 + (regularisation * length)^2)``. With a
    regularisation of 0 only the image counts, with a large one only the distance.

    Parameters
    ----------
    seeds : (H, W) integer
        Labels; they keep their pixels.
    image : (H, W)
        Brightness, smoothed; differences of 1 are large.
    mask : (H, W) bool
        Where seeds may grow.
    regularisation : float
        Cost of a pixel's distance, in units of the image.

    Returns
    -------
    (H, W) int32
        Labels of the seeds; 0 outside the mask and where no seed arrives.

    Raises
    ------
    FieldError
        The shapes differ.
    """
    if not seeds.shape == image.shape == mask.shape:
        raise FieldError(
            f"seeds are {seeds.shape}, the image is {image.shape} and the mask {mask.shape}"
        )
    out = np.ascontiguousarray(seeds, dtype=np.int32).copy()
    # Beyond a few hundred levels a step is as good as a wall, and lists of costs stay short.
    flat = np.clip(np.asarray(image, dtype=np.float32) * _LEVELS, -4 * _LEVELS, 4 * _LEVELS)
    _grow(out, flat, np.ascontiguousarray(mask), float(regularisation) * _LEVELS)
    return out


@compiled
def _grow(
    labels: NDArray[np.int32],
    image: NDArray[np.float32],
    mask: NDArray[np.bool_],
    per_pixel: float,
) -> None:
    """Dijkstra's algorithm with one waiting list per cost (Dial, 1969), in place."""
    height, width = labels.shape
    # The dearest step: the lists that can hold a pixel at any time.
    span = int(np.sqrt((8.0 * 256) ** 2 + 2 * per_pixel * per_pixel)) + 2
    heads = np.full(span, -1, np.int64)
    # A pixel waits again each time that a cheaper way is found; entries are linked by number.
    room = 4 * labels.size + 1024
    where = np.empty(room, np.int32)
    follows = np.empty(room, np.int32)
    used = 0
    cost = np.full(labels.size, np.iinfo(np.int32).max, np.int32)
    done = np.zeros(labels.size, np.bool_)
    for y in range(height):
        for x in range(width):
            if labels[y, x] != 0:
                p = y * width + x
                cost[p] = 0
                inner = 0 < y < height - 1 and 0 < x < width - 1
                if (
                    inner
                    and labels[y - 1, x] == labels[y, x]
                    and labels[y + 1, x] == labels[y, x]
                    and labels[y, x - 1] == labels[y, x]
                    and labels[y, x + 1] == labels[y, x]
                ):
                    done[p] = True
                    continue
                where[used], follows[used] = p, heads[0]
                heads[0] = used
                used += 1
    waiting, now = used, 0
    while waiting > 0:
        entry = heads[now % span]
        if entry < 0:
            now += 1
            continue
        heads[now % span] = follows[entry]
        waiting -= 1
        p = where[entry]
        if done[p] or cost[p] != now:
            continue
        done[p] = True
        y, x = p // width, p % width
        for dy in range(-1, 2):
            for dx in range(-1, 2):
                v, u = y + dy, x + dx
                if not (0 <= v < height and 0 <= u < width):
                    continue
                q = v * width + u
                if done[q] or not mask[v, u] or (labels[v, u] != 0 and cost[q] == 0):
                    continue
                step = image[v, u] - image[y, x]
                length = dy * dy + dx * dx
                price = now + 1 + int(np.sqrt(step * step + per_pixel * per_pixel * length))
                if price < cost[q] and used < room:
                    cost[q] = price
                    labels[v, u] = labels[y, x]
                    where[used], follows[used] = q, heads[price % span]
                    heads[price % span] = used
                    used += 1
                    waiting += 1
