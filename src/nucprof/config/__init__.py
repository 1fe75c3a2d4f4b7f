"""The project file and its models."""

from nucprof.config.load import load_project
from nucprof.config.models import Section
from nucprof.config.project import Project

__all__ = ["Project", "Section", "load_project"]
