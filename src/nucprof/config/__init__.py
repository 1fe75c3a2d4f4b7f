"""The project file and its models."""

from nucprof.config.models import CP_ROUND, Section
from nucprof.config.project import Project, load_project

__all__ = ["CP_ROUND", "Project", "Section", "load_project"]
