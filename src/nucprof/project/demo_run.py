"""``nucprof demo --run``: process the demo plate and compare with what is true of it."""

from __future__ import annotations

from nucprof.cli.console import ConsoleReporter, configure_logging
from nucprof.config import load_project
from nucprof.demo.plate import Demo
from nucprof.demo.truth import compare
from nucprof.run.lock import locked
from nucprof.run.pipeline import Run


def run_demo(plate: Demo) -> int:
    """Run all stages and print the numbers, the truth beside them, and where to look."""
    configure_logging(verbose=False)
    project = load_project(plate.project)
    reporter = ConsoleReporter(logs=project.project.output / "logs")
    run = Run(project, reporter=reporter)
    try:
        with locked(run.results.lock, "nucprof demo"):
            results = run.run_all()
        failed = any(result.failed for result in results)
        if not failed:
            reporter.say("Compared with what is true of the demo plate:")
            for line in compare(plate, run.results):
                reporter.say(f"  {line}")
        reporter.say(f"Results: {run.results.root}")
    finally:
        reporter.close()
    return 1 if failed else 0
