"""The shape of the code: no circle of imports, one file or package per stage."""

from __future__ import annotations

from pathlib import Path

import grimp

import nucprof
from nucprof.stages import STAGES

SOURCE = Path(nucprof.__file__).parent


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = grimp.build_graph("nucprof", cache_dir=None)
    left = {
        module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules
    }
    while True:  # take away what imports nothing that is left: circles remain
        free = {module for module, imports in left.items() if not imports & set(left)}
        if not free:
            break
        left = {module: imports for module, imports in left.items() if module not in free}
    assert not left, f"circles among {sorted(left)}"


def test_a_stage_is_one_file_or_package_of_its_name() -> None:
    names = {stage.name.replace("-", "_") for stage in STAGES}
    stages = SOURCE / "stages"
    files = {path.stem for path in stages.glob("*.py")}
    packages = {path.parent.name for path in stages.glob("*/__init__.py")}
    assert files | packages == names | {"__init__", "base"}
    assert not files & packages


def test_the_package_says_that_it_is_typed() -> None:
    assert (SOURCE / "py.typed").is_file()
