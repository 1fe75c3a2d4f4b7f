"""Map raw microscope names to field keys, and list which file holds which channel."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nucprof.config.models import RenameSettings
from nucprof.io.digest import WHERE_IT_RUNS
from nucprof.io.results import Results
from nucprof.stages.base import (
    ActionResult,
    Context,
    Entry,
    Job,
    Outcome,
    Plan,
    Stage,
    StageOption,
    Summary,
    needs,
)

if TYPE_CHECKING:  # numpy would slow `nucprof --help`
    from nucprof.raw.rounds import Round


@dataclass(frozen=True)
class ListedFile:
    """A raw file as its folder lists it, under the name that it had before it was moved."""

    name: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, kw_only=True)
class RenameJob(Job):
    """All rounds of all plates: their folders, and the files in them."""

    settings: RenameSettings
    rounds: tuple[Round, ...]
    exclude: tuple[str, ...]
    listing: dict[str, tuple[ListedFile, ...]]
    results: Results = dataclasses.field(metadata=WHERE_IT_RUNS)
    root: Path = dataclasses.field(metadata=WHERE_IT_RUNS)


@dataclass(frozen=True)
class RenameRecord:
    """Fields by round (``plate/round``), and the project's folder when they were listed."""

    rounds: dict[str, int]
    root: str


def plan(context: Context) -> Plan[RenameJob]:
    """List the folders; their names, sizes and times decide the result."""
    from nucprof.raw.renaming import moved_from
    from nucprof.raw.rounds import image_files, list_rounds

    project = context.project
    rounds = list_rounds(project)
    before = moved_from(undo_log(context.results))  # moving alone makes nothing new
    files = {f"{r.plate}/{r.name}": image_files(r, project.rename) for r in rounds}
    job = RenameJob(
        inputs=(),
        outputs=(context.results.images,),
        settings=project.rename,
        rounds=tuple(rounds),
        exclude=tuple(project.project.exclude),
        listing={
            name: tuple(_listed(path, before.get(path, path).name) for path in paths)
            for name, paths in files.items()
        },
        results=context.results,
        root=project.root,
    )
    listed = (path for paths in files.values() for path in paths)
    return Plan([job], consulted=(*(r.folder for r in rounds), *listed))


def _listed(path: Path, name: str) -> ListedFile:
    status = path.stat()
    return ListedFile(name, status.st_size, status.st_mtime_ns)


def work(job: RenameJob) -> Outcome[RenameRecord]:
    """Read names and headers, rename where asked, and write ``images.csv``."""
    from nucprof.io.tables import write_table
    from nucprof.raw.index import incomplete, index_rows, index_table
    from nucprof.raw.renaming import rename_files, target_name
    from nucprof.raw.rounds import read_round, unpaired

    settings, results = job.settings, job.results
    read = [read_round(r, settings, job.exclude) for r in job.rounds]
    rows = [row for found in read for row in index_rows(found, settings)]
    if settings.mode != "index":
        targets = [
            (file.path, target_name(found, file, len(files) == 1, settings, results))
            for found in read
            for files in found.fields.values()
            for file in files
        ]
        moved = rename_files(targets, settings.mode, undo_log(results))
        for row in rows:
            row["path"] = str(moved.get(Path(row["path"]), row["path"]))
    write_table(results.images, index_table(rows))
    return Outcome(
        RenameRecord(
            {f"{f.round.plate}/{f.round.name}": len(f.fields) for f in read}, str(job.root)
        ),
        warnings=[
            *(text for found in read for text in found.warnings),
            *(text for found in read for text in incomplete(found.round, rows)),
            *unpaired(read),
        ],
    )


def finish(
    context: Context, plan: Plan[RenameJob], entries: Sequence[Entry[RenameRecord]]
) -> Summary:
    """Count fields by round."""
    (record,) = (entry.record for entry in entries)
    assert record is not None
    lines = [f"{name}: {n} fields" for name, n in record.rounds.items()]
    return Summary([context.results.images], {"fields": record.rounds}, lines)


def undo_log(results: Results) -> Path:
    """The record of the files moved, by which ``--undo`` moves them back."""
    return results.folder("raw", "moved.json")


def undo(context: Context, value: bool, fields: Sequence[str]) -> ActionResult:
    """Give moved files their old names back."""
    from nucprof.raw.renaming import undo_moves

    count = undo_moves(undo_log(context.results))
    context.results.images.unlink(missing_ok=True)  # its paths lead nowhere now
    return ActionResult([f"{count} files have their old names back."])


STAGE = Stage(
    name="rename",
    help="Map raw microscope names to field keys",
    sections=("rename",),
    needs=needs(),
    makes=("images.csv",),
    plan=plan,
    work=work,
    finish=finish,
    record=RenameRecord,
    ledger=False,
    options=(StageOption("--undo", bool, "give moved files their old names back", undo),),
)
