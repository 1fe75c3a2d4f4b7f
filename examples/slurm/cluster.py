"""Run a nucprof command with workers that SLURM starts.

``python cluster.py --jobs 8 --queue normal -- run-all project.toml``

Everything after ``--`` is the nucprof command. Its progress, warnings and exit status are those of
a local run. The jobs are cancelled when it ends.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from dask_jobqueue import SLURMCluster


def main() -> int:
    """Ask SLURM for workers, wait for the first one, and run the command."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--jobs", type=int, default=2, help="number of SLURM jobs")
    options.add_argument("--queue", help="partition; default: that of your cluster")
    options.add_argument("--account", help="account that is charged")
    options.add_argument("--memory", default="6GB", help="memory of a job")
    options.add_argument("--walltime", default="04:00:00", help="time of a job")
    options.add_argument("--interface", help="network of the nodes, e.g. ib0")
    options.add_argument("--wait", type=float, default=3600, help="seconds to wait for a worker")
    options.add_argument("command", nargs=argparse.REMAINDER, help="-- nucprof command")
    given = options.parse_args()
    command = [word for word in given.command if word != "--"]

    with SLURMCluster(
        queue=given.queue,
        account=given.account,
        cores=1,  # one field at a time
        processes=1,
        memory=given.memory,
        walltime=given.walltime,
        interface=given.interface,
    ) as cluster:
        cluster.scale(jobs=given.jobs)
        with cluster.get_client() as client:
            print(f"Waiting for a worker; SLURM was asked for {given.jobs} jobs.")
            client.wait_for_workers(1, timeout=given.wait)
        # --workers: so many fields are sent at a time that every job has one and one waits for it
        where = ["--scheduler", cluster.scheduler_address, "--workers", str(given.jobs)]
        return subprocess.call([sys.executable, "-m", "nucprof", *command, *where])


if __name__ == "__main__":
    sys.exit(main())
