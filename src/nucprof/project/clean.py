"""What can be deleted from the results and made again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nucprof.errors import UserError
from nucprof.run.pipeline import Run
from nucprof.stages import STAGES
from nucprof.stages.base import Stage

#: The index of images and, with ``--mode move``, the images themselves: never deleted.
KEPT = ("rename",)


@dataclass(frozen=True)
class Removable:
    """Results of one stage that can be made again.

    Attributes
    ----------
    stage : Stage
    files : tuple of Path
        Files that the journal or the manifest names; nothing else is ever deleted.
    size : int
        Their bytes.
    seconds : float
        How long the stage ran when it made them.
    """

    stage: Stage
    files: tuple[Path, ...]
    size: int
    seconds: float


def removable(run: Run) -> list[Removable]:
    """What every stage has on disk, in the order of the stages; stages without files are absent."""
    found = []
    for stage in STAGES:
        if stage.name in KEPT:
            continue
        files = [path for path in _files(run, stage) if path.is_file()]
        if files:
            record = run.manifest.stages.get(stage.name)
            size = sum(path.stat().st_size for path in files)
            found.append(Removable(stage, tuple(files), size, record.seconds if record else 0.0))
    return found


def chosen(found: Sequence[Removable], names: Sequence[str]) -> list[Removable]:
    """Those of the named stages.

    Raises
    ------
    UserError
        A name is not that of a stage with files that can be deleted.
    """
    known = {item.stage.name: item for item in found}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(
            f"--stage {unknown[0]}: there is nothing to delete of this name; "
            f"choose from: {', '.join(known) or 'nothing'}"
        )
    return [item for name, item in known.items() if name in names]


def remove(run: Run, items: Sequence[Removable]) -> int:
    """Delete the files and the folders that are then empty; returns the bytes freed."""
    folders: set[Path] = set()
    for item in items:
        for path in item.files:
            path.unlink(missing_ok=True)
            folders.update(p for p in path.parents if p.is_relative_to(run.results.root))
    for folder in sorted(folders - {run.results.root}, key=lambda f: -len(f.parts)):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return sum(item.size for item in items)


def _files(run: Run, stage: Stage) -> list[Path]:
    """Files of a stage below the results, of every name that it was run under."""
    root = run.results.root.resolve()
    names = {name.partition("@")[2] or "default" for name in run.manifest.stages
             if name.partition("@")[0] == stage.name}  # fmt: skip
    paths: set[Path] = set()
    for name in sorted(names):
        own = Run(run.project, name=name)
        record = own.manifest.stages[own.record_name(stage)]
        paths.update(own.results.absolute(text) for text in record.outputs)
        for entry in own.entries(stage.name).values():
            paths.update(Path(path) for path in entry.outputs)
    # A state file could name anything: only what lies below the results is ours.
    return sorted(path for path in paths if path.resolve().is_relative_to(root))
