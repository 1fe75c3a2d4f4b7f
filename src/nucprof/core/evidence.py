"""The evidence for each object of a field: how it stands out from its surroundings.

An object's ring is the background within a fifth of its diameter of it, without the pixels of
other objects and without the first pixel outside its outline, which is blurred.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from nucprof.core.background import SIDES, at_size, background_variation
from nucprof.core.features._compile import compiled
from nucprof.core.labels import FloatArray, IntArray, ObjectIndex, keep_labels

#: Width of the ring as a share of the object's diameter, and its limits in pixels.
RING_WIDTH, RING_MIN_PX, RING_MAX_PX = 0.2, 2, 12
#: A ring with fewer pixels than this is not used: the object is enclosed by others.
RING_PIXELS = 8
#: An outline lies on an edge where brightness falls across it by this share of the object's step.
EDGE_SHARE = 0.25
#: A step of this many standard errors is not explained by the camera's noise.
SURE = 5.0
#: An object that is less than this many standard deviations of single pixels above its ring
#: counts only if this share of its outline lies on an edge; else it is a cloud of the background.
CLEAR, OUTLINED = 1.5, 0.8
#: Objects whose step is below this share of the field's median step are dim.
DIM = 0.35
#: Objects below these shares of the field's median step and median area are debris.
DEBRIS_STEP, DEBRIS_AREA = 0.6, 0.25
#: Where this share of a field's objects, and at least this number, is noise, and the background has
#: this much structure, the others must stand out more: below this many times `SURE` and this many
#: times the noise's brightest step (a percentile), they belong to the same crowd.
CROWD, CROWD_SIZE, CROWD_STRUCTURE = 0.3, 20, 2.2
CROWD_SURE, CROWD_STEP, CROWD_PERCENTILE = 3.0, 1.5, 99
#: Where the background has this much structure, and some objects exceed the others by this factor
#: with none in between, the others are structures if they stand out by less than this many standard
#: deviations of single pixels, and this many times `SURE`.
GAP_STRUCTURE, GAP, GAP_NOISE, GAP_SURE = 5.0, 3.0, 2.25, 2.5
#: How often the background is measured anew, without the objects that belong to it.
ROUNDS = 10
#: Only objects of fewer pixels can belong to the background's noise.
SMALL_PX = 50
#: By side of :data:`~nucprof.core.background.SIDES`: larger squares vary by the background's
#: structure, from which a nucleus need not stand out as much as from noise at many more places.
STRICTNESS = np.array([1, 1, 1, 0.5, 0.5])
#: Objects of fewer pixels (a diameter of 4 pixels) are specks.
SPECK_PX = 12
#: Grey levels by which an object must stand out in an image of integers.
LEVELS = 1.5


@dataclass(frozen=True, eq=False)
class Evidence:
    """Measurements of all objects of a field, in ascending order of their labels.

    Attributes
    ----------
    ids : (N,) int64
    areas : (N,) int64
        Pixels.
    step : (N,) float64
        Mean of the object minus mean of its ring, grey levels.
    contrast : (N,) float64
        `step` over the object's mean above the field's background (its 5th percentile): 1 on a dark
        background, near 0 for a part of a larger bright area. 0 where the object is not above
        the background.
    noise : (N,) float64
        Standard deviation of the ring's pixels, grey levels; at least 1 in an image of integers.
    significance : (N,) float64
        `step` in standard errors: `noise` over the root of the pixels compared, or the variation
        of the field's background over areas of the object's size where that is larger.
    edge_share : (N,) float64
        Share of the outline, where it touches no other object, across which brightness falls.
    touching : (N,) float64
        Share of the outline that lies against another object.
    level : float
        The smallest difference that the image can represent: 1 for integers.
    structure : float
        How much more the background varies over squares of 16 pixels than it would if its pixels
        were independent, by its variation over squares of 2: 1 for a camera's noise.
    """

    ids: IntArray
    areas: IntArray
    step: FloatArray
    contrast: FloatArray
    noise: FloatArray
    significance: FloatArray
    edge_share: FloatArray
    touching: FloatArray
    level: float = 0.0
    structure: float = 1.0

    @property
    def dim(self) -> NDArray[np.bool_]:
        """Which objects stand out much less than is usual in the field, ``(N,)`` bool."""
        usual = float(np.median(self.step)) if len(self.ids) else 0.0
        return self.step < DIM * usual

    @property
    def debris(self) -> NDArray[np.bool_]:
        """Which objects are both much smaller and dimmer than is usual in the field, ``(N,)``."""
        if not len(self.ids):
            return np.zeros(0, dtype=bool)
        small = self.areas < DEBRIS_AREA * np.median(self.areas)
        debris: NDArray[np.bool_] = small & (self.step < DEBRIS_STEP * np.median(self.step))
        return debris

    def stands_out(self, min_contrast: float) -> NDArray[np.bool_]:
        """Which objects are nuclei by all that is measured, ``(N,)`` bool.

        Not nuclei are:

        - noise: what is too faint or too small to be told from the background's variation.
        - haze: dim compared with the field's nuclei, and on a bright background (a contrast below
          `min_contrast`). A dim nucleus on a dark background is not haze.
        - debris: much smaller and dimmer than the others.
        - structures of the background, which may outnumber the nuclei: what resembles the noise
          where most objects are noise, or is faint beside much brighter objects.

        If `min_contrast` is 0, all objects stand out.
        """
        if min_contrast == 0:
            return np.ones(len(self.ids), dtype=bool)
        certain = (self.significance > SURE) & (self.areas >= SPECK_PX)
        certain &= self.step >= LEVELS * self.level
        certain &= (self.step >= CLEAR * self.noise) | (self.edge_share >= OUTLINED)
        low = self.contrast < min_contrast
        out: NDArray[np.bool_] = certain & ~(self.dim & low) & ~self.debris
        out &= ~self._resembles(~certain)
        return out & ~(self._below_a_gap(out) & low)

    def _resembles(self, noise: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which objects are like those that are noise, where these are most of the field, ``(N,)``.

        Of many structures some exceed any limit. Without structure (a camera's noise alone) they do
        not, and the objects found are small nuclei in low light.
        """
        crowd = np.count_nonzero(noise) >= max(CROWD_SIZE, CROWD * len(self.ids))
        if not crowd or self.structure < CROWD_STRUCTURE:
            return np.zeros(len(self.ids), dtype=bool)
        brightest = np.percentile(self.step[noise], CROWD_PERCENTILE)
        alike: NDArray[np.bool_] = self.step < CROWD_STEP * brightest
        return alike & (self.significance < CROWD_SURE * SURE)

    def _below_a_gap(self, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which objects are faint beside much brighter ones on an uneven background, ``(N,)``.

        Where structures outnumber the nuclei the field's median is theirs, and only the gap to the
        few bright ones shows it. A gap alone may be that of one glowing speck above dim nuclei.
        """
        steps = np.sort(self.step[among])
        gaps = np.flatnonzero(steps[1:] >= GAP * steps[:-1])
        if not len(gaps) or self.structure < GAP_STRUCTURE:
            return np.zeros(len(self.ids), dtype=bool)
        faint = (self.step < GAP_NOISE * self.noise) & (self.significance < GAP_SURE * SURE)
        below: NDArray[np.bool_] = faint & (self.step <= steps[gaps[-1]])
        return below


def measure_evidence(plane: NDArray, labels: NDArray) -> Evidence:
    """Measure the evidence for every object.

    Parameters
    ----------
    plane : (H, W)
        The channel that was segmented, any real dtype.
    labels : (H, W) integer
        Gaps allowed, 0 = background.
    """
    index = ObjectIndex.of(labels)
    image = np.nan_to_num(plane.astype(np.float32), posinf=0.0, neginf=0.0)
    figures = np.zeros((len(index), 6))
    if len(index):
        diameters = np.sqrt(4 / np.pi * index.areas)
        widths = np.clip(np.rint(RING_WIDTH * diameters), RING_MIN_PX, RING_MAX_PX)
        smooth = ndi.gaussian_filter(image, 0.7, truncate=3.0)
        _measure(image, smooth, labels, index.ids, index.boxes, widths.astype(np.int64), figures)
    inside, ring, variance, pixels, falling, beside = figures.T
    floor = float(np.percentile(image[::2, ::2], 5)) if image.size else 0.0
    enclosed = pixels < RING_PIXELS
    ring = np.where(enclosed, floor, ring)
    # Grey levels are whole numbers: noise below one level is not visible in the ring.
    level = 1.0 if plane.dtype.kind in "iu" else 0.0
    least = max(level, float(np.finfo(np.float32).tiny))
    usual = float(np.median(variance[~enclosed])) if not enclosed.all() else least
    noise = np.sqrt(np.maximum(np.where(enclosed, usual, variance), least))
    step = inside - ring
    error = noise * np.sqrt(1 / index.areas + 1 / np.maximum(pixels, RING_PIXELS))
    variation, structure = _background_error(image, labels, index, step)
    error = np.maximum(error, variation)
    above = inside - floor
    contrast = np.where(above > 0, step / np.where(above > 0, above, 1), 0.0)
    contrast = np.clip(contrast, -1, 1)
    return Evidence(
        index.ids,
        index.areas,
        step,
        contrast,
        noise,
        step / error,
        falling,
        beside,
        level,
        structure,
    )


def _background_error(
    image: NDArray[np.float32], labels: NDArray, index: ObjectIndex, step: FloatArray
) -> tuple[FloatArray, float]:
    """Variation of the background over areas of the objects' sizes, and its structure.

    Grey levels, ``(N,)``; and :attr:`Evidence.structure`.

    Small objects that do not stand out from it belong to it: a network that finds thousands of
    nuclei in noise would otherwise leave a background without its bright parts.
    """
    background = np.zeros(len(index), dtype=bool)
    variation = background_variation(image, labels)
    structure = _structure(variation)
    for _ in range(ROUNDS):
        error = at_size(variation * STRICTNESS, index.areas)
        faint = (step <= SURE * error) & (index.areas < SMALL_PX)
        if np.array_equal(faint, background):
            break
        background = faint
        objects = keep_labels(labels, index.ids[~faint].tolist())
        variation = background_variation(image, objects)
    return error, structure


def _structure(variation: FloatArray) -> float:
    """How much more the background varies over large squares than independent pixels would."""
    small, large = SIDES.index(2), SIDES.index(16)
    if variation[small] <= 0:
        return 1.0
    return float(variation[large] / variation[small] * SIDES[large] / SIDES[small])


@compiled
def _measure(
    image: NDArray[np.float32],
    smooth: NDArray[np.float32],
    labels: NDArray,
    ids: IntArray,
    boxes: IntArray,
    widths: IntArray,
    out: FloatArray,
) -> None:
    """Per object: mean, ring's mean, variance and pixels, and two shares of its outline."""
    height, width = labels.shape
    for k in range(ids.size):
        reach = widths[k] + 1
        top, left = max(0, boxes[k, 0] - reach), max(0, boxes[k, 1] - reach)
        bottom, right = min(height, boxes[k, 2] + reach), min(width, boxes[k, 3] + reach)
        near, values = labels[top:bottom, left:right], image[top:bottom, left:right]
        seen = np.zeros(near.shape, np.uint8)
        front = np.empty((near.size, 2), np.int32)
        count, mean, cy, cx = _inside(values, near, ids[k], seen)
        borders, beside = _outline(near, ids[k], seen, front)
        pixels, ring, variance = _rings(values, near, mean, reach, seen, front, borders)
        half = max(1.5, 0.06 * np.sqrt(count))
        out[k, 0] = mean
        out[k, 1] = mean + ring
        out[k, 2] = variance
        out[k, 3] = pixels
        least = EDGE_SHARE * abs(ring)
        out[k, 4] = _falling(smooth, labels, top, left, front[:borders], (cy, cx), half, least)
        out[k, 5] = beside / borders if borders else 0.0


@compiled
def _inside(
    values: NDArray[np.float32], near: NDArray, label: int, seen: NDArray[np.uint8]
) -> tuple[int, float, float, float]:
    """Mark the object's pixels with 1; return their number, mean and centroid."""
    total, count, cy, cx = 0.0, 0, 0.0, 0.0
    for y in range(near.shape[0]):
        for x in range(near.shape[1]):
            if near[y, x] == label:
                seen[y, x] = 1
                total += values[y, x]
                cy += y
                cx += x
                count += 1
    return count, total / count, cy / count, cx / count


@compiled
def _outline(
    near: NDArray, label: int, seen: NDArray[np.uint8], front: NDArray[np.int32]
) -> tuple[int, int]:
    """Put the outline's pixels into `front`; return their number and how many meet another object.

    Sides at the edge of `near` do not count: the box ends there only where the image does.
    """
    rows, cols = near.shape
    outline, beside = 0, 0
    for y in range(rows):
        for x in range(cols):
            if seen[y, x] != 1:
                continue
            free, met = False, False
            for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                v, u = y + dy, x + dx
                if 0 <= v < rows and 0 <= u < cols:
                    free |= near[v, u] == 0
                    met |= near[v, u] != 0 and near[v, u] != label
            if free or met:
                front[outline, 0], front[outline, 1] = y, x
                outline += 1
                beside += met
    return outline, beside


@compiled
def _rings(
    values: NDArray[np.float32],
    near: NDArray,
    mean: float,
    reach: int,
    seen: NDArray[np.uint8],
    front: NDArray[np.int32],
    last: int,
) -> tuple[int, float, float]:
    """Grow the outline over the background; return the ring's pixels, mean above `mean`, variance.

    `front` begins with `last` pixels of the outline. Rings of one pixel grow along sides and along
    corners in turn, which makes octagons; the innermost is blurred by the object and left out.
    """
    rows, cols = near.shape
    first, pixels, ring, squares = 0, 0, 0.0, 0.0
    for shell in range(reach):
        stop = last
        while first < stop:
            y, x = front[first]
            first += 1
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    if shell % 2 == 0 and dy != 0 and dx != 0:
                        continue
                    v, u = y + dy, x + dx
                    if not (0 <= v < rows and 0 <= u < cols) or seen[v, u] != 0 or near[v, u] != 0:
                        continue
                    seen[v, u] = 2
                    front[last, 0], front[last, 1] = v, u
                    last += 1
                    if shell > 0:
                        value = np.float64(values[v, u]) - mean
                        pixels += 1
                        ring += value
                        squares += value * value
    if pixels == 0:
        return 0, 0.0, 0.0
    ring /= pixels
    return pixels, ring, max(0.0, squares / pixels - ring * ring)


@compiled
def _falling(
    smooth: NDArray[np.float32],
    labels: NDArray,
    top: int,
    left: int,
    outline: NDArray[np.int32],
    middle: tuple[float, float],
    half: float,
    least: float,
) -> float:
    """Share of the outline across which brightness falls by more than `least`.

    Outline and middle are relative to the corner at `top` and `left`.
    Compared are a pixel inside and one outside, `half` from the outline, on the way from the
    centroid through it; pixels of the outline with another object there do not count.
    """
    height, width = labels.shape
    falling, judged = 0, 0
    for j in range(len(outline)):
        y, x = outline[j]
        dy, dx = y - middle[0], x - middle[1]
        way = np.hypot(dy, dx)
        if way < 1:
            continue
        uy, ux = dy / way, dx / way
        ay, ax = int(np.rint(y - half * uy)), int(np.rint(x - half * ux))
        by, bx = int(np.rint(y + (half + 1) * uy)), int(np.rint(x + (half + 1) * ux))
        if not (0 <= by + top < height and 0 <= bx + left < width):
            continue
        if labels[top + by, left + bx] != 0:
            continue
        judged += 1
        falling += smooth[top + ay, left + ax] - smooth[top + by, left + bx] > least
    return falling / judged if judged else 0.0
