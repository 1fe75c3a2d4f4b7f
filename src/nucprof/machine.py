"""What this machine offers to this process."""

from __future__ import annotations

import os

import psutil


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_share() -> int:
    """Threads that this worker process may use: its share of the cores, 1 where nobody said."""
    return int(os.environ.get("OMP_NUM_THREADS", "1").split(",")[0])


def available_memory() -> int:
    """Bytes of memory that could be taken now without swapping."""
    return int(psutil.virtual_memory().available)
