"""Nikon .nd2: positions, times, focal planes and channels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nucprof.errors import FieldError
from nucprof.io.formats.axes import Axes
from nucprof.io.formats.base import ImageInfo, Position, complete_names, square


class Nd2Reader:
    """Reads .nd2 files with the nd2 library."""

    def info(self, path: Path) -> ImageInfo:
        """Read what a file holds."""
        with _open(path) as (file, axes):
            channels = getattr(file.metadata, "channels", None) or ()
            calibrated = channels and channels[0].volume.axesCalibrated[0]
            return ImageInfo(
                axes.channels,
                *axes.size,
                dtype=str(file.dtype),
                names=complete_names([c.channel.name for c in channels], axes.channels),
                pixel_size_um=square(*file.voxel_size()[:2]) if calibrated else None,
                z=axes.length("Z"),
                times=axes.length("T"),
                positions=_positions(file, axes),
            )

    def planes(
        self, path: Path, position: int, time: int, z: Sequence[int]
    ) -> Iterator[np.ndarray]:
        """Read focal planes ``(C, H, W)`` of a position and time point, one after the other."""
        with _open(path) as (file, axes):
            for plane in z:
                number = _number(axes, position, time, plane)
                if number >= file.attributes.sequenceCount:
                    raise FieldError(  # the library would return zeros
                        f"{path} ends before position {position + 1}, time {time + 1}, focal plane "
                        f"{plane + 1}: the acquisition stopped early. Leave this field out "
                        "(project.exclude), or choose planes that were taken."
                    )
                yield _frame(file, axes, number)


@contextmanager
def _open(path: Path) -> Iterator[tuple[Any, Axes]]:
    import nd2

    with nd2.ND2File(path) as file:
        axes = Axes.of("".join(file.sizes), tuple(file.sizes.values()), path)
        yield file, axes


def _number(axes: Axes, position: int, time: int, z: int) -> int:
    """Number of a frame in the file, in the order of its loops."""
    at = {"P": position, "T": time, "Z": z}
    loops = {a: axes.length(a) for a in axes.letters if a in at}
    index = [min(at[a], n - 1) for a, n in loops.items()]
    return int(np.ravel_multi_index(index, tuple(loops.values()))) if loops else 0


def _positions(file: Any, axes: Axes) -> tuple[Position, ...]:
    count = axes.length("P")
    loops = (loop for loop in file.experiment if loop.type == "XYPosLoop")
    points = [point.name or "" for loop in loops for point in loop.parameters.points]
    names = points if len(points) == count else [""] * count
    taken = file.attributes.sequenceCount
    last = [_number(axes, i, axes.length("T") - 1, axes.length("Z") - 1) for i in range(count)]
    return tuple(
        Position(name, complete=number < taken) for name, number in zip(names, last, strict=True)
    )


def _frame(file: Any, axes: Axes, number: int) -> np.ndarray:
    """One frame; the library drops axes of length 1, and puts the samples last."""
    height, width = axes.size
    frame = np.reshape(file.read_frame(number), (axes.length("C"), height, width, -1))
    samples_first = np.moveaxis(frame, -1, 1)
    return np.array(
        samples_first.reshape(axes.channels, height, width)
    )  # a copy, independent of the file's memory
