"""Map raw microscope names to field keys, and list which file holds which channel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nucprof.config.models import RenameSettings
from nucprof.io.index import index_table
from nucprof.io.renaming import rename_files
from nucprof.io.results import Results
from nucprof.io.tables import write_table
from nucprof.stages.base import WHOLE, Context, Entry, Job, Outcome, Plan, Summary
from nucprof.stages.raw_files import (
    Round,
    RoundFile,
    RoundFiles,
    assign_channels,
    channel_of_token,
    image_files,
    list_rounds,
    read_round,
    unpaired,
)


def plan(context: Context) -> Plan:
    """List the folders; their names, sizes and times decide the result."""
    project = context.project
    rounds = list_rounds(project)
    listing = {
        f"{r.plate}/{r.name}": [
            [path.name, path.stat().st_size, path.stat().st_mtime_ns]
            for path in image_files(r, project.rename)
        ]
        for r in rounds
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
    return Plan([job])


def work(job: Job) -> Outcome:
    """Read names and headers, rename where asked, and write ``images.csv``."""
    settings: RenameSettings = job.params["settings"]
    results: Results = job.runtime["results"]
    read = [read_round(r, settings, job.params["exclude"]) for r in job.params["rounds"]]
    rows = [row for found in read for row in index_rows(found, settings)]
    if settings.mode != "index":
        targets = [
            (file.path, target_name(found.round, file, settings, results))
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
        warnings=[text for found in read for text in found.warnings] + unpaired(read),
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


def finish(context: Context, plan: Plan, entries: Sequence[Entry]) -> Summary:
    """Count fields by round."""
    counts = entries[0].record["rounds"]
    lines = [f"{name}: {n} fields" for name, n in counts.items()]
    return Summary([context.results.images], {"fields": counts}, lines)


def target_name(r: Round, file: RoundFile, settings: RenameSettings, results: Results) -> Path:
    """Where a file goes in mode link (below the results) or move (in its own folder)."""
    key, token = file.parsed.key, file.parsed.channel
    one_per_channel = token is not None and "," not in token and len(r.channels) > 1
    suffix = f"_{channel_of_token(r, token or '', settings)}" if one_per_channel else ""
    folder = file.path.parent if settings.mode == "move" else results.folder("raw", r.plate, r.name)
    return folder / f"{key}{suffix}{file.path.suffix.lower()}"


def undo_log(results: Results) -> Path:
    """The record of the files moved, by which ``--undo`` moves them back."""
    return results.folder("raw", "moved.json")
