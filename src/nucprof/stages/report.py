"""The report: one HTML page about everything that was done, whatever was done."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nucprof.config import Project
from nucprof.config.by_mode import crop_kind
from nucprof.errors import UserError
from nucprof.io.digest import WHERE_IT_RUNS
from nucprof.io.results import Results
from nucprof.report.records import About, StageRun
from nucprof.stages.base import (
    Context,
    Entry,
    Job,
    Outcome,
    Plan,
    Stage,
    Summary,
    layout_paths,
    layouts,
    needs,
)

if TYPE_CHECKING:
    from nucprof.report.cell_pictures import CellFiles

BEFORE = (
    "rename", "segment", "align", "crop", "features", "gate", "train-rf", "train-cnn", "embed",
    "gradcam", "predict",
)  # fmt: skip
#: What the page is made from, below the results; a pattern may match no file.
READ = (
    "segment/qc.csv", "segment/nuclear_size.json", "segment/overlays/*/*.png", "registration.csv",
    "align/overlays/*/*.png", "cells.parquet", "gate/intensities.parquet", "gate/GT_data.csv",
    "gate/counts.csv", "gate/cutoffs.json", "train/*/default/*.json", "train/*/default/*.csv",
    "embed/umap.csv", "gradcam/*.csv", "gradcam/*.png", "predict/default/*.csv",
    "crops/*/index.parquet", "gate/corrections.csv", "train/*/default/rounds.png",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ReportJob(Job):
    """What the page says of the project and of every stage that has run.

    ``crops`` says where the pixels of single cells are, None before there are crops. ``outdated``
    names stages whose results are old. ``file`` is the name of the project file, for commands to
    copy.
    """

    about: About
    runs: tuple[StageRun, ...]
    crops: CellFiles | None
    outdated: tuple[str, ...] = ()
    results: Results = dataclasses.field(metadata=WHERE_IT_RUNS)
    written: Results = dataclasses.field(metadata=WHERE_IT_RUNS)
    file: str = dataclasses.field(metadata=WHERE_IT_RUNS)


@dataclass(frozen=True)
class ReportRecord:
    """How many doubts the page opens with, and its size."""

    doubts: int
    bytes: int


def plan(context: Context) -> Plan[ReportJob]:
    """One job: whatever there is."""
    results = context.results
    found = [path for pattern in READ for path in sorted(results.root.glob(pattern))]
    job = ReportJob(
        inputs=(*layout_paths(context.project), *dict.fromkeys(found)),
        outputs=(context.written.report, context.written.folder("report", "captions.md")),
        about=about(context.project),
        runs=tuple(run for run in context.runs if run.name != "report"),
        crops=cell_files(context.project),
        outdated=context.outdated,
        results=results,
        written=context.written,
        file=context.project.file.name if context.project.file else "project.toml",
    )
    return Plan([job])


def cell_files(project: Project) -> CellFiles | None:
    """Where the pixels of single cells are; None before ``crop`` has run."""
    from nucprof.report.cell_pictures import CellFiles

    try:
        files = CellFiles.of(project)
    except UserError:  # the size of the crops follows from nuclei that are not measured yet
        return None
    return files if files.index_file.is_file() else None


def about(project: Project) -> About:
    """What the page says of the project file."""
    try:
        crop_px = crop_kind(project).patch_size
    except UserError:  # it follows from nuclei that are not measured yet
        crop_px = None
    return About(
        name=project.project.name,
        plates=tuple(plate.name for plate in project.plates),
        rounds={name: tuple(project.round_channels(name)) for name in project.rounds},
        painted=tuple(project.channels.cell_painting),
        nuclei=project.channels.nuclei,
        mixed=project.gate.mixed_culture,
        objects=project.mask_kind,
        crop_px=crop_px,
        cultures={
            f"{plate}/{well}": culture
            for plate, layout in layouts(project).items()
            for well, culture in layout.cultures.items()
        },
    )


def work(job: ReportJob) -> Outcome[ReportRecord]:
    """Write the page, its figures, and their captions."""
    from nucprof.io.files import write_text
    from nucprof.report.build import build
    from nucprof.report.page import captions, render

    page = build(
        job.results, job.about, job.runs, job.file, job.crops,
        written=job.written, outdated=job.outdated,
    )  # fmt: skip
    text = render(page)
    write_text(job.outputs[0], text)
    write_text(job.outputs[1], captions(page))
    _remove_others(job.written.folder("report"), page.files)
    return Outcome(ReportRecord(len(page.doubts), len(text.encode())))


def _remove_others(folder: Path, files: Sequence[str]) -> None:
    """Remove figures of an earlier report."""
    kept = {Path(file).name for file in files}
    for path in folder.glob("*.png"):
        if path.name not in kept:
            path.unlink()


def finish(
    context: Context, plan: Plan[ReportJob], entries: Sequence[Entry[ReportRecord]]
) -> Summary:
    """Say where the page lies."""
    (record,) = (entry.record for entry in entries)
    assert record is not None
    job = plan.jobs[0]
    figures = sorted(job.written.folder("report").glob("*.png"))
    size = f"{record.bytes / 1e6:.1f} MB"
    return Summary(
        [*job.outputs, *figures], {"doubts": record.doubts}, [f"look at {job.outputs[0]} ({size})"]
    )


STAGE = Stage(
    name="report",
    help="Write report.html: what is doubtful, what was done, and every result",
    sections=(),
    needs=needs(),
    uses=BEFORE,
    makes=("report.html", "report/"),
    plan=plan,
    work=work,
    finish=finish,
    record=ReportRecord,
    ledger=False,
    elsewhere=True,
)
