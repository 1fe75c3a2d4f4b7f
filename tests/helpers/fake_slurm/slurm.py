"""A SLURM of one computer: ``sbatch SCRIPT`` starts the job's script, ``scancel ID`` ends it.

Called as ``slurm.py sbatch SCRIPT`` or ``slurm.py scancel ID``; the jobs' process ids are kept as
files in the folder that FAKE_SLURM names.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

JOBS = Path(os.environ["FAKE_SLURM"])


def sbatch(script: str) -> None:
    """Start a job as a process of its own; print what SLURM prints."""
    number = os.getpid()  # jobs are submitted at the same time
    with (JOBS / f"{number}.out").open("wb") as output:
        job = subprocess.Popen(
            ["bash", script], stdout=output, stderr=output, start_new_session=True
        )
    (JOBS / f"{number}.pid").write_text(str(job.pid))
    (JOBS / f"{number}.sh").write_text(Path(script).read_text())
    print(f"Submitted batch job {number}")


def scancel(*numbers: str) -> None:
    """End jobs and what they started."""
    for number in numbers:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int((JOBS / f"{number}.pid").read_text()), signal.SIGTERM)
        (JOBS / f"{number}.cancelled").touch()


if __name__ == "__main__":
    {"sbatch": sbatch, "scancel": scancel}[sys.argv[1]](*sys.argv[2:])
