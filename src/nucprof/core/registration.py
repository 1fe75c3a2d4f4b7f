"""Register a ground-truth round onto the Cell Painting frame: by a shift, or by a similarity.

A nucleus at (y, x) in the Cell Painting image (``fixed``) lies at (y + shift_y, x + shift_x) in
the ground-truth image (``moving``); for a rotated or magnified round, see `core.similarity`.
The fixed frame is never cropped or moved.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from nucprof.core import correlation
from nucprof.core.local_shifts import (
    COARSE_PARTS,
    LOW_PASS_PX,
    LocalShifts,
    View,
    local_shifts,
)
from nucprof.core.moving import covered, valid_box
from nucprof.core.pattern import Pattern
from nucprof.core.search import ALPHA, ANGLES, Search, chance
from nucprof.core.similarity import Similarity, consensus, distances, trimmed_fit
from nucprof.errors import DataError, FieldError

#: Nuclei must lie within this share of their radius of the place that the registration predicts.
RESIDUAL_RADII = 0.25
#: If a smaller share of the parts of a field agree, another transform is searched.
HALF = 0.5
#: If a smaller share of the parts agree with the whole field, the field is unsure.
SURE_AGREEMENT = 2 / 3
#: A rotation or magnification that moves no corner by more than this is ignored, pixels.
LEAST_DEPARTURE_PX = 1.0
#: Significance level of the test for a rotation or magnification.
EVIDENCE = 1e-4

#: Rounds of other wells that a null distribution needs to include the camera pattern.
FEWEST_OTHERS = 3

Model = Literal["auto", "translation", "similarity"]


@dataclass(frozen=True)
class Registration:
    """The transform of a round, and how reliable it is.

    Attributes
    ----------
    shift_y, shift_x : float
        Displacement at the centre of the fixed image, pixels; NaN where nothing could be
        correlated.
    score : float
        Correlation coefficient of the overlapping parts without their background, damped by
        the share of signal that the overlap leaves out.
    threshold : float
        Score that images which do not belong together reach with probability `search.ALPHA`.
    p_value : float
        Probability that such images reach `score`.
    significant : bool
        The score is above the threshold, and does not still rise at the limit of the search.
    at_limit : bool
        The score rises towards shifts that are not allowed: the true shift is probably there.
    overlap : float
        Share of the fixed image that the moving one covers.
    angle, scale : float
        Rotation in degrees and magnification, see `similarity`; 0 and 1 for a translation.
    residual : float
        Median distance of the field's parts from their predicted place, pixels; NaN
        where no part has signal in both images.
    agreement : float
        Share of the parts that lie within a quarter of the nuclear radius of that place; NaN
        likewise.
    others : int
        Rounds of other wells in the null distribution.
    """

    shift_y: float
    shift_x: float
    score: float
    threshold: float
    p_value: float
    significant: bool
    at_limit: bool
    overlap: float
    angle: float = 0.0
    scale: float = 1.0
    residual: float = math.nan
    agreement: float = math.nan
    others: int = 0

    @property
    def is_translation(self) -> bool:
        """Whether there is neither rotation nor magnification."""
        return self.angle == 0 and self.scale == 1

    def similarity(self, shape: tuple[int, ...]) -> Similarity:
        """Map from a fixed image of shape (H, W) into the round."""
        return Similarity.of(shape, (self.shift_y, self.shift_x), self.angle, self.scale)


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
    compared with a null distribution: the same maximum over the same shifts, for the moving image
    mirrored, rotated and rolled, which keeps its nuclei, background and noise, but at wrong
    places.

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
    _check(fixed, moving, max_shift_px, min_overlap, null_samples)
    search = Search.of(fixed, moving, max_shift_px, min_overlap, workers)
    if search is None:
        return NOTHING
    return _direct(search, search.decisive_null(null_samples, np.random.default_rng(seed)))[0]


NOTHING = Registration(math.nan, math.nan, 0.0, 1.0, 1.0, False, False, overlap=0.0)


def register(
    fixed: NDArray,
    moving: NDArray,
    *,
    radius_px: float | None,
    model: Model = "auto",
    max_shift_px: float = 200.0,
    min_overlap: float = 0.5,
    pattern: Pattern | None = None,
    null_samples: int = 14,
    seed: int = 0,
    workers: int = 1,
) -> Registration:
    """Find the shift of a round and, where there is one, its rotation and magnification.

    The shift is that of `estimate_shift`. The parts of the field are then registered one by one.
    If their shifts differ from the common shift in the way of a rotation or magnification, by more
    than their scatter explains (an F test), a similarity is fitted to the parts that agree
    (Umeyama 1991). If the images do not match without rotation, or the parts do not agree, the
    round is rotated by up to 15 degrees in either direction, and the best angle is the new start.

    Parameters
    ----------
    fixed, moving, max_shift_px, min_overlap, null_samples, seed, workers
        As for `estimate_shift`.
    radius_px : float or None
        Typical radius of a nucleus in the fixed image, pixels; None without nuclei, and then
        no parts are registered.
    model : auto, translation or similarity
        Which transforms to consider; auto: a similarity only if the parts give evidence for it.
    pattern : Pattern, optional
        Fixed structures of camera and plate.

    Raises
    ------
    FieldError, DataError
        As `estimate_shift`; DataError also where the radius is not positive.
    """
    _check(fixed, moving, max_shift_px, min_overlap, null_samples)
    if radius_px is not None and not radius_px > 0:
        raise DataError(f"the nuclear radius must be positive, but it is {radius_px}")
    search = Search.of(fixed, moving, max_shift_px, min_overlap, workers, pattern)
    if search is None:
        return NOTHING
    others = [] if pattern is None else pattern.unrelated(search.small_fixed, search.small_moving)
    null = search.decisive_null(null_samples, np.random.default_rng(seed), others)
    direct, view = _direct(search, null)
    direct = replace(direct, others=len(others))
    if radius_px is None:
        return direct
    found = _with_parts(search, direct, view, radius_px, model)
    if model == "translation" or (direct.significant and found.agreement >= HALF):
        return found
    start, score = search.turned(fixed.shape)
    # The best of many angles is higher by chance.
    threshold, p_value = chance(null, score, ALPHA / len(ANGLES))
    if score <= threshold:
        return found
    turned = replace(
        direct,
        score=score,
        threshold=threshold,
        p_value=p_value,
        significant=True,
        at_limit=False,
    )
    turned = _refined(search, turned, start, radius_px)
    return turned if turned.agreement >= HALF else found


def _check(
    fixed: NDArray, moving: NDArray, max_shift_px: float, min_overlap: float, null_samples: int
) -> None:
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


def _direct(search: Search, null: NDArray) -> tuple[Registration, View]:
    """Best shift of the images as they are, and the view from which it was refined."""
    coarse_y, coarse_x, score, at_limit = search.peak
    threshold, p_value = chance(null, score)
    fixed, moving = search.fixed.shape, search.moving.shape
    view = View.of(search, Similarity.of(fixed, (coarse_y, coarse_x)))
    fine_y, fine_x = correlation.refine(
        view.here,
        view.there,
        -(-search.factor // search.half),
        LOW_PASS_PX / search.half,
        search.workers,
    )
    shift = coarse_y + search.half * fine_y, coarse_x + search.half * fine_x
    box = valid_box(shift, fixed, moving)
    overlap = np.prod([max(0, part.stop - part.start) for part in box]) / np.prod(fixed)
    significant = score > threshold and not at_limit
    return Registration(
        *shift, score, threshold, p_value, significant, at_limit, float(overlap)
    ), view


def _with_parts(
    search: Search, direct: Registration, view: View, radius_px: float, model: Model
) -> Registration:
    """Compare the parts with the common shift; fit a similarity if they need one."""
    parts = local_shifts(search, view, radius_px)
    shift = direct.similarity(search.fixed.shape)
    tolerance = RESIDUAL_RADII * radius_px
    found = _judged(direct, shift, parts, radius_px)
    if model != "translation" and direct.significant:
        agree = distances(shift, parts.points, parts.images) <= tolerance
        fitted: Similarity | None
        if agree.sum() >= 3 and found.agreement >= SURE_AGREEMENT:
            fitted = trimmed_fit(parts.points, parts.images, shift.centre, tolerance, agree)
        else:
            # A rotated part is located less exactly.
            fitted = consensus(parts.points, parts.images, shift.centre, 2 * tolerance)
        if fitted and (model == "similarity" or _evident(fitted, parts, 2 * tolerance)):
            refined = _refined(search, direct, fitted, radius_px)
            if refined.agreement >= HALF:
                return refined
    if not direct.significant or found.agreement >= HALF:
        return found
    coarse = local_shifts(search, view, radius_px, most_parts=COARSE_PARTS)
    return _judged(direct, shift, coarse, radius_px)


def _evident(fitted: Similarity, parts: LocalShifts, tolerance: float) -> bool:
    """Whether the parts differ from a shift by more than their scatter explains."""
    if fitted.departure(Similarity(fitted.centre, fitted.shift)) <= LEAST_DEPARTURE_PX:
        return False
    away = distances(fitted, parts.points, parts.images)
    points, images = (a[away <= tolerance] for a in (parts.points, parts.images))
    freedom = 2 * len(points) - 4
    if freedom < 4:
        return False
    unexplained = float(np.square(away[away <= tolerance]).sum())
    mean_shift = (images - points).mean(axis=0)
    by_shift = float(np.square(images - points - mean_shift).sum())
    ratio = (by_shift - unexplained) / 2 / max(unexplained / freedom, 1e-12)
    return bool(special.fdtrc(2, freedom, max(ratio, 0.0)) < EVIDENCE)


def _refined(
    search: Search, found: Registration, start: Similarity, radius_px: float
) -> Registration:
    """Rotate the round by the current angle, measure the rest, and repeat until it is small.

    The parts of a rotated image match badly, so the first fit is rough.
    """
    tolerance = RESIDUAL_RADII * radius_px
    for _ in range(3):
        parts = local_shifts(search, View.of(search, start), radius_px, reach_px=2 * radius_px)
        fitted = consensus(parts.points, parts.images, start.centre, tolerance)
        if fitted is None:
            return replace(found, agreement=0.0)
        done = fitted.departure(start) < 0.1
        start = fitted
        if done:
            break
    found = replace(
        found,
        shift_y=start.shift[0],
        shift_x=start.shift[1],
        angle=start.angle,
        scale=start.scale,
        overlap=covered(start, search.fixed.shape, search.moving.shape),
    )
    return _judged(found, start, parts, radius_px)


def _judged(
    found: Registration, similarity: Similarity, parts: LocalShifts, radius_px: float
) -> Registration:
    """Add the distances of the parts from their predicted places.

    A part that matches farther away than a nucleus found a wrong match and is ignored; at least
    half of the parts count.
    """
    if not len(parts):
        return found
    away = np.sort(distances(similarity, parts.points, parts.images))
    telling = max(int(np.sum(away <= 2 * radius_px)), -(-len(away) // 2))
    away = away[:telling]
    return replace(
        found,
        residual=float(np.median(away)),
        agreement=float(np.mean(away <= RESIDUAL_RADII * radius_px)),
    )
