"""Star-convex outlines drawn into a label image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nucprof.core.features._compile import compiled

Floats = npt.NDArray[np.floating]


def fill_outlines(
    dist: Floats, centres: Floats, prob: Floats, shape: tuple[int, ...], back: tuple[float, float]
) -> npt.NDArray[np.int32]:
    """Draw outlines; where they overlap, the more probable one lies on top.

    Equal to ``stardist.geometry.polygons_to_label``, which tests every pixel of an outline's box
    against every edge and takes fifty times as long.

    Parameters
    ----------
    dist : (n, rays)
        Distance of the outline from its centre along each ray.
    centres : (n, 2)
        Places (y, x), pixels; a pixel's centre has whole numbers.
    prob : (n,)
        Probability of each.
    shape : (H, W)
    back : (2,)
        Pixels of the image, in y and x, that one unit of ``dist`` measures.

    Returns
    -------
    (H, W) int32
        0 = background; outline i is i + 1, also where others are hidden.
    """
    angles = np.linspace(0, 2 * np.pi, dist.shape[1], endpoint=False)
    # In single precision, as in StarDist.
    ways = (dist[:, None] * np.stack((np.sin(angles), np.cos(angles)))).astype(np.float32)
    corners = ways * np.asarray(back)[:, None].astype(np.float32) + centres[..., None]
    labels = np.zeros(shape, np.int32)
    order = np.argsort(prob, kind="stable")
    _fill(np.ascontiguousarray(corners.astype(np.float64)), order, labels)
    return labels


@compiled
def _fill(
    corners: npt.NDArray[np.float64], order: npt.NDArray[np.intp], labels: npt.NDArray[np.int32]
) -> None:
    """Fill polygons (n, 2, rays) row by row, between every second crossing of their edges."""
    height, width = labels.shape
    rays = corners.shape[2]
    crossings = np.empty(rays)
    for polygon in order:
        ys, xs = corners[polygon, 0], corners[polygon, 1]
        first = max(0, int(np.ceil(ys.min())))
        last = min(height - 1, int(np.floor(ys.max())))
        for y in range(first, last + 1):
            count = 0
            before = rays - 1
            for ray in range(rays):
                if (ys[before] <= y) != (ys[ray] <= y):
                    slope = (xs[ray] - xs[before]) / (ys[ray] - ys[before])
                    crossings[count] = xs[before] + (y - ys[before]) * slope
                    count += 1
                before = ray
            row = np.sort(crossings[:count])
            for pair in range(0, count - 1, 2):
                start = max(0, int(np.ceil(row[pair])))
                stop = min(width - 1, int(np.floor(row[pair + 1])))
                for x in range(start, stop + 1):
                    labels[y, x] = polygon + 1
