"""What ``segment`` leaves for a person to look at: figures per field, flags, and overlays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nucprof.core.sample import evenly_spaced
from nucprof.io.images import read_channels, read_labels
from nucprof.io.pictures import write_picture
from nucprof.io.tables import write_table
from nucprof.plate.keys import FieldKey
from nucprof.stages.base import Context, Entry, Job, Plan, Summary

#: Fields per plate whose overlay is drawn whether flagged or not.
SAMPLE = 6
_DIGITS = 6


def report_quality(
    context: Context, plan: Plan, entries: Sequence[Entry], summary: Summary
) -> None:
    """Write ``segment/qc.csv`` and the overlays, and tell of fields that stand out."""
    import pandas as pd

    from nucprof.core.quality import RULES

    folder = context.results.folder("segment")
    rows: list[dict[str, object]] = []
    wanted: set[tuple[str, str]] = set()
    for plate in dict.fromkeys(entry.plate for entry in entries):
        measured = [e for e in entries if e.plate == plate and "quality" in e.record]
        rows += quality_rows(measured)
        wanted |= set(evenly_spaced([entry.key for entry in measured], SAMPLE))
    flagged = {(str(row["plate"]), str(row["field"])) for row in rows if row["flag"]}
    columns = ["plate", "well", "site", *(rule.name for rule in RULES), "flag", "reason"]
    write_table(folder / "qc.csv", pd.DataFrame(rows, columns=columns))
    summary.outputs.append(folder / "qc.csv")
    write_overlays(folder / "overlays", [j for j in plan.jobs if j.key in wanted | flagged])
    summary.counts["flagged"] = len(flagged)
    summary.lines.append(f"look at them: {folder / 'overlays'}")
    if flagged:
        names = ", ".join("/".join(key) for key in sorted(flagged)[:3])
        more = ", ..." if len(flagged) > 3 else ""
        summary.warnings.append(
            f"{len(flagged)} of {len(rows)} fields stand out ({names}{more}); "
            f"why is in {folder / 'qc.csv'}"
        )


def quality_rows(entries: Sequence[Entry]) -> list[dict[str, object]]:
    """Rows of ``qc.csv`` for the fields of one plate, with ``field`` beside the columns."""
    from nucprof.core.quality import RULES, flag_fields

    figures = {
        rule.name: [float(entry.record["quality"][rule.name]) for entry in entries]
        for rule in RULES
    }
    rows: list[dict[str, object]] = []
    for k, (entry, reasons) in enumerate(zip(entries, flag_fields(figures), strict=True)):
        key = FieldKey.parse(entry.field)
        values = {name: round(column[k], _DIGITS) for name, column in figures.items()}
        rows.append(
            {
                "field": entry.field,
                "plate": entry.plate,
                "well": str(key.well),
                "site": key.site,
                **values,
                "objects": int(values["objects"]),
                "flag": bool(reasons),
                "reason": "; ".join(reasons),
            }
        )
    return rows


def write_overlays(folder: Path, jobs: Sequence[Job]) -> None:
    """Draw the masks of some fields, and remove overlays of others."""
    wanted = {overlay_path(folder, job) for job in jobs}
    for path in folder.glob("*/*.png"):
        if path not in wanted:
            path.unlink()
    for job in jobs:
        write_overlay(overlay_path(folder, job), job)


def overlay_path(folder: Path, job: Job) -> Path:
    """Where the overlay of a field lies."""
    return folder / job.plate / f"{job.field}.png"


def write_overlay(path: Path, job: Job) -> None:
    """Draw the masks that a finished job has written on the images that it read."""
    from nucprof.figures.overlay import CELLS, NUCLEI, draw_overlay
    from nucprof.segmentation.planes import split_planes

    sources = [job.params["sources"][name] for name in job.params["channels"]]
    image = read_channels(sources)
    nuclei, *cells = (read_labels(mask) for mask in job.outputs)
    # Nuclei last: a cell that is nothing but its nucleus must be seen to have one.
    outlines = [*((mask, CELLS) for mask in cells), (nuclei, NUCLEI)]
    nuclear, cyto = split_planes(image, job.params["settings"].mode)
    write_picture(path, draw_overlay(nuclear, outlines, cyto))
