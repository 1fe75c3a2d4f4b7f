"""Map raw microscope names to field keys, and list which file holds which channel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nucprof.config.models import RenameSettings
from nucprof.io.results import Results
from nucprof.io.tables import write_table
from nucprof.plate.keys import FieldKey
from nucprof.raw.index import index_table
from nucprof.raw.renaming import moved_from, rename_files
from nucprof.raw.rounds import (
    Round,
    RoundFile,
    RoundFiles,
    assign_channels,
    channel_of_token,
    image_files,
    list_rounds,
    read_round,
    some,
    unpaired,
)
from nucprof.stages.base import WHOLE, Context, Entry, Job, Outcome, Plan, Summary


def plan(context: Context) -> Plan:
    """List the folders; their names, sizes and times decide the result."""
    project = context.project
    rounds = list_rounds(project)
    before = moved_from(undo_log(context.results))  # moving alone makes nothing new
    files = {f"{r.plate}/{r.name}": image_files(r, project.rename) for r in rounds}
    listing = {
        name: sorted(
            [before.get(path, path).name, path.stat().st_size, path.stat().st_mtime_ns]
            for path in paths
        )
        for name, paths in files.items()
    }
    params = {
        "settings": project.rename,
        "rounds": rounds,
        "exclude": project.project.exclude,
        "listing": listing,
    }
    job = Job(
        *WHOLE,
        inputs=(),
        outputs=(context.results.images,),
        params=params,
        runtime={"results": context.results},
    )
    listed = (path for paths in files.values() for path in paths)
    return Plan([job], consulted=(*(Path(r.folder) for r in rounds), *listed))


def work(job: Job) -> Outcome:
    """Read names and headers, rename where asked, and write ``images.csv``."""
    settings: RenameSettings = job.params["settings"]
    results: Results = job.runtime["results"]
    read = [read_round(r, settings, job.params["exclude"]) for r in job.params["rounds"]]
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
        {"rounds": {f"{f.round.plate}/{f.round.name}": len(f.fields) for f in read}},
        warnings=[
            *(text for found in read for text in found.warnings),
            *(text for found in read for text in incomplete(found.round, rows)),
            *unpaired(read),
        ],
    )


def index_rows(found: RoundFiles, settings: RenameSettings) -> list[dict[str, Any]]:
    """Rows of ``images.csv`` for a round."""
    r = found.round
    return [
        {
            "plate": r.plate,
            "well": str(key.well),
            "row": key.row,
            "column": key.column,
            "site": key.site,
            "round": r.name,
            "channel": channel,
            "path": str(path),
            "plane": plane,
        }
        for key, files in sorted(found.fields.items())
        for channel, (path, plane) in assign_channels(r, key, files, found.infos, settings).items()
    ]


def incomplete(r: Round, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Fields that lack the file of a channel."""
    held = defaultdict(set)
    for row in rows:
        if (row["plate"], row["round"]) == (r.plate, r.name):
            held[FieldKey(row["row"], row["column"], row["site"])].add(row["channel"])
    short = [
        f"{key} ({', '.join(name for name in r.channels if name not in channels)})"
        for key, channels in sorted(held.items())
        if len(channels) < len(r.channels)
    ]
    return [f"{r.text}: fields without the file of a channel: {some(short)}"] if short else []


def finish(context: Context, plan: Plan, entries: Sequence[Entry]) -> Summary:
    """Count fields by round."""
    counts = entries[0].record["rounds"]
    lines = [f"{name}: {n} fields" for name, n in counts.items()]
    return Summary([context.results.images], {"fields": counts}, lines)


def target_name(
    found: RoundFiles, file: RoundFile, alone: bool, settings: RenameSettings, results: Results
) -> Path:
    """Where a file goes in mode link (below the results) or move (in its own folder).

    ``alone``: no other file belongs to its field.
    """
    r, key, token = found.round, file.parsed.key, file.parsed.channel
    info = found.infos.get(file.path)
    whole = alone if info is None else info.planes > 1
    suffix = ""
    if token is not None and len(r.channels) > 1 and not whole:
        suffix = f"_{channel_of_token(r, token, settings)}"
    folder = file.path.parent if settings.mode == "move" else results.folder("raw", r.plate, r.name)
    return folder / f"{key}{suffix}{file.path.suffix.lower()}"


def undo_log(results: Results) -> Path:
    """The record of the files moved, by which ``--undo`` moves them back."""
    return results.folder("raw", "moved.json")
