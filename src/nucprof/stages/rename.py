"""Map raw microscope names to field keys, and list which file holds which channel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nucprof.config.models import RenameSettings
from nucprof.io.results import Results
from nucprof.io.tables import write_table
from nucprof.raw.channels import incomplete, round_sources
from nucprof.raw.index import index_rows, index_table
from nucprof.raw.renaming import moved_from, rename_files, rename_targets
from nucprof.raw.rounds import image_files, list_rounds, read_round, unpaired
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
    rows, warnings, counts = [], [], {}
    for found in read:
        sources, left_out = round_sources(found, settings)
        rows += index_rows(found.round, sources, found.pixel_size_um)
        counts[f"{found.round.plate}/{found.round.name}"] = len(sources)
        warnings += [*found.warnings, *left_out, *incomplete(found.round, sources)]
    if settings.mode != "index":
        targets = rename_targets(read, settings, results)
        moved = rename_files(targets, settings.mode, undo_log(results))
        for row in rows:
            row["path"] = str(moved.get(Path(str(row["path"])), row["path"]))
    write_table(results.images, index_table(rows))
    return Outcome(
        {"rounds": counts},
        warnings=[*warnings, *unpaired(read)],
    )


def finish(context: Context, plan: Plan, entries: Sequence[Entry]) -> Summary:
    """Count fields by round."""
    counts = entries[0].record["rounds"]
    lines = [f"{name}: {n} fields" for name, n in counts.items()]
    return Summary([context.results.images], {"fields": counts}, lines)


def undo_log(results: Results) -> Path:
    """The record of the files moved, by which ``--undo`` moves them back."""
    return results.folder("raw", "moved.json")
