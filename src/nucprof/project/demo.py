"""``nucprof demo --run``: process the demo plate and compare the results with the truth."""

from __future__ import annotations

from nucprof.config import Project
from nucprof.demo.plate import Demo
from nucprof.demo.truth import compare
from nucprof.run.lock import locked
from nucprof.run.pipeline import Run
from nucprof.run.reporter import Reporter


def run_demo(plate: Demo, project: Project, reporter: Reporter) -> list[str] | None:
    """Run all stages; return lines that compare results and truth, or None if a stage failed."""
    run = Run(project, reporter=reporter)
    with locked(run.results.lock, "nucprof demo"):
        results = run.run_all()
    return None if any(result.failed for result in results) else compare(plate, run.results)
