"""Disk space is looked at before a stage starts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from nucprof.errors import MachineError
from nucprof.stages.base import Context, Job, Stage


def require_space(stage: Stage, context: Context, jobs: Sequence[Job], folder: Path) -> None:
    """Refuse to start jobs whose results do not fit on the disk.

    Files that the jobs will replace count as free, because they are replaced one by one.

    Raises
    ------
    MachineError
        Naming the space that is needed, the space that is free, and the folder.
    """
    needed = stage.space(context, jobs)
    if not needed:
        return
    outputs = [path for job in jobs for path in job.outputs]
    needed -= sum(path.stat().st_size for path in outputs if path.is_file())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise MachineError(
            f"{stage.command} was not started: it will write about {_size(needed)}, and "
            f"{_size(free)} are free in {folder}. Free some space, or set project.output to a "
            "folder on another disk."
        )


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
