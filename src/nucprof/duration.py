"""Times for people, the same in the terminal, the report and a training's lines."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """A time in its two largest units: ``3.2 s``, ``12 min 5 s``, ``12 min``, ``5 h 6 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min" + (f" {rest} s" if rest else "")
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")
