"""Windows cover an image once, stay inside it, and give every pixel its context."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucprof.segmentation.tiles import Tiles, spans


@given(
    blocks=st.integers(1, 200),
    tile=st.integers(1, 600),
    margin=st.integers(0, 12),
    divisor=st.sampled_from([1, 2, 8, 16]),
)
def test_spans_cover_once_with_context(blocks, tile, margin, divisor):
    n, margin = blocks * divisor, margin * divisor
    windows = spans(n, tile, margin, divisor)
    assert windows[0].first == 0
    assert windows[-1].last == n
    assert len({w.stop - w.start for w in windows}) == 1
    for left, right in pairwise(windows):
        assert left.last == right.first
    for window in windows:
        assert 0 <= window.start < window.stop <= n
        assert window.first < window.last
        # Full context on every side, unless the image ends there; cuts lie on the lattice.
        assert window.start == 0 or window.first - window.start > margin - divisor
        assert window.stop == n or window.stop - window.last >= margin
        assert all(v % divisor == 0 for v in (window.start, window.stop, window.first, window.last))


def test_windows_are_no_larger_than_asked():
    windows = spans(2048, 512, 64, 16)
    assert all(w.stop - w.start <= 512 + 128 for w in windows)
    assert len(windows) == 4


def test_small_image_is_one_window():
    tiles = Tiles((100, 33), 512, 64, 16)
    assert tiles.shape == (112, 48)
    ((row, col),) = list(tiles)
    assert (row.start, row.stop, col.start, col.stop) == (0, 112, 0, 48)


@pytest.mark.parametrize("grid", [1, 2, 4])
def test_inner_is_on_the_output_grid(grid):
    window = spans(2048, 512, 64, 16)[1]
    inner = window.inner(grid)
    assert (inner.stop - inner.start) * grid == window.last - window.first
    assert inner.start * grid == window.first - window.start
