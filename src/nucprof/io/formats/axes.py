"""Axes by letter, as tifffile and nd2 name them: which is what, and where a plane lies."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from nucprof.errors import FieldError
from nucprof.io.formats.base import CHANNEL_AXES, MOST_CHANNELS, POSITION_AXES


@dataclass(frozen=True)
class Axes:
    """The axes of an array, e.g. ``TZCYX``, and their lengths."""

    letters: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, letters: str, shape: tuple[int, ...], path: Path) -> Axes:
        """Check the axes of a file; raises :class:`FieldError` for those that are not read."""
        if letters[-3:-2] in ("Q", "I") and shape[-1] <= MOST_CHANNELS < shape[-3]:
            letters = letters[:-3] + "YXC"  # a channels-last array whose axes nothing names
        if "Y" not in letters or "X" not in letters:
            raise FieldError(f"{path} has no image plane: its axes are {letters}.")
        known = "YXZT" + CHANNEL_AXES + POSITION_AXES
        strange = [
            f"{letter} ({length})"
            for letter, length in zip(letters, shape, strict=True)
            if length > 1 and letter not in known
        ]
        if strange:
            raise FieldError(
                f"{path} has several planes along {', '.join(strange)} of its axes {letters}; "
                "nucprof reads positions, times, focal planes (Z) and channels. Export single "
                "planes or maximum projections."
            )
        return cls(letters, tuple(shape))

    def length(self, kinds: str) -> int:
        """Number of planes along the axes of some letters together."""
        return prod(n for a, n in zip(self.letters, self.shape, strict=True) if a in kinds)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.length(CHANNEL_AXES)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.length("Y"), self.length("X")

    def index(self, position: int, time: int, z: int) -> tuple[int | slice, ...]:
        """Index of one focal plane, all its channels, in an array with these axes."""
        at = {"T": time, "Z": z, **dict.fromkeys(POSITION_AXES, position)}
        return tuple(
            (0 if n == 1 else at.get(a, 0)) if a not in "YX" + CHANNEL_AXES else slice(None)
            for a, n in zip(self.letters, self.shape, strict=True)
        )

    def channels_first(self, plane: np.ndarray) -> np.ndarray:
        """Turn what :meth:`index` takes out of the array into ``(C, H, W)``."""
        left = [a for a in self.letters if a in "YX" + CHANNEL_AXES]
        channels = [i for i, a in enumerate(left) if a not in "YX"]
        order = [*channels, left.index("Y"), left.index("X")]
        return np.transpose(plane, order).reshape(self.channels, *self.size)
