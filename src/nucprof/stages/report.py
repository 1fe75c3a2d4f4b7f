"""The report: one HTML page about everything that was done, whatever was done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nucprof.config import Project
from nucprof.report.records import About, StageRun
from nucprof.stages.base import Context, Entry, Job, NoRecord, Outcome, Plan, Stage, Summary, needs

BEFORE = (
    "rename", "segment", "align", "crop", "features", "gate", "train-rf", "train-cnn", "embed",
    "gradcam", "predict",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ReportJob(Job):
    """What the page says of the project and of every stage that has run."""

    about: About
    runs: tuple[StageRun, ...]


def plan(context: Context) -> Plan[ReportJob]:
    """One job: whatever there is."""
    job = ReportJob(
        inputs=(),
        outputs=(context.results.report,),
        about=about(context.project),
        runs=tuple(run for run in context.runs if run.name != "report"),
    )
    return Plan([job])


def about(project: Project) -> About:
    """What the page says of the project file."""
    return About(
        name=project.project.name,
        plates=tuple(plate.name for plate in project.plates),
        rounds={name: tuple(project.round_channels(name)) for name in project.rounds},
        painted=tuple(project.channels.cell_painting),
        nuclei=project.channels.nuclei,
        mixed=project.gate.mixed_culture,
        objects=project.mask_kind,
    )


def work(job: ReportJob) -> Outcome[NoRecord]:
    """Write the page."""
    from nucprof.io.files import write_text
    from nucprof.report.page import Page, render

    write_text(job.outputs[0], render(Page(job.about, job.runs)))
    return Outcome(NoRecord())


def finish(context: Context, plan: Plan[ReportJob], entries: Sequence[Entry[NoRecord]]) -> Summary:
    """Say where the page lies."""
    page = plan.jobs[0].outputs[0]
    return Summary([page], lines=[f"look at {page}"])


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
    ledger=False,
)
