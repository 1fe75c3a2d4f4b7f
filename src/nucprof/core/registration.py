"""Register a ground-truth round onto the Cell Painting frame, by a shift.

A nucleus at (y, x) in the Cell Painting image (``fixed``) lies at (y + shift_y, x + shift_x) in
the ground-truth image (``moving``). The fixed frame is never cropped or moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucprof.core import correlation
from nucprof.errors import DataError, FieldError

#: A match must be this improbable among images that do not belong together.
ALPHA = 0.001
#: Low-pass of the refined correlation (Gaussian sigma, pixels). Of 1, 2 and 3 px the best over
#: clean, noisy and partly stained pairs together.
LOW_PASS_PX = 2.0
#: Shifts of one plate within this distance of their median are never outliers, pixels.
OUTLIER_FLOOR_PX = 5.0
#: Robust deviations beyond which a shift is an outlier.
OUTLIER_DEVIATIONS = 6.0
#: Fewer fields than this say nothing about what is usual on a plate.
OUTLIER_MIN_FIELDS = 4
#: A pixel shows a nucleus if it lies this far up from background to the typical nucleus.
NUCLEAR_LEVEL = 0.3


@dataclass(frozen=True)
class Registration:
    """A shift, and how sure it is.

    Attributes
    ----------
    shift_y, shift_x : float
        Pixels; NaN where nothing could be correlated.
    score : float
        Correlation coefficient of the overlapping parts without their background, damped by
        the share of signal that the overlap leaves out.
    threshold : float
        Score that images which do not belong together reach with probability `ALPHA`.
    p_value : float
        Probability that such images reach `score`.
    significant : bool
        The score is above the threshold, and not still rising where the search ends.
    at_limit : bool
        The score rises towards shifts that are not allowed: the true one probably lies there.
    overlap : float
        Share of the fixed image that the moving one covers at this shift.
    """

    shift_y: float
    shift_x: float
    score: float
    threshold: float
    p_value: float
    significant: bool
    at_limit: bool
    overlap: float


def estimate_shift(
    fixed: NDArray,
    moving: NDArray,
    *,
    max_shift_px: float = 200.0,
    min_overlap: float = 0.5,
    null_samples: int = 14,
    seed: int = 0,
    workers: int = 1,
) -> Registration:
    """Find the shift between two images of one field.

    The correlation coefficient is computed for every whole shift allowed; the best is refined to
    a fraction of a pixel by phase correlation of the overlapping parts. The best coefficient is
    held against a null distribution: the same maximum over the same shifts, for the moving image
    mirrored, turned and rolled, which keeps its nuclei, background and noise but puts none of
    them where it belongs.

    Parameters
    ----------
    fixed : (H, W)
        Any real dtype.
    moving : (H2, W2)
        Any real dtype, may be of another size.
    max_shift_px : float
        Longest shift looked for, pixels.
    min_overlap : float
        Smallest share of the fixed image that must be covered.
    null_samples : int
        Samples of the null distribution.
    seed : int
        Of the null distribution's rolls.
    workers : int
        Threads of the Fourier transforms.

    Raises
    ------
    FieldError
        An image is not two-dimensional.
    DataError
        The images are of sizes that can never overlap by `min_overlap`, or `null_samples` < 3.
    """
    for name, image in (("fixed", fixed), ("moving", moving)):
        if image.ndim != 2 or not image.size:
            raise FieldError(f"the {name} image must be one plane (H, W), but it is {image.shape}")
    if null_samples < 3:
        raise DataError(f"{null_samples} null samples say nothing about chance: take 3 or more")
    full = correlation.Lags.of(fixed.shape, moving.shape, max_shift_px, min_overlap)
    if not full.allowed.any():
        raise DataError(
            f"an image of {moving.shape} can never cover {min_overlap:.0%} of one of {fixed.shape} "
            f"within {max_shift_px:g} px: lower align.min_overlap"
        )
    planes = correlation.clean(fixed), correlation.clean(moving)
    if planes[0] is None or planes[1] is None:
        return Registration(np.nan, np.nan, 0.0, 1.0, 1.0, False, False, overlap=0.0)
    search = _Search.of(planes[0], planes[1], max_shift_px, min_overlap, workers)
    coarse_y, coarse_x, score, at_limit = search.best()
    null = search.null(null_samples, np.random.default_rng(seed))
    threshold, p_value = _chance(null, score)
    views = correlation.overlapping(planes[0], planes[1], coarse_y, coarse_x)
    # Large images are halved: the low-pass has no use for the finest detail anyway.
    half = 2 if search.factor >= 4 else 1
    here, there = (correlation.compress(correlation.bin_mean(view, half)) for view in views)
    fine_y, fine_x = correlation.refine(
        here, there, -(-search.factor // half), LOW_PASS_PX / half, workers
    )
    shift_y, shift_x = coarse_y + half * fine_y, coarse_x + half * fine_x
    box = valid_box((shift_y, shift_x), fixed.shape, moving.shape)
    overlap = np.prod([max(0, part.stop - part.start) for part in box]) / fixed.size
    significant = score > threshold and not at_limit
    return Registration(
        shift_y, shift_x, score, threshold, p_value, significant, at_limit, float(overlap)
    )


@dataclass(frozen=True, eq=False)
class _Search:
    """The reduced images of one field, and the shifts to try."""

    factor: int
    lags: correlation.Lags
    fixed_spectrum: NDArray
    fixed_energy: NDArray
    moving: NDArray
    workers: int

    @classmethod
    def of(
        cls, fixed: NDArray, moving: NDArray, max_shift_px: float, min_overlap: float, workers: int
    ) -> _Search:
        factor = correlation.binning(fixed.shape, moving.shape)
        small, other = correlation.reduce(fixed, factor), correlation.reduce(moving, factor)
        lags = correlation.Lags.of(small.shape, other.shape, max_shift_px / factor, min_overlap)
        return cls(
            factor,
            lags,
            correlation.spectrum(small, lags, workers),
            correlation.overlap_energy(small, lags, moving=False),
            other,
            workers,
        )

    def scores(self, moving: NDArray) -> NDArray:
        return correlation.correlate(
            self.fixed_spectrum, self.fixed_energy, moving, self.lags, self.workers
        )

    def best(self) -> tuple[int, int, float, bool]:
        """Best shift in whole pixels of the full images, its score, and whether it is a limit."""
        scores = self.scores(self.moving)
        y, x = np.unravel_index(int(np.where(self.lags.allowed, scores, -2).argmax()), scores.shape)
        around = scores[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
        return (
            int(self.lags.y[y]) * self.factor,
            int(self.lags.x[x]) * self.factor,
            float(max(scores[y, x], 0.0)),
            bool(around.max() > scores[y, x]),
        )

    def null(self, samples: int, rng: np.random.Generator) -> NDArray:
        """Best scores with images that hold the same things in other places.

        A mirrored or turned image matches the fixed one nowhere, however it is rolled. Rolling
        alone would not do: it moves the true match to another shift, perhaps one that is searched.
        Images that are symmetric themselves (a grid, vignetting) match their mirror image too, and
        are rightly held to tell nothing.
        """
        height, width = self.moving.shape
        turns = [(True, 0), (False, 2), (True, 2)]
        if height == width:
            turns += [(False, 1), (False, 3), (True, 1), (True, 3)]
        best = []
        for sample in range(samples):
            mirrored, quarters = turns[sample % len(turns)]
            image = np.rot90(self.moving[::-1] if mirrored else self.moving, quarters)
            by = rng.integers(height), rng.integers(width)
            scores = self.scores(np.roll(image, by, axis=(0, 1)))
            best.append(scores[self.lags.allowed].max())
        return np.array(best)


def _chance(null: NDArray, score: float) -> tuple[float, float]:
    """Threshold at `ALPHA`, and the probability of `score`, if it were chance.

    Largest values follow a Gumbel distribution, fitted here by its mean and standard deviation.
    """
    scale = max(float(null.std(ddof=1)) * np.sqrt(6) / np.pi, 1e-6)
    location = float(null.mean()) - np.euler_gamma * scale
    threshold = location - scale * np.log(-np.log1p(-ALPHA))
    p_value = -np.expm1(-np.exp(-(score - location) / scale))
    return max(float(threshold), float(null.max())), float(p_value)


def valid_box(
    shift: tuple[float, float], fixed: tuple[int, ...], moving: tuple[int, ...]
) -> tuple[slice, slice]:
    """Rows and columns of the fixed frame that have data of the moving image.

    Parameters
    ----------
    shift : (float, float)
        (shift_y, shift_x), pixels; at a fraction of a pixel both neighbours must exist.
    fixed, moving : (int, int)
        Shapes (H, W) of the two images.
    """
    rows, columns = (
        slice(
            min(max(0, int(np.ceil(-d))), size),
            max(min(size, int(np.floor(other - 1 - d)) + 1), min(max(0, int(np.ceil(-d))), size)),
        )
        for d, size, other in zip(shift, fixed, moving, strict=True)
    )
    return rows, columns


def shift_image(
    image: NDArray, shift: tuple[float, float], output_shape: tuple[int, ...], fill: float = 0
) -> tuple[NDArray, NDArray[np.bool_]]:
    """Bring a ground-truth image onto the fixed frame: ``out(y, x) = image(y + sy, x + sx)``.

    A whole shift copies; a fraction of a pixel interpolates linearly, which makes no value that
    was not between its neighbours (splines ring) and keeps sums.

    Parameters
    ----------
    image : (C, H2, W2)
        Any dtype; integers are rounded to the nearest.
    shift : (float, float)
        (shift_y, shift_x), pixels.
    output_shape : (int, int)
        Shape (H, W) of the fixed frame.
    fill : float
        Value where there are no data.

    Returns
    -------
    aligned : (C, H, W), dtype of `image`
    valid : (H, W) bool
        Where there are data.
    """
    rows, columns = valid_box(shift, output_shape, image.shape[1:])
    aligned = np.full((len(image), *output_shape), fill, dtype=image.dtype)
    valid = np.zeros(output_shape, dtype=bool)
    valid[rows, columns] = True
    if not valid.any():
        return aligned, valid
    whole_y, whole_x = (int(np.floor(d)) for d in shift)
    part_y, part_x = shift[0] - whole_y, shift[1] - whole_x
    top, bottom = rows.start + whole_y, rows.stop + whole_y
    left, right = columns.start + whole_x, columns.stop + whole_x
    for source, target in zip(image, aligned, strict=True):
        plane = source[top : bottom + (part_y > 0), left : right + (part_x > 0)]
        plane = _between(_between(plane, part_y, 0), part_x, 1)
        if plane.dtype != image.dtype:
            np.rint(plane, out=plane)
        target[rows, columns] = plane
    return aligned, valid


def _between(plane: NDArray, part: float, axis: int) -> NDArray:
    """Interpolate linearly between each row (column) and the next; a copy-free no-op at 0."""
    if part == 0:
        return plane
    first, second = (plane[:-1], plane[1:]) if axis == 0 else (plane[:, :-1], plane[:, 1:])
    # float32 holds 24 bits: enough for 8- and 16-bit images, not for wider ones.
    exact = plane.dtype if plane.dtype.kind == "f" else np.result_type(plane.dtype, np.float32)
    weight = exact.type(part) if isinstance(exact, np.dtype) else part
    out = second.astype(exact)
    out -= first
    out *= weight
    out += first
    return out


def flag_outliers(shifts: NDArray) -> NDArray[np.bool_]:
    """Tell shifts that are unlike the rest of their plate.

    Parameters
    ----------
    shifts : (N, 2) float
        (shift_y, shift_x) of the registered fields of one plate and round, pixels.

    Returns
    -------
    (N,) bool
        Farther from the plate's median along an axis than six robust deviations (1.4826 times the
        median absolute deviation) and than 5 px. None of fewer than four fields.
    """
    shifts = np.asarray(shifts, dtype=np.float64).reshape(-1, 2)
    if len(shifts) < OUTLIER_MIN_FIELDS:
        return np.zeros(len(shifts), dtype=bool)
    away = np.abs(shifts - np.median(shifts, axis=0))
    usual = OUTLIER_DEVIATIONS * 1.4826 * np.median(away, axis=0)
    return np.asarray(np.any(away > np.maximum(usual, OUTLIER_FLOOR_PX), axis=1))


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
