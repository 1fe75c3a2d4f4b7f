"""Correlation of two images over all shifts, refined to a fraction of a pixel.

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

#: Longest side of the images that are correlated over all shifts, pixels; larger ones are binned.
#: Nuclei 20 px wide in 2048 are then 5 px wide, and the noise is averaged away.
SEARCH_SIDE_PX = 512
#: Background is what varies more slowly than this, in pixels of the binned images.
BACKGROUND_PX = 64
#: The correlation is refined on a grid of this pitch, pixels, and by a parabola beyond.
FINE_PITCH_PX = 0.05
#: Width of the tapered margin, as a share of each side.
TAPER = 0.08


def clean(image: NDArray) -> Float32 | None:
    """Cut every pixel to the brightest of its four neighbours.

    Hot pixels are at the same place in both images wherever the stage is, and so favour
    no shift.

    Returns
    -------
    (H, W) float32
        None if the image is constant.
    """
    if image.dtype.kind == "f":
        image = np.nan_to_num(image, posinf=0.0, neginf=0.0)
    bright = image
    if min(image.shape) > 1:
        bright = np.empty_like(image)
        np.maximum(image[:-2], image[2:], out=bright[1:-1])
        bright[0], bright[-1] = image[1], image[-2]
        np.maximum(bright[:, 1:], image[:, :-1], out=bright[:, 1:])
        np.maximum(bright[:, :-1], image[:, 1:], out=bright[:, :-1])
        np.minimum(bright, image, out=bright)
    return bright.astype(np.float32) if bright.min() < bright.max() else None


def compress(plane: Float32) -> Float32:
    """Scale to the spread of the background: linear near it, a square root far above.

    Makes stains, exposures and dtypes comparable, and keeps a few bright specks from outweighing
    all nuclei.
    """
    sample = plane[::4, ::4] if plane.size > 1 << 18 else plane
    level = np.median(sample)
    spread = float(1.4826 * np.median(np.abs(sample - level)))
    # More than half a clean background has no spread, and a part of an image may be blank.
    spread = spread or float(plane.std(dtype=np.float64)) or 1.0
    scaled: Float32 = plane - np.float32(level)
    scaled /= np.float32(3 * spread)
    root = np.abs(scaled)
    root += 1
    scaled /= np.sqrt(root, out=root)
    return scaled


def binning(*shapes: tuple[int, ...]) -> int:
    """Factor by which images of these shapes are reduced for the search."""
    return max(1, -(-max(max(shape) for shape in shapes) // SEARCH_SIDE_PX))


def bin_mean(plane: Float32, factor: int) -> Float32:
    """Average squares of `factor` pixels; rows and columns left over at the end are dropped."""
    if factor == 1:
        return plane
    height, width = (n // factor for n in plane.shape)
    strips = plane[: height * factor, : width * factor].reshape(height, factor, -1)
    summed = strips.sum(axis=1).reshape(height, width, factor).sum(axis=2)
    return np.asarray(summed / np.float32(factor**2))


def reduce(plane: Float32, factor: int) -> Float32:
    """Bin by `factor`, smooth by a pixel, remove the background and compress."""
    small = ndi.gaussian_filter(bin_mean(plane, factor), 1.0)
    # First the uneven illumination, which a local mean misses at the edges; then the remainder.
    small = compress(small - _quadratic(small))
    local = ndi.uniform_filter(ndi.uniform_filter(small, BACKGROUND_PX), BACKGROUND_PX)
    return np.asarray(small - local)


def _quadratic(plane: Float32) -> Float32:
    """Least-squares quadratic surface."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in plane.shape)
    terms = [np.multiply.outer(y**i, x**j).ravel() for i in range(3) for j in range(3) if i + j < 3]
    basis = np.stack(terms, axis=1)
    # A sixteenth of the pixels is enough to determine six coefficients.
    step = 16 if plane.size > 1 << 14 else 1
    fit = np.linalg.lstsq(basis[::step], plane.ravel()[::step], rcond=None)[0]
    return np.asarray((basis @ fit).reshape(plane.shape))


@dataclass(frozen=True, eq=False)
class Lags:
    """The shifts to search: whole pixels, within a radius and with enough overlap.

    Attributes
    ----------
    y, x : (K,) and (L,) int64
        The grid of shifts, one pixel wider than the allowed range.
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
        """Shifts within `radius` pixels at which `min_overlap` of the fixed image is seen."""
        reach = int(radius) + 1
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

    Normalised by the overlap alone, the coefficient would be highest where the overlap contains
    little more than one pair of nuclei; normalised by the whole images, it would favour shift 0.
    This is the geometric mean of the two.

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
        Also at shifts that are not allowed; -1 where either image is blank.
    """
    product = fft.irfft2(
        np.conj(fixed_spectrum) * spectrum(moving, lags, workers), lags.pad, workers=workers
    )
    at = np.take(np.take(product, lags.y, axis=0, mode="wrap"), lags.x, axis=1, mode="wrap")
    energy = fixed_energy * overlap_energy(moving, lags, moving=True)
    whole = fixed_energy.max() * float(np.square(moving, dtype=np.float64).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        score = at / np.sqrt(np.sqrt(energy * whole))
    return np.where(energy > 1e-9 * whole, score, -1.0)


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
        (np.maximum(0, d), np.minimum(m, f + d))
        if moving
        else (np.maximum(0, -d), np.minimum(f, m - d))
        for f, m, d in zip(lags.fixed, lags.moving, (lags.y, lags.x), strict=True)
    )
    return np.asarray(
        table[np.ix_(bottom, right)]
        - table[np.ix_(top, right)]
        - table[np.ix_(bottom, left)]
        + table[np.ix_(top, left)]
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


def refine(
    fixed: Float32, moving: Float32, reach: int, low_pass_px: float, workers: int
) -> tuple[float, float]:
    """Shift left between two images of equal shape that nearly match, to a fraction of a pixel.

    Phase correlation that keeps the square root of the amplitudes, which does not amplify
    frequencies with noise only; the peak is refined on a finer grid by a discrete Fourier
    transform around the peak only (Guizar-Sicairos et al. 2008, doi 10.1364/OL.33.000156).

    Parameters
    ----------
    reach : int
        Largest shift looked for along each axis, pixels.
    low_pass_px : float
        Sigma of the Gaussian low-pass: a smaller one lets noise through, a larger one blurs the
        edges of the nuclei, which determine the shift.
    """
    rows, columns = (fft.next_fast_len(n, True) for n in fixed.shape)
    fy, fx = fft.fftfreq(rows), fft.rfftfreq(columns)
    # Frequencies that the low-pass reduces to less than 1% are not computed.
    high = 0.5 / low_pass_px
    kept, width = np.abs(fy) <= high, int(np.sum(fx <= high))
    fy, fx = fy[kept], fx[:width]
    first, second = (
        _low_spectrum(_taper(plane), rows, columns, kept, width, workers)
        for plane in (fixed, moving)
    )
    cross = np.conj(first, out=first)
    cross *= second
    power = np.square(cross.real) + np.square(cross.imag)
    power += np.float32(1e-12 * power.max() + 1e-30)
    cross *= _band(fy, fx, low_pass_px) / np.sqrt(np.sqrt(power))
    centre_y, centre_x, step, span = 0.0, 0.0, 1.0, reach
    while True:
        steps = np.arange(-span, span + 1) * step
        peak = _dft(cross, fy, fx, centre_y + steps, centre_x + steps)
        at_y, at_x = (int(i) for i in np.unravel_index(int(peak.argmax()), peak.shape))
        centre_y, centre_x = centre_y + float(steps[at_y]), centre_x + float(steps[at_x])
        if step <= FINE_PITCH_PX:
            offset_y, offset_x = _vertex(peak[:, at_x], at_y), _vertex(peak[at_y], at_x)
            return centre_y + step * offset_y, centre_x + step * offset_x
        step, span = max(FINE_PITCH_PX, step / 5), 6


def _taper(plane: Float32) -> Float32:
    """Remove the mean and multiply by a raised cosine over the outer `TAPER` of each side."""
    rows, columns = (np.ones(n, dtype=np.float32) for n in plane.shape)
    for window in (rows, columns):
        margin = max(1, int(TAPER * window.size))
        ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(margin) + 0.5) / margin)
        window[:margin] *= ramp.astype(np.float32)
        window[-margin:] *= ramp[::-1].astype(np.float32)
    tapered: Float32 = plane - np.float32(plane.mean(dtype=np.float64))
    tapered *= rows[:, None]
    tapered *= columns
    return tapered


def _low_spectrum(
    plane: Float32, rows: int, columns: int, kept: NDArray, width: int, workers: int
) -> NDArray:
    """Transform of a plane at some of the frequencies, to save time."""
    half = fft.rfft(plane, columns, axis=1, workers=workers)[:, :width]
    return np.asarray(fft.fft(half, rows, axis=0, workers=workers)[kept])


def _band(fy: Float64, fx: Float64, low_pass_px: float) -> Float32:
    """Weights of half a spectrum: low-pass, without the background."""
    low, slow = (
        [np.exp(-2 * (np.pi * sigma * f) ** 2) for f in (fy, fx)]
        for sigma in (low_pass_px, BACKGROUND_PX / 4)
    )
    # Half a spectrum: every column counts twice, except the first.
    low[1][1:] *= 2
    band: Float32 = np.multiply.outer(*low).astype(np.float32)
    band *= 1 - np.multiply.outer(*slow).astype(np.float32)
    return band


def _dft(half: NDArray, fy: Float64, fx: Float64, y: NDArray, x: NDArray) -> Float64:
    """Inverse transform of half a spectrum, up to a factor, at arbitrary positions: ``(Y, X)``."""
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
