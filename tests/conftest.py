"""Fixtures and habits that all tests share."""

from __future__ import annotations

import gc
import os
import shutil
from pathlib import Path

import psutil
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).parents[1]


def pytest_configure(config: pytest.Config) -> None:
    """Keep workers x threads small, and settings of the developer's shell out of the tests."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # how long an example takes depends on what else runs on the machine
    settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy")
    for name in [name for name in os.environ if name.startswith("NUCPROF_")]:
        del os.environ[name]


@pytest.fixture(autouse=True)
def _no_file_left_open(request: pytest.FixtureRequest):
    """Fail a test that leaves an image or table open: on Windows nobody could replace it."""
    before = _open_files()
    yield
    if _open_files() - before:
        gc.collect()  # when an error that refers to its frames goes is not ours to say
    left = _open_files() - before
    assert not left, f"left open: {sorted(left)}"


def _open_files() -> set[str]:
    """Images and tables that this process has open."""
    endings = (".tif", ".nd2", ".parquet", ".csv", ".jsonl", ".xlsx")
    return {f.path for f in psutil.Process().open_files() if f.path.endswith(endings)}


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real images that lie beside the checkout; a test that needs them is skipped without."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real images (../shared/data) are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def processed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project file of a small co-culture plate that every stage has run on; do not change it.

    A test that changes files takes a copy (:func:`copied`). The workers of a test run share it.
    """
    from plates import make_processed

    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "processed"
    with FileLock(f"{shared}.lock"):
        project = shared / "plate" / "project.toml"
        if not (shared / "done").is_file():
            make_processed(shared / "plate")
            (shared / "done").touch()
    return project


@pytest.fixture
def copied(processed: Path, tmp_path: Path) -> Path:
    """The project file of a copy of :func:`processed`, in another place."""
    shutil.copytree(processed.parent, tmp_path / "copy")
    return tmp_path / "copy" / processed.name
