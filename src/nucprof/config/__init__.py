"""The project file and its models.

Names are resolved on first use: a segmentation backend imports the base of its settings from here
before the model of the project, which contains the settings of all backends, exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nucprof.config.load import load_project
    from nucprof.config.project import Project
    from nucprof.config.setting import Section

__all__ = ["Project", "Section", "load_project"]


def __getattr__(name: str) -> Any:
    if name == "load_project":
        from nucprof.config.load import load_project

        return load_project
    if name == "Project":
        from nucprof.config.project import Project

        return Project
    if name == "Section":
        from nucprof.config.setting import Section

        return Section
    raise AttributeError(name)
