"""Crops for the network: read once into one array, or streamed where memory is short."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from nucprof.errors import DataError
from nucprof.io.damage import reading
from nucprof.machine import available_memory

MEMORY_SHARE = 0.5
_OPEN_STACKS = 64


@dataclass(frozen=True)
class RealPixels:
    """Which pixels of crops are of the image (and of the cell, where crops are masked).

    Limits of intensity come from these alone: padding would move them by as much as a cell lies
    near the edge, and by the camera's offset.
    """

    boxes: np.ndarray | None = None
    """`(N, 4)` int: top, left, bottom, right (exclusive) of the image in each crop; None: all."""
    masked: bool = False
    """The crops are 0 outside their cell: a pixel that is 0 in every channel is outside."""

    def of(self, rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """`(n, H, W)` bool, of the crops `rows` `(n, C, H, W)` with these numbers.

        A crop without any such pixel (a cell that is 0 in all channels) counts as real all over.
        """
        real = np.ones((len(rows), *rows.shape[2:]), dtype=bool)
        if self.masked:
            real &= (rows != 0).any(axis=1)
        if self.boxes is not None:
            y, x = np.arange(rows.shape[2])[:, None], np.arange(rows.shape[3])
            top, left, bottom, right = self.boxes[numbers].T[..., None, None]
            real &= (y >= top) & (y < bottom) & (x >= left) & (x < right)
        real[~real.any(axis=(1, 2))] = True
        return real


class Crops(Protocol):
    """Crops by their number, whatever holds them."""

    @property
    def real(self) -> RealPixels:
        """Which pixels are real."""
        ...

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(N, C, H, W)`."""
        ...

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """The crops with these numbers, `(n, C, H, W)` in their stored dtype."""
        ...


@dataclass
class CropsInMemory:
    """All crops in one array: 100,000 of 4 x 60 x 60 uint16 are 2.9 GB."""

    array: np.ndarray
    real: RealPixels = RealPixels()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(N, C, H, W)`."""
        n, c, h, w = self.array.shape
        return n, c, h, w

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """See :class:`Crops`."""
        return np.take(self.array, numbers, axis=0)


@dataclass
class StreamedCrops:
    """Crops read from their memory-mapped stacks whenever they are asked for.

    The most recently used 64 stacks stay mapped; :meth:`close` lets go of them.
    """

    paths: Sequence[Path]
    stack_of: np.ndarray
    row_of: np.ndarray
    channels: Sequence[int]
    shape: tuple[int, int, int, int]
    dtype: np.dtype
    real: RealPixels = RealPixels()
    _open: OrderedDict[int, np.ndarray] = field(default_factory=OrderedDict)

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """See :class:`Crops`."""
        out = np.empty((len(numbers), *self.shape[1:]), dtype=self.dtype)
        stacks = self.stack_of[numbers]
        for stack in np.unique(stacks):
            here = np.flatnonzero(stacks == stack)
            rows = self.row_of[numbers[here]]
            out[here] = self._stack(int(stack))[rows][:, list(self.channels)]
        return out

    def close(self) -> None:
        """Unmap all stacks."""
        self._open.clear()

    def _stack(self, number: int) -> np.ndarray:
        if number in self._open:
            self._open.move_to_end(number)
        else:
            self._open[number] = map_stack(self.paths[number])
            if len(self._open) > _OPEN_STACKS:
                self._open.popitem(last=False)
        return self._open[number]


def map_stack(path: Path) -> np.ndarray:
    """A stack of crops, `(N, C, H, W)`, memory-mapped read-only.

    ImageJ's TIFFs leave out axes of length 1; the tags tell what is a crop and what a channel.

    Raises
    ------
    DataError
        If the file is no stack that can be mapped.
    """
    import tifffile

    with reading(path, DataError, "Run: nucprof crop --force"):
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            shape, axes = series.get_shape(squeeze=False), series.get_axes(squeeze=False)
        mapped: np.ndarray = tifffile.memmap(path, mode="r")
        length = dict(zip(axes, shape, strict=True))
        n = int(length.get("T") or length.get("Q") or 1)
        return mapped.reshape(n, -1, length["Y"], length["X"])


def open_crops(
    paths: Sequence[Path],
    stack_of: np.ndarray,
    row_of: np.ndarray,
    channels: Sequence[int],
    *,
    real: RealPixels = RealPixels(),
    memory_share: float = MEMORY_SHARE,
) -> CropsInMemory | StreamedCrops:
    """Open crops; read them at once if they fit into a share of the free memory, else stream them.

    Parameters
    ----------
    paths
        Stacks, `(N, C, H, W)` TIFFs of one patch size and channel order.
    stack_of, row_of
        `(n_cells,)` int: which stack, and which crop within it, is a cell's.
    channels
        Channels to keep, by position.
    real
        Which pixels are real.
    memory_share
        Share of the free memory that the array may take; 0 always streams.

    Raises
    ------
    DataError
        If stacks differ in patch size or channels, or lack a wanted row or channel.
    """
    if not len(paths):
        raise DataError("there are no crops to read; run `nucprof crop`")
    shapes, dtypes = [], []
    for number, path in enumerate(paths):
        mapped = map_stack(path)
        wanted = row_of[stack_of == number]
        if (len(wanted) and wanted.max() >= len(mapped)) or max(channels) >= mapped.shape[1]:
            raise DataError(
                f"{path} holds {len(mapped)} crops of {mapped.shape[1]} channels, fewer than its "
                "index says; run `nucprof crop --force`"
            )
        shapes.append(mapped.shape[1:])
        dtypes.append(mapped.dtype)
    if len(set(shapes)) > 1:
        raise DataError(f"crops differ in channels or size: {sorted(set(shapes))}")
    _, height, width = shapes[0]
    shape = (len(row_of), len(channels), height, width)
    dtype = np.result_type(*dtypes)
    streamed = StreamedCrops(paths, stack_of, row_of, channels, shape, dtype, real)
    if np.prod(shape, dtype=float) * dtype.itemsize > memory_share * available_memory():
        return streamed
    array = np.empty(shape, dtype=dtype)
    for number in range(len(paths)):
        here = np.flatnonzero(stack_of == number)
        array[here] = streamed.rows(here)
        streamed.close()
    return CropsInMemory(array, real)


def batches(numbers: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Consecutive pieces of `numbers` of at most `size`."""
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]
