"""The defaults of the project file's settings, as the manifest writes values."""

from __future__ import annotations

from typing import Any

from nucprof.config.project import Project
from nucprof.io.digest import canonical

NO_DEFAULT = object()
"""What :func:`default_of` returns of a key that does not exist, or that must be given."""


def default_of(dotted: str) -> Any:
    """The default of a setting by its dotted name, e.g. ``train.rf.evaluation``."""
    *sections, key = dotted.split(".")
    model: Any = Project
    for part in sections:
        model = getattr(model.model_fields.get(part), "annotation", None)
        if not hasattr(model, "model_fields"):
            return NO_DEFAULT
    info = model.model_fields.get(key)
    if info is None or info.is_required():
        return NO_DEFAULT
    return canonical(info.get_default(call_default_factory=True))
