"""What this machine offers to this process."""

from __future__ import annotations

import os

import psutil


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_memory() -> int:
    """Bytes of memory that could be taken now without swapping."""
    return int(psutil.virtual_memory().available)
