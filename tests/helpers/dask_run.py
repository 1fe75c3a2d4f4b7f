"""Run stages of a project on a real Dask cluster of two worker processes, killing one on request.

Usage: dask_run.py PROJECT kill|keep
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from distributed import Client, LocalCluster

from nucprof.config import load_project
from nucprof.run.pipeline import Run
from nucprof.run.reporter import Silent
from nucprof.stages import stage


class Killer(Silent):
    """Kills one worker process when the first field of a stage is finished."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.killed = 0

    def job_done(self, of, entry) -> None:
        if of.name == "features" and not self.killed:
            self.killed = min(self.client.run(os.getpid).values())
            os.kill(self.killed, signal.SIGKILL)


def main(project: Path, kill: bool) -> None:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        settings = load_project(project, {"execution": {"scheduler": cluster.scheduler_address}})
        reporter = Killer(client) if kill else Silent()
        run = Run(settings, reporter=reporter)
        for name in ("rename", "segment", "align", "crop", "features", "gate"):
            result = run.run_stage(stage(name))
            assert result.status == "done", (name, result.failed)
        assert not kill or reporter.killed


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] == "kill")
