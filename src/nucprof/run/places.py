"""Paths in journal, manifest and definitions: relative to the project or the results.

A project that is moved or renamed with its images and results therefore stays up to date.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_RESULTS, _PROJECT = "<results>/", "<project>/"


@dataclass(frozen=True)
class Places:
    """The folders that paths are written relative to.

    Parameters
    ----------
    root : Path
        The folder of the project file.
    results : Path
        The output folder.
    """

    root: Path
    results: Path

    def write(self, path: Path) -> str:
        """Write a path, relative if it is below the results or the project."""
        if path.is_relative_to(self.results):
            return _RESULTS + path.relative_to(self.results).as_posix()
        if path.is_relative_to(self.root):
            return _PROJECT + path.relative_to(self.root).as_posix()
        return path.as_posix()

    def read(self, text: str) -> Path:
        """Read a path that :meth:`write` wrote; ``..`` is resolved."""
        for mark, folder in ((_RESULTS, self.results), (_PROJECT, self.root)):
            if text.startswith(mark):
                return Path(os.path.normpath(folder / text.removeprefix(mark)))
        return Path(os.path.normpath(text))
