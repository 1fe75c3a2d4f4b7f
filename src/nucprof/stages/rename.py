"""Map raw microscope names to field keys, and list which file holds which channel."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nucprof.config.models import IlluminationSettings, RenameSettings
from nucprof.io.digest import WHERE_IT_RUNS
from nucprof.io.results import Results
from nucprof.plate.keys import CP_ROUND, FieldKey
from nucprof.plate.layout import draw_plate
from nucprof.plate.words import several
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
    layouts,
    needs,
)

if TYPE_CHECKING:  # numpy would slow `nucprof --help`
    from nucprof.raw.illumination import RoundIllumination
    from nucprof.raw.round_files import Round


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
    illumination: IlluminationSettings
    rounds: tuple[Round, ...]
    exclude: tuple[str, ...]
    listing: dict[str, tuple[ListedFile, ...]]
    results: Results = dataclasses.field(metadata=WHERE_IT_RUNS)
    root: Path = dataclasses.field(metadata=WHERE_IT_RUNS)


@dataclass(frozen=True)
class RenameRecord:
    """Fields by round (``plate/round``), and the project's folder when they were listed.

    ``illumination``: what was estimated, a line per channel.
    """

    rounds: dict[str, int]
    root: str
    illumination: list[str] = dataclasses.field(default_factory=list)


def plan(context: Context) -> Plan[RenameJob]:
    """List the folders; their names, sizes and times decide the result."""
    from nucprof.raw.renaming import moved_from
    from nucprof.raw.rounds import image_files, list_rounds

    project = context.project
    rounds = list_rounds(project)
    folders = [r.folder for r in rounds]
    before = moved_from(undo_log(context.results), folders)  # a move does not change the result
    files = {f"{r.plate}/{r.name}": image_files(r, project.rename) for r in rounds}
    job = RenameJob(
        inputs=(),
        outputs=(context.results.images, *_illumination(context, rounds)),
        settings=project.rename,
        illumination=project.illumination,
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
    return Plan([job], consulted=(*folders, *listed))


def _illumination(context: Context, rounds: Sequence[Round]) -> list[Path]:
    """The files of the estimated illumination."""
    if context.project.illumination.method == "none":
        return []
    results = context.results
    images = [results.illumination(r.plate, r.name, name) for r in rounds for name in r.channels]
    return [*images, *(results.illumination_picture(r.plate, r.name) for r in rounds)]


def _listed(path: Path, name: str) -> ListedFile:
    status = path.stat()
    return ListedFile(name, status.st_size, status.st_mtime_ns)


def prepare(context: Context, plan: Plan[RenameJob], jobs: Sequence[RenameJob]) -> None:
    """Read the layouts, so that errors in them are found before anything else is done."""
    layouts(context.project)


def work(job: RenameJob) -> Outcome[RenameRecord]:
    """Read names and headers, estimate illumination and rename where asked, write the index."""
    from nucprof.io.tables import write_table
    from nucprof.raw.channels import incomplete, other_pixels, round_sources
    from nucprof.raw.illumination import estimate_round
    from nucprof.raw.index import index_rows, index_table
    from nucprof.raw.renaming import rename_files, rename_targets
    from nucprof.raw.rounds import excluded_in_vain, read_round, unpaired

    settings, results = job.settings, job.results
    read = [read_round(r, settings, job.exclude) for r in job.rounds]
    rows, warnings, counts, lines = [], [], {}, []
    painted = {f.round.plate: f.pixel_size_um for f in read if f.round.name == CP_ROUND}
    for found in read:
        sources, left_out = round_sources(found, settings, painted[found.round.plate])
        if job.illumination.method != "none":
            illumination = estimate_round(found.round, sources, job.illumination)
            illumination.write(results)
            _draw(illumination, results)
            sources = illumination.corrected(sources, results)
            lines += illumination.lines
            warnings += illumination.warnings
        rows += index_rows(found.round, sources, results.root)
        counts[f"{found.round.plate}/{found.round.name}"] = len(sources)
        warnings += [*found.warnings, *left_out, *incomplete(found.round, sources)]
        warnings += other_pixels(found, painted[found.round.plate])
    if settings.mode != "index":
        targets = rename_targets(read, settings, results)
        moved = rename_files(targets, settings.mode, undo_log(results))
        for row in rows:
            row["path"] = str(moved.get(Path(str(row["path"])), row["path"]))
    write_table(results.images, index_table(rows))
    record = RenameRecord(counts, str(job.root), lines)
    return Outcome(
        record, warnings=[*warnings, *unpaired(read), *excluded_in_vain(read, job.exclude)]
    )


def _draw(illumination: RoundIllumination, results: Results) -> None:
    from nucprof.figures.illumination import draw_illumination
    from nucprof.io.files import atomic

    r = illumination.round
    title = f"plate {r.plate}, round {r.name}: illumination, from {illumination.fields} fields"
    with atomic(results.illumination_picture(r.plate, r.name)) as temporary:
        draw_illumination(temporary, illumination.channels, title=title)


def finish(
    context: Context, plan: Plan[RenameJob], entries: Sequence[Entry[RenameRecord]]
) -> Summary:
    """Count fields by round."""
    (record,) = (entry.record for entry in entries)
    assert record is not None
    lines = [f"{name}: {several(n, 'field')}" for name, n in record.rounds.items()]
    lines += record.illumination
    summary = Summary([*plan.jobs[0].outputs], {"fields": record.rounds}, lines)
    for plate, layout in layouts(context.project).items():
        keys = (FieldKey.parse(f) for p, f in context.images.fields(CP_ROUND) if p == plate)
        wells = {key.well for key in keys}
        summary.lines += [f"layout of plate {plate}:", *draw_plate(layout, wells)]
        told = [*layout.strangers(wells), *layout.doubts()]
        summary.warnings += [f"layout of plate {plate}: {text}" for text in told]
    return summary


def undo_log(results: Results) -> Path:
    """The record of moved files, which ``--undo`` uses to move them back."""
    return results.folder("raw", "moved.json")


def undo(context: Context, value: bool, fields: Sequence[str]) -> ActionResult:
    """Restore the old names of moved files."""
    from nucprof.raw.renaming import undo_moves
    from nucprof.raw.rounds import list_rounds

    folders = [r.folder for r in list_rounds(context.project)]
    count = undo_moves(undo_log(context.results), folders)
    context.results.images.unlink(missing_ok=True)  # its paths are no longer valid
    return ActionResult([f"{count} files have their old names again."])


STAGE = Stage(
    name="rename",
    help="Map raw microscope names to field keys",
    sections=("rename", "illumination"),
    needs=needs(),
    makes=("images.csv", "illumination/ (where illumination.method is not none)"),
    plan=plan,
    prepare=prepare,
    work=work,
    finish=finish,
    record=RenameRecord,
    ledger=False,
    version=3,
    options=(StageOption("--undo", bool, "restore the old names of moved files", undo),),
)
