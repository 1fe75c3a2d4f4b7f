"""A stage whose results do not fit on the disk is not started."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from nucprof.config import load_project
from nucprof.errors import MachineError
from nucprof.io.digest import sha256
from nucprof.io.images import read_image
from nucprof.run.pipeline import Run
from nucprof.stages import stage

SIDE, PATCH = 40, 12
LABELS = {1: (5, 5, 8, 8), 2: (5, 25, 8, 8), 3: (25, 5, 8, 8)}
CROPS = "[crop]\npatch_size = 12\n"


@pytest.fixture
def plate(masked_plate, paint):
    """Two fields of 40 x 40 px, 2 channels of uint16, with 3 cells each."""
    masked_plate.settings = CROPS
    image = np.random.default_rng(0).integers(100, 900, (2, SIDE, SIDE)).astype(np.uint16)
    for field in ("B-02-01", "B-02-02"):
        masked_plate.add(field, image, paint((SIDE, SIDE), LABELS))
    return masked_plate


@pytest.fixture
def free(monkeypatch):
    """Set the bytes that are free on the disk."""

    def leave(count: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=count))

    return leave


# crops: 6 cells x 2 channels x 12 x 12 px x 2 bytes; tables: 6 cells x 3000 bytes;
# masks: 2 fields x 40 x 40 px x 0.1 bytes
@pytest.mark.parametrize(
    ("before", "name", "needed"),
    [
        ((), "segment", 320),
        (("segment",), "crop", 6 * 2 * PATCH * PATCH * 2),
        (("segment",), "features", 6 * 3000),
    ],
)
def test_a_stage_that_does_not_fit_is_not_started(plate, free, before, name, needed):
    run, _ = plate.run("rename", *before)
    results = run.results.root
    was = {path: sha256(path) for path in results.rglob("*") if path.is_file()}
    free(needed - 1)
    with pytest.raises(MachineError) as caught:
        plate.run("rename", name)
    text = str(caught.value)
    assert f"{name} was not started: it will write about" in text
    assert str(results) in text
    assert "Free some space" in text
    assert caught.value.exit_status == 1
    now = {path: sha256(path) for path in results.rglob("*") if path.is_file()}
    assert now == was
    free(needed)
    _, found = plate.run("rename", name)
    assert found[name].status == "done"


def test_files_that_are_replaced_count_as_free(plate, free):
    plate.run("crop")
    free(0)
    _, found = plate.run("rename", "crop", force=True)
    assert found["crop"].status == "done"


def test_aligned_rounds_need_the_space_of_the_raw_ones(copied, free):
    results = copied.parent / "results"
    truth = sorted((results / "aligned").rglob("GT_*/*.tif"))
    needed = sum(read_image(path).nbytes for path in truth)
    shutil.rmtree(results / "aligned")
    project = load_project(copied)
    free(needed - 1)
    with pytest.raises(MachineError, match="align was not started"):
        Run(project).run_stage(stage("align"))
    assert not (results / "aligned").exists()
    free(needed)
    assert Run(project).run_stage(stage("align")).status == "done"
