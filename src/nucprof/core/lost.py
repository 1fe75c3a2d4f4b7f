"""Which cells cannot be judged in a round: without data, or without their nucleus."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

def lost_cells(
    objects: NDArray,
    nuclei: NDArray,
    nuclear: NDArray | None,
    valid: NDArray[np.bool_],
    *,
    lost_ratio: float = 0.2,
) -> dict[str, NDArray[np.int64]]:
    """Tell which cells cannot be judged in a ground-truth round, and why.

    Parameters
    ----------
    objects : (H, W) integer
        The cells (or nuclei) that must be seen as a whole.
    nuclei : (H, W) integer
        Their nuclei, under the same labels.
    nuclear : (H, W) or None
        Nuclear stain of the round, on the fixed frame; None if it has none: nothing is ``lost``.
    valid : (H, W) bool
        Where the round has data.
    lost_ratio : float
        Smallest share of a nucleus's area that must be seen again.

    Returns
    -------
    dict
        ``outside_overlap``: labels with a pixel that has no data. ``lost_nucleus``: of the others,
        those whose nucleus is seen in less than `lost_ratio` of its area. Ascending int64.
    """
    outside = np.unique(objects[~valid]).astype(np.int64)
    outside = outside[outside > 0]
    lost = np.zeros(0, dtype=np.int64)
    if nuclear is not None and lost_ratio > 0:
        seen = (nuclear > _nuclear_threshold(nuclear, nuclei, valid)) & valid
        names, area, area_seen = _areas(nuclei, seen)
        lost = np.setdiff1d(names[area_seen < lost_ratio * area], outside)
    return {"outside_overlap": outside, "lost_nucleus": lost}


def _areas(
    labels: NDArray, where: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Labels, their pixels, and their pixels where `where` holds: three ``(N,)`` int64."""
    values, parts = labels[labels > 0], labels[where & (labels > 0)]
    if values.size and values.max() > labels.size:
        # Too large to count by; no more labels than pixels, though.
        names, values = np.unique(values, return_inverse=True)
        parts = np.searchsorted(names, parts)
    else:
        names = np.arange(values.max() + 1 if values.size else 0)
    area = np.bincount(values.astype(np.int64), minlength=names.size)
    area_seen = np.bincount(parts.astype(np.int64), minlength=names.size)
    there = area > 0
    return names[there].astype(np.int64), area[there], area_seen[there]


def _nuclear_threshold(nuclear: NDArray, nuclei: NDArray, valid: NDArray[np.bool_]) -> float:
    """Grey level from which a pixel of the round shows a nucleus.

    Where nuclei are is known, so the level is taken between the background and what nuclei show,
    not from the histogram of all. The upper quartile of the nuclear pixels stands for the nuclei
    still there even if half are gone; dim nuclei among bright ones stay.
    """
    # Every other row and column of a large field tells the same, in a quarter of the time.
    step = 2 if nuclear.size > 1 << 20 else 1
    nuclear, nuclei, valid = (a[::step, ::step] for a in (nuclear, nuclei, valid))
    inside, around = nuclear[valid & (nuclei > 0)], nuclear[valid & (nuclei == 0)]
    if inside.size == 0 or around.size == 0:
        return -np.inf
    background = float(np.median(around))
    noise = 1.4826 * float(np.median(np.abs(around - background)))
    typical = float(np.percentile(inside, 75))
    return background + max(NUCLEAR_LEVEL * (typical - background), 2 * noise)
