"""Uneven illumination: estimated from many fields, and removed from an image.

A plane is modelled as ``image = gain * scene + floor``: the illumination multiplies the scene
(gain); the camera's offset and stray light are added (floor).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage.filters import threshold_otsu
from skimage.transform import downscale_local_mean

from nucprof.core.weighted import weighted_median
from nucprof.errors import DataError

FEWEST = 8
"""Fields below which nothing is estimated."""

_SIDE_PX = 256  # fields are reduced to this: illumination varies slowly
_GRID = 8  # blocks along each side
_LOW = 5.0  # percentile of a block that is background
_HIGH = 99.0  # percentile above which pixels may be debris
_ROUNDS = 4  # which pixels are bright depends on the gain, and the gain on these pixels
_REPEATS = 40
_CERTAIN = 3.0  # a surface is used if its relief exceeds its own scatter by this factor
_IN_PIECES = 0.2  # share beyond chance, see _in_pieces
_FAR = 3.0  # standard deviations beyond which a value is left out
_MAD = 0.6745  # median absolute deviation of a normal distribution with standard deviation 1


@dataclass(frozen=True)
class Illumination:
    """Gain (mean 1) and floor (grey levels) of one channel, ``(H, W) float32`` each."""

    gain: NDArray[np.float32]
    floor: NDArray[np.float32]

    @property
    def is_even(self) -> bool:
        """Whether a correction changes nothing."""
        return bool(np.ptp(self.gain) == 0 and np.ptp(self.floor) == 0)


def reduced(plane: NDArray) -> NDArray[np.float32]:
    """A plane ``(H, W)`` binned to at most 256 pixels along its longer side."""
    factor = max(1, -(-max(plane.shape) // _SIDE_PX))
    height, width = (side // factor * factor for side in plane.shape)
    whole = plane[:height, :width].astype(np.float32)  # a part of a bin would be filled with zeros
    small: NDArray[np.float32] = downscale_local_mean(whole, (factor, factor))
    return small


def enlarged(small: NDArray, shape: tuple[int, int]) -> NDArray[np.float32]:
    """A smooth surface, known at the bins of :func:`reduced`, at every pixel of ``shape``."""
    zoom = [full / part for full, part in zip(shape, small.shape, strict=True)]
    full: NDArray[np.float32] = ndi.zoom(
        small.astype(np.float32), zoom, order=1, mode="nearest", grid_mode=True
    )
    return full


def estimate(
    fields: Sequence[NDArray], shape: tuple[int, int], dark: float | None = None, seed: int = 0
) -> Illumination:
    """Estimate gain and floor of one channel.

    The floor is the darkest part of every place in the image. It is subtracted before the gain is
    estimated, because an offset that does not depend on the illumination makes the gain look
    flatter than it is. The gain is the mean logarithm of the bright pixels at every place; values
    far from the medians (debris) are left out; where objects cover less than 1% of the pixels,
    there is nothing to estimate it from. Both are fitted by quadratic surfaces. A surface whose
    relief is less than three times its scatter over resampled fields is replaced by its mean: the
    image is then left as it is.

    Parameters
    ----------
    fields : sequence of (h, w)
        Planes of different fields, :func:`reduced`.
    shape : (int, int)
        Height and width of the planes before they were reduced.
    dark : float, optional
        Grey level of an image without light. It then replaces the estimated floor.
    seed : int
        Of the resampling.

    Raises
    ------
    DataError
        There are fewer than :data:`FEWEST` fields.
    """
    if len(fields) < FEWEST:
        raise DataError(f"{len(fields)} fields are too few, {FEWEST} are needed")
    small = np.stack(fields)
    rng, block = np.random.default_rng(seed), _blocks(small.shape[1:])
    size, coarse = small.shape[1:], _terms(_GRID, _GRID)
    low = _by_block(small, block, lambda pixels: np.percentile(pixels, _LOW, axis=1))
    floor = _certain(_Values(low, np.ones_like(low)), coarse, rng)
    gain = np.exp(_surface(_gain(small - _surface(floor, size), block, rng), shape))
    return Illumination(
        (gain / gain.mean()).astype(np.float32),
        _surface(floor, shape).astype(np.float32)
        if dark is None
        else np.full(shape, dark, np.float32),
    )


def correct(image: NDArray, illumination: Illumination) -> NDArray:
    """Remove uneven illumination from planes ``(..., H, W)``; dtype and mean background stay.

    Raises :class:`DataError` if the sizes differ.
    """
    gain, floor = illumination.gain, illumination.floor
    if image.shape[-2:] != gain.shape:
        raise DataError(
            f"the illumination was estimated for {gain.shape} pixels, not for {image.shape[-2:]}"
        )
    even: NDArray = (image.astype(np.float32) - floor) / gain + floor.mean()
    if image.dtype.kind != "f":
        limits = np.iinfo(image.dtype)
        even = np.clip(np.rint(even), limits.min, limits.max)
    return even.astype(image.dtype)


@dataclass(frozen=True)
class _Values:
    """A value of every field and block, and its weight ``(fields, blocks)``."""

    values: NDArray
    weights: NDArray

    def surface(self, terms: NDArray) -> NDArray:
        """Coefficients of the surface through the blocks' means, without values far from it."""
        values, weights = self.values, self.weights
        first = _fit(weighted_median(values, weights), weights.sum(axis=0), terms)
        off = np.abs(values - terms @ first)
        weights = weights * (off <= _FAR / _MAD * np.median(off[weights > 0]))
        total = weights.sum(axis=0)
        return _fit((values * weights).sum(axis=0) / np.maximum(total, 1), total, terms)

    def resampled(self, rng: np.random.Generator) -> _Values:
        """The values of as many fields, drawn with replacement."""
        drawn = rng.integers(0, len(self.values), len(self.values))
        return _Values(self.values[drawn], self.weights[drawn])


def _gain(above: NDArray, block: NDArray, rng: np.random.Generator) -> NDArray:
    """Coefficients of the logarithm of the gain; ``above``: fields without their floor."""
    coarse = _terms(_GRID, _GRID)
    gain = np.zeros(coarse.shape[1])
    for _ in range(_ROUNDS):
        even = above / np.exp(_surface(gain, above.shape[1:]))
        sample = even[:, ::2, ::2]
        sample = np.minimum(sample, np.percentile(sample, _HIGH))
        if sample.max() <= max(sample.min(), 0):
            return np.zeros_like(gain)  # the fields are empty
        bright = even > threshold_otsu(sample)
        if not _in_pieces(bright):
            return np.zeros_like(gain)  # there are so few objects that this divides the noise
        logs = np.where(bright, np.log(np.maximum(above, 1e-3)), 0.0)
        counts = _by_block(bright, block, lambda pixels: pixels.sum(axis=1))
        sums = _by_block(logs, block, lambda pixels: pixels.sum(axis=1))
        # pixels of one object are no independent values, and debris may fill a block
        values = _Values(sums / np.maximum(counts, 1), np.sqrt(counts))
        gain = values.surface(coarse)
        gain[0] = 0.0
    gain = _certain(values, coarse, rng)
    gain[0] = 0.0
    return gain


def _in_pieces(bright: NDArray) -> bool:
    """Whether bright pixels lie next to each other more often than those of noise."""
    share = float(bright.mean())
    both = float((bright[:, :, 1:] & bright[:, :, :-1]).mean())
    return both - share**2 > _IN_PIECES * share * (1 - share)


def _fit(means: NDArray, weights: NDArray, terms: NDArray) -> NDArray:
    """Coefficients by weighted least squares."""
    root = np.sqrt(weights)
    fitted: NDArray = np.linalg.lstsq(terms * root[:, None], means * root, rcond=None)[0]
    return fitted


def _certain(values: _Values, terms: NDArray, rng: np.random.Generator) -> NDArray:
    """Coefficients of the surface; only its mean if its relief is within its scatter."""
    best = values.surface(terms)
    scatter = [
        float((terms @ (values.resampled(rng).surface(terms) - best)).std())
        for _ in range(_REPEATS)
    ]
    if (terms @ best).std() < _CERTAIN * np.median(scatter):
        return np.array([float((terms @ best).mean()), *np.zeros(terms.shape[1] - 1)])
    return best


def _blocks(size: tuple[int, ...]) -> NDArray:
    """Number of every pixel's block."""
    rows, columns = (np.arange(side) * _GRID // side for side in size)
    numbers: NDArray = rows[:, None] * _GRID + columns
    return numbers


def _by_block(
    fields: NDArray, block: NDArray, measure: Callable[[NDArray], NDArray]
) -> NDArray[np.float64]:
    """A value for every field and block ``(fields, blocks)``; ``measure`` gets (fields, pixels)."""
    columns = [measure(fields[:, block == number]) for number in range(_GRID * _GRID)]
    values: NDArray[np.float64] = np.stack(columns, axis=1).astype(np.float64)
    return values


def _surface(coefficients: NDArray, size: tuple[int, ...]) -> NDArray[np.float64]:
    """A quadratic surface at every pixel; y and x from -1 to 1 between the image's edges."""
    y, x = ((np.arange(side) + 0.5) / side * 2 - 1 for side in size)
    c = coefficients
    y = y[:, None]
    linear = c[0] + c[1] * y + c[2] * x
    surface: NDArray[np.float64] = linear + c[3] * y * y + c[4] * x * y + c[5] * x * x
    return surface


def _terms(height: int, width: int) -> NDArray[np.float64]:
    """The terms of :func:`_surface` at every pixel ``(height * width, 6)``."""
    return np.stack([_surface(unit, (height, width)).ravel() for unit in np.eye(6)], axis=1)
