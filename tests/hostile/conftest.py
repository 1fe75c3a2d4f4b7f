"""Prepared projects for hostile cases, each a copy, and the kind of every test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hostile import KINDS, Case, meet


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker by which tests that are not in a table name their kind."""
    config.addinivalue_line("markers", "kind(name): the kind of a hostile case, of hostile.KINDS")


def kind_of(item: pytest.Item) -> str:
    """The kind of a test: that of its case, or of its marker."""
    call = getattr(item, "callspec", None)
    if call is not None and isinstance(call.params.get("case"), Case):
        return call.params["case"].kind
    marker = item.get_closest_marker("kind")
    return marker.args[0] if marker else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here is of a kind, by which ``docs/reliability.md`` counts it."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            assert kind_of(item) in {*KINDS, "frame"}, f"{item.nodeid} is of no kind"
            item.user_properties.append(("kind", kind_of(item)))


@pytest.fixture
def plate_of(processed: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Make the folder of a prepared project: ``processed``, ``raw`` or ``none``."""

    def make(plate: str) -> Path:
        folder = tmp_path / "plate"
        if plate == "none":
            folder.mkdir()
            return folder
        left = shutil.ignore_patterns("results") if plate == "raw" else None
        return Path(shutil.copytree(processed.parent, folder, ignore=left))

    return make


@pytest.fixture
def run_case(plate_of: Callable[[str], Path], capsys, monkeypatch) -> Callable[[Case], None]:
    """Run a case on a copy of its plate, from within its folder."""

    def run(case: Case) -> None:
        folder = plate_of(case.plate)
        monkeypatch.chdir(folder)
        meet(case, folder, capsys)

    return run
