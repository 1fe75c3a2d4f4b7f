"""nucprof: who is who in a dense mixed culture, cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nucprof.version import __version__

if TYPE_CHECKING:
    from nucprof.project.reader import ProjectResults, open_project

__all__ = ["ProjectResults", "__version__", "open_project"]


def __getattr__(name: str) -> Any:
    # The reader takes pandas with it, which no command line needs to start.
    if name in ("open_project", "ProjectResults"):
        from nucprof.project import reader

        return getattr(reader, name)
    raise AttributeError(f"module 'nucprof' has no attribute '{name}'")
