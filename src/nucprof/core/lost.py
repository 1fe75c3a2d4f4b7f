"""Which cells cannot be judged in a round: without data, or without their nucleus."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nucprof.errors import FieldError

Float64 = NDArray[np.float64]

#: A nucleus is seen if it stands out from its ring by so many standard errors.
SEEN = 3.0
#: Large fields are measured at every other row and column: the same, in a quarter of the time.
LARGE_PX = 1 << 20
#: A ring begins this far from the nucleus, beyond its blur, and is so wide; in nuclear radii.
GAP_RADII, RING_RADII = 0.25, 0.5
#: Pixels of a ring that are enough for its median.
ENOUGH_PX = 64


class Contrast(NamedTuple):
    """How far nuclei stand out from their rings in one image, and how exactly that is known."""

    value: Float64
    error: Float64

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Which nuclei stand out."""
        return self.value > SEEN * self.error


def lost_cells(
    objects: NDArray,
    nuclei: NDArray,
    stains: tuple[NDArray, NDArray] | None,
    valid: NDArray[np.bool_],
    *,
    lost_ratio: float = 0.2,
) -> dict[str, NDArray[np.int64]]:
    """Tell which cells cannot be judged in a ground-truth round, and why.

    Every nucleus is compared with itself: its contrast to a ring around it, in the round and in
    Cell Painting. A dim nucleus may be as dim in the round, and a lamp or a glow lifts nucleus
    and ring alike.

    Parameters
    ----------
    objects : (H, W) integer
        The cells (or nuclei) that must be seen as a whole.
    nuclei : (H, W) integer
        Their nuclei, under the same labels.
    stains : two images (H, W), or None
        Nuclear stain of Cell Painting and of the round, on the fixed frame; None if the round has
        none: nothing is ``lost``.
    valid : (H, W) bool
        Where the round has data.
    lost_ratio : float
        Smallest share of the contrast that a nucleus keeps, by what the others keep; 0: nothing
        is ``lost``.

    Returns
    -------
    dict
        ``outside_overlap``: labels with a pixel that has no data. ``lost_nucleus``: of the others,
        those whose nucleus is seen in Cell Painting, and in the round has less than `lost_ratio`
        of the expected contrast or no significant one. Ascending int64.

    Raises
    ------
    FieldError
        The images are not of one shape.
    """
    shapes = [a.shape for a in (objects, nuclei, *(() if stains is None else stains), valid)]
    if len(set(shapes)) > 1:
        raise FieldError(f"images of one shape are needed, got {shapes}")
    outside = np.unique(objects[~valid]).astype(np.int64)
    outside = outside[outside > 0]
    lost = np.zeros(0, dtype=np.int64)
    if stains is not None and lost_ratio > 0:
        step = 2 if nuclei.size > LARGE_PX else 1
        few = np.s_[::step, ::step]
        names, dense = _dense(nuclei[few])
        if names.size:
            rings = _rings(dense, valid[few])
            before, after = (_contrast(stain[few], dense, rings) for stain in stains)
            lost = np.setdiff1d(names[_faded(before, after, lost_ratio)], outside)
    return {"outside_overlap": outside, "lost_nucleus": lost}


def _faded(before: Contrast, after: Contrast, lost_ratio: float) -> NDArray[np.bool_]:
    """Which nuclei lost their contrast."""
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = after.value / before.value
    telling = kept[before.seen & after.seen]
    usual = _usual(telling, lost_ratio) if telling.size else 0.0
    least = np.maximum(lost_ratio * usual * before.value, SEEN * after.error)
    return np.asarray(before.seen & (after.value < least))


def _usual(kept: Float64, lost_ratio: float) -> float:
    """Share of the contrast that nuclei keep which are still there, between their kinds the least.

    The median of what is not lost, which depends on itself: from the largest down until it stays.
    Then the lower quartile, with room for a class that stains worse in the round.
    """
    usual = float(np.quantile(kept, 0.95))
    while True:
        middle = float(np.median(kept[kept >= min(lost_ratio * usual, usual)]))
        if middle >= usual:
            break
        usual = middle
    return float(np.quantile(kept[kept >= lost_ratio / 2 * usual], 0.25))


def _dense(labels: NDArray) -> tuple[NDArray[np.int64], NDArray]:
    """Labels of the nuclei, (N,), and an image of their ranks from 1 on."""
    names: NDArray
    ranks: NDArray
    where = labels > 0
    values = labels[where].astype(np.int64)
    if values.size and values.max() <= labels.size:
        # Counting is much faster than sorting; only very large labels forbid it.
        there = np.bincount(values) > 0
        names, ranks = np.flatnonzero(there), np.cumsum(there)[values] - 1
    else:
        names, ranks = np.unique(values, return_inverse=True)
    dense = np.zeros(labels.shape, dtype=np.uint16 if len(names) < 1 << 16 else np.int32)
    dense[where] = ranks + 1
    return names.astype(np.int64), dense


def _rings(dense: NDArray, valid: NDArray[np.bool_]) -> NDArray:
    """Ranks of the nuclei in the background around them; 0 elsewhere and where data are missing."""
    radius = np.sqrt(np.count_nonzero(dense) / dense.max() / np.pi)
    grown = _grow(dense, max(1, round(GAP_RADII * radius)))
    rings = _grow(grown, max(2, round(RING_RADII * radius)))
    rings[(grown > 0) | ~valid] = 0
    return rings


def _grow(ranks: NDArray, pixels: int) -> NDArray:
    """Let objects grow into the background by some pixels; where two meet, the larger rank wins."""
    for _ in range(pixels):
        grown = ranks.copy()
        np.maximum(grown[1:], ranks[:-1], out=grown[1:])
        np.maximum(grown[:-1], ranks[1:], out=grown[:-1])
        wide = grown.copy()
        np.maximum(wide[:, 1:], grown[:, :-1], out=wide[:, 1:])
        np.maximum(wide[:, :-1], grown[:, 1:], out=wide[:, :-1])
        np.copyto(wide, ranks, where=ranks > 0)
        ranks = wide
    return ranks


def _contrast(image: NDArray, dense: NDArray, rings: NDArray) -> Contrast:
    """Mean of every nucleus less the median of its ring, (N,).

    A nucleus in a crowd may have no ring of its own: there the median of all rings stands for it.
    """
    count = int(dense.max())
    inside, around = np.flatnonzero(dense), np.flatnonzero(rings)
    around = around[:: max(1, around.size // (ENOUGH_PX * count))]
    pixels, owners = image.ravel(), dense.ravel()[inside]
    area = np.bincount(owners, minlength=count + 1)[1:]
    mean = np.bincount(owners, pixels[inside], minlength=count + 1)[1:] / np.maximum(area, 1)
    values, owners = pixels[around].astype(np.float64), rings.ravel()[around].astype(np.int64) - 1
    size = np.bincount(owners, minlength=count)
    if not values.size:
        return Contrast(np.full(count, np.nan), np.full(count, np.nan))
    order = np.lexsort((values, owners))
    first = np.cumsum(size) - size
    last = len(values) - 1
    low = values[order][np.minimum(first + (size - 1) // 2, last).clip(0)]
    high = values[order][np.minimum(first + size // 2, last)]
    level = np.where(size > 0, (low + high) / 2, np.median(values))
    noise = 1.4826 * float(np.median(np.abs(values - level[owners])))
    # The standard error of a median is 1.25 times that of a mean.
    error = noise * np.sqrt(1 / np.maximum(area, 1) + 1.57 / np.maximum(size, 1))
    return Contrast(mean - level, error)
