"""Correlation of two images over all shifts, and the fraction of a pixel beyond.

Conventions: ``fixed(y, x)`` shows what ``moving(y + shift_y, x + shift_x)`` shows. All images are
``(H, W)``; the two may differ in size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy import ndimage as ndi

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

#: Sides of the images that are correlated over all shifts, pixels; larger ones are binned. Nuclei of
#: 20 px in 2048 are then still 10 px wide.
SEARCH_SIDE_PX = 1024
#: Background is what varies more slowly than this, in pixels of the binned images.
BACKGROUND_PX = 64
#: The correlation is refined on a grid of this pitch, pixels, and by a parabola beyond.
FINE_PITCH_PX = 0.05
#: Width of the tapered margin, as a share of each side.
TAPER = 0.08


def compress(image: NDArray) -> Float32 | None:
    """Make images of different stains, exposures and dtypes comparable.

    Lone hot pixels sit at the same place in both images whatever the stage does, and a few bright
    specks would outweigh all nuclei. So a pixel is cut to its brightest neighbour, and intensities
    are compressed, linear near the background and logarithmic above.

    Returns
    -------
    (H, W) float32
        None if the image is constant.
    """
    plane = np.nan_to_num(image.astype(np.float32, copy=False), posinf=0.0, neginf=0.0)
    padded = np.pad(plane, 1, mode="reflect") if min(plane.shape) > 1 else np.pad(plane, 1)
    brightest = np.maximum(padded[:-2, 1:-1], padded[2:, 1:-1])
    np.maximum(brightest, padded[1:-1, :-2], out=brightest)
    np.maximum(brightest, padded[1:-1, 2:], out=brightest)
    np.minimum(brightest, plane, out=brightest)
    sample = brightest[::4, ::4] if brightest.size > 1 << 18 else brightest
    level = np.median(sample)
    spread = 1.4826 * np.median(np.abs(sample - level)) or brightest.std()
    if not spread > 0:
        return None
    brightest -= level
    brightest /= np.float32(3 * spread)
    return np.arcsinh(brightest, out=brightest)


def binning(*shapes: tuple[int, ...]) -> int:
    """Factor by which images of these shapes are reduced for the search."""
    return max(1, -(-max(max(shape) for shape in shapes) // SEARCH_SIDE_PX))


def reduce(plane: Float32, factor: int) -> Float32:
    """Bin by `factor`, smooth by a pixel and remove the background."""
    height, width = (n // factor * factor for n in plane.shape)
    small = plane[:height, :width]
    if factor > 1:
        small = small.reshape(height // factor, factor, width // factor, factor).mean(axis=(1, 3))
    small = ndi.gaussian_filter(small, 1.0)
    background = ndi.uniform_filter(ndi.uniform_filter(small, BACKGROUND_PX), BACKGROUND_PX)
    return np.asarray(small - background)


@dataclass(frozen=True, eq=False)
class Lags:
    """The shifts to search: whole pixels, within a radius and with enough overlap.

    Attributes
    ----------
    y, x : (K,) and (L,) int64
        The grid of shifts.
    allowed : (K, L) bool
    overlap : (K, L) float64
        Overlapping area as a share of the fixed image.
    """

    fixed: tuple[int, int]
    moving: tuple[int, int]
    y: NDArray[np.int64]
    x: NDArray[np.int64]
    allowed: NDArray[np.bool_]
    overlap: Float64

    @classmethod
    def of(
        cls, fixed: tuple[int, int], moving: tuple[int, int], radius: float, min_overlap: float
    ) -> Lags:
        """Shifts no longer than `radius` pixels at which `min_overlap` of the fixed image is seen."""
        reach = int(radius)
        y, x = (
            np.arange(max(-reach, 1 - f), min(reach, m - 1) + 1)
            for f, m in zip(fixed, moving, strict=True)
        )
        rows, columns = (
            np.minimum(f, m - d) - np.maximum(0, -d)
            for f, m, d in zip(fixed, moving, (y, x), strict=True)
        )
        overlap = np.multiply.outer(rows / fixed[0], columns / fixed[1])
        # A pixel's worth of tolerance: an image that was cropped to the limit is still allowed.
        allowed = (np.hypot.outer(y, x) <= radius) & (overlap >= min_overlap - 1 / max(fixed))
        return cls(fixed, moving, y, x, allowed, overlap)

    @property
    def pad(self) -> tuple[int, int]:
        """Size of transform at which no searched shift wraps around."""
        return (
            fft.next_fast_len(max(self.fixed[0], self.moving[0]) + int(np.abs(self.y).max()), True),
            fft.next_fast_len(max(self.fixed[1], self.moving[1]) + int(np.abs(self.x).max()), True),
        )


def correlate(
    fixed_spectrum: NDArray, fixed_energy: Float64, moving: Float32, lags: Lags, workers: int
) -> Float64:
    """Correlation coefficient at every searched shift, damped where signal is left out.

    The coefficient of the overlap alone would be highest where by chance little but one pair of
    nuclei overlaps; over the whole images' energies it would favour shift 0. This is the geometric
    mean of the two.

    Parameters
    ----------
    fixed_spectrum : (P, Q // 2 + 1) complex64
        `spectrum` of the fixed image.
    fixed_energy : (K, L) float64
        `overlap_energy` of the fixed image.
    moving : (H2, W2) float32
        From `reduce`.

    Returns
    -------
    (K, L) float64
        -1 at shifts that are not allowed.
    """
    product = fft.irfft2(
        np.conj(fixed_spectrum) * spectrum(moving, lags, workers), lags.pad, workers=workers
    )
    at = np.take(np.take(product, lags.y, axis=0, mode="wrap"), lags.x, axis=1, mode="wrap")
    energy = fixed_energy * overlap_energy(moving, lags, moving=True)
    whole = fixed_energy.max() * float(np.square(moving, dtype=np.float64).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        score = at / np.sqrt(np.sqrt(energy * whole))
    return np.where(lags.allowed & (energy > 1e-9 * whole), score, -1.0)


def spectrum(plane: Float32, lags: Lags, workers: int) -> NDArray:
    """Transform of a plane, padded for the searched shifts."""
    return np.asarray(fft.rfft2(plane, lags.pad, workers=workers))


def overlap_energy(plane: Float32, lags: Lags, *, moving: bool) -> Float64:
    """Sum of squares of the part of a plane that overlaps the other, at every shift: ``(K, L)``."""
    height, width = plane.shape
    table = np.zeros((height + 1, width + 1))
    np.cumsum(np.square(plane, dtype=np.float64), axis=0, out=table[1:, 1:])
    np.cumsum(table[1:, 1:], axis=1, out=table[1:, 1:])
    (top, bottom), (left, right) = (
        (np.maximum(0, d), np.minimum(m, f + d)) if moving
        else (np.maximum(0, -d), np.minimum(f, m - d))
        for f, m, d in zip(lags.fixed, lags.moving, (lags.y, lags.x), strict=True)
    )
    return np.asarray(
        table[np.ix_(bottom, right)] - table[np.ix_(top, right)]
        - table[np.ix_(bottom, left)] + table[np.ix_(top, left)]
    )


def overlapping(
    fixed: NDArray, moving: NDArray, shift_y: int, shift_x: int
) -> tuple[NDArray, NDArray]:
    """Cut what both images show at a whole shift: two views of equal shape."""
    top, left = max(0, -shift_y), max(0, -shift_x)
    bottom = min(fixed.shape[0], moving.shape[0] - shift_y)
    right = min(fixed.shape[1], moving.shape[1] - shift_x)
    return (
        fixed[top:bottom, left:right],
        moving[top + shift_y : bottom + shift_y, left + shift_x : right + shift_x],
    )


def refine(fixed: Float32, moving: Float32, reach: int, workers: int) -> tuple[float, float]:
    """Shift left between two images of equal shape that nearly match, to a fraction of a pixel.

    Phase correlation with the amplitudes' square root kept, which does not blow up the frequencies
    that hold noise alone; the peak is sought on a finer grid by a discrete Fourier transform of
    the peak's surroundings only (Guizar-Sicairos et al. 2008, doi 10.1364/OL.33.000156).

    Parameters
    ----------
    reach : int
        Largest shift looked for along each axis, pixels.
    """
    window = _taper(fixed.shape[0])[:, None] * _taper(fixed.shape[1])
    first, second = (
        fft.rfft2((plane - plane.mean(dtype=np.float64).astype(np.float32)) * window, workers=workers)
        for plane in (fixed, moving)
    )
    cross = np.conj(first, out=first)
    cross *= second
    size = np.abs(cross)
    size += np.float32(1e-6 * size.max() + 1e-30)
    cross /= np.sqrt(size, out=size)
    cross *= _band(fixed.shape)
    centre, step = np.zeros(2), 1.0
    span = reach
    while True:
        steps = np.arange(-span, span + 1) * step
        peak = _dft_around(cross, fixed.shape[1], centre[0] + steps, centre[1] + steps)
        at = np.unravel_index(int(peak.argmax()), peak.shape)
        if step <= FINE_PITCH_PX:
            offset = [_vertex(peak[:, at[1]], at[0]), _vertex(peak[at[0]], at[1])]
            return tuple((centre + steps[list(at)] + np.array(offset) * step).tolist())  # type: ignore[return-value]
        centre = centre + steps[list(at)]
        step = max(FINE_PITCH_PX, step / 5)
        span = 6


def _taper(length: int) -> Float32:
    """Raised cosine over the outer `TAPER` of both ends."""
    margin = max(1, int(TAPER * length))
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(margin) + 0.5) / margin)
    window = np.ones(length, dtype=np.float32)
    window[:margin] = ramp
    window[length - margin :] *= ramp[::-1].astype(np.float32)
    return window


def _band(shape: tuple[int, ...]) -> Float32:
    """Weights of the frequencies: Gaussian low-pass of 1 px, without the background."""
    fy = fft.fftfreq(shape[0]).astype(np.float32)[:, None]
    fx = fft.rfftfreq(shape[1]).astype(np.float32)
    low = np.multiply(np.exp(-2 * np.pi**2 * fy**2), np.exp(-2 * np.pi**2 * fx**2))
    sigma = BACKGROUND_PX / 4
    slow = np.multiply(
        np.exp(-2 * np.pi**2 * sigma**2 * fy**2), np.exp(-2 * np.pi**2 * sigma**2 * fx**2)
    )
    # Half a spectrum: every column but the first (and the last, if even) stands for two.
    twice = np.full(fx.size, 2.0, dtype=np.float32)
    twice[0] = 1
    if shape[1] % 2 == 0:
        twice[-1] = 1
    return np.asarray(low * (1 - slow) * twice)


def _dft_around(half: NDArray, width: int, y: Float64, x: Float64) -> Float64:
    """Evaluate the inverse transform of half a spectrum at arbitrary positions: ``(Y, X)``."""
    fy = fft.fftfreq(half.shape[0])
    fx = fft.rfftfreq(width)
    rows = np.exp(2j * np.pi * np.multiply.outer(y, fy)).astype(np.complex64)
    columns = np.exp(2j * np.pi * np.multiply.outer(fx, x)).astype(np.complex64)
    return np.asarray(((rows @ half) @ columns).real, dtype=np.float64)


def _vertex(values: Float64, at: int) -> float:
    """Offset of a parabola's vertex from its highest sample, in samples; 0 at the ends."""
    if not 0 < at < len(values) - 1:
        return 0.0
    before, here, after = values[at - 1 : at + 2]
    curvature = before - 2 * here + after
    return 0.0 if curvature == 0 else float(0.5 * (before - after) / curvature)
