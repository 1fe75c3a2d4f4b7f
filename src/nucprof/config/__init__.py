"""The project file and its models."""

from nucprof.config.models import Section
from nucprof.config.project import CP_ROUND, Project, load_project

__all__ = ["CP_ROUND", "Project", "Section", "load_project"]
