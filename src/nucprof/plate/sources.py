"""Where the pixels of a channel are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A file, and the plane of it that holds a channel, counted from 0."""

    path: Path
    plane: int = 0
