"""On a real Dask cluster the results are those of a local run, also after a worker was killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from reruns import differing

from nucprof.config import load_project
from nucprof.demo.plate import write_demo
from nucprof.run.pipeline import Run
from nucprof.stages import stage

SCRIPT = Path(__file__).parents[1] / "helpers" / "dask_run.py"
SETTINGS = '\n[segment]\nbackend = "watershed"\n[execution]\nworkers = 1\n'
STAGES = ("rename", "segment", "align", "crop", "features", "gate")


def make(folder: Path) -> Path:
    plate = write_demo(
        folder, wells={"astro": ["B02", "B03"], "neuro": ["C02", "C03"]}, shape=(150, 170), cells=10
    )
    with plate.project.open("a", encoding="utf-8") as file:
        file.write(SETTINGS)
    return plate.project


@pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL")
def test_dask_gives_the_bytes_of_a_local_run_also_when_a_worker_dies(tmp_path: Path) -> None:
    local, killed = make(tmp_path / "local"), make(tmp_path / "killed")
    run = Run(load_project(local))
    for name in STAGES:
        assert run.run_stage(stage(name)).status == "done"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(killed), "kill"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, other = local.parent / "results", killed.parent / "results"
    assert differing(one, other) == set()
    for pattern in ("*.parquet", "*.tif", "registration.csv"):
        names = {path.relative_to(one) for path in one.rglob(pattern)}
        assert names
        assert names == {path.relative_to(other) for path in other.rglob(pattern)}


def test_runs_are_importable_without_dask() -> None:
    # distributed is an extra: nothing but an open scheduler may import it
    code = "import sys, nucprof.run.pipeline; assert 'distributed' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
