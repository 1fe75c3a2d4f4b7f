"""Overlapping windows of one size that cover an image, for networks with a limited view."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Span:
    """A window ``[start, stop)`` along one axis, and the part ``[first, last)`` that it covers."""

    start: int
    stop: int
    first: int
    last: int

    def inner(self, grid: int) -> slice:
        """Where its part lies in a network's output of one value per ``grid`` pixels."""
        return slice((self.first - self.start) // grid, (self.last - self.start) // grid)


class Tiles:
    """Windows over an image, each covering a part of it; together the parts cover it exactly once.

    Windows end where the image ends: at the image's border the network sees the same as in
    the whole image. Elsewhere every pixel has at least ``margin`` pixels of context.

    Parameters
    ----------
    shape
        ``(H, W)`` of the image.
    tile
        Side of a window without its margins, pixels.
    margin
        Context on every side, pixels.
    divisor
        All places and sizes are multiples of it; ``shape`` is rounded up to such multiples.
    """

    def __init__(self, shape: tuple[int, ...], tile: int, margin: int, divisor: int) -> None:
        self.shape = tuple(_multiple(n, divisor) for n in shape)
        margin = _multiple(margin, divisor)
        self.rows, self.cols = (spans(n, tile, margin, divisor) for n in self.shape)

    def __iter__(self) -> Iterator[tuple[Span, Span]]:
        return ((row, col) for row in self.rows for col in self.cols)


def spans(n: int, tile: int, margin: int, divisor: int) -> list[Span]:
    """Windows along an axis of ``n`` pixels (a multiple of ``divisor``), evenly spread."""
    size = min(n, _multiple(tile, divisor) + 2 * margin)
    if size == n:
        return [Span(0, n, 0, n)]
    count = -(-(n - 2 * margin) // (size - 2 * margin))
    # No larger than needed, so that the last window does not overlap its neighbour needlessly.
    size = min(size, _multiple(-(-(n - 2 * margin) // count), divisor) + 2 * margin)
    starts = [-(-(n - size) * i // (count - 1) // divisor) * divisor for i in range(count)]
    # The boundary between neighbours is the middle of their overlap.
    cuts = [0, *((a + size + b) // 2 // divisor * divisor for a, b in pairwise(starts)), n]
    return [Span(s, s + size, cuts[i], cuts[i + 1]) for i, s in enumerate(starts)]


def _multiple(n: int, divisor: int) -> int:
    return -(-n // divisor) * divisor
