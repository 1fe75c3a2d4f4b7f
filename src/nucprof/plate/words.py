"""Words for messages: counted things, and the first few names of many."""

from __future__ import annotations

from collections.abc import Sequence

_BREAKS = str.maketrans({"\n": "\\n", "\r": "\\r"})
"""A name with a line break must not look like a line of ours."""


def several(number: int, what: str) -> str:
    """A number and the thing that is counted: ``1 well``, ``2 wells``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def some(names: Sequence[str], most: int = 5) -> str:
    """The first few names, and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(name.translate(_BREAKS) for name in names[:most]) + more
