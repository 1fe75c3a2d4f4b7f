"""A run that is killed again and again, at any moment, ends with the results of one that is not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from reruns import differing, run_all

pytestmark = [
    pytest.mark.kind("lost"),
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="kills process groups"),
    pytest.mark.timeout(3600),
]
# The suite kills a few times; NUCPROF_KILLS=25 is the whole harness.
KILLS = int(os.environ.get("NUCPROF_KILLS", "4"))


def test_a_run_that_is_killed_again_and_again(processed, tmp_path):
    folder = tmp_path / "killed"
    shutil.copytree(processed.parent, folder, ignore=shutil.ignore_patterns("results"))
    words = run_all(folder / "project.toml")
    rng = np.random.default_rng(1)
    for _ in range(KILLS):
        run = subprocess.Popen(
            [*words, "--workers", "2"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        time.sleep(rng.uniform(0.5, 12))
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert differing(processed.parent / "results", folder / "results") == set()
    assert not list(folder.rglob(".tmp-*"))
