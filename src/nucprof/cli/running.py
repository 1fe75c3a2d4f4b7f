"""The work of stage commands and ``run-all``: build the project, run it, name the next step."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nucprof.cli.call import Call
from nucprof.cli.console import ConsoleReporter, configure_logging
from nucprof.config import Project, load_project
from nucprof.config.save import as_toml, save_settings
from nucprof.errors import UserError
from nucprof.io.results import Results
from nucprof.project.status import UP_TO_DATE, WILL_RUN, recall, remember, states
from nucprof.run.definition import parameters
from nucprof.run.lock import locked
from nucprof.run.pipeline import Options, Run
from nucprof.run.reporter import StageResult
from nucprof.stages import STAGES, Stage, chosen_stages
from nucprof.stages.base import StageOption

FAILED = 1


def run_stage_command(stage: Stage, call: Call) -> int:
    """Run one stage with the flags given; returns the exit status."""
    configure_logging(call.values["verbose"])
    given = call.flags(stage.sections)
    project = load_project(call.project, given)
    stage.asked(project)
    overrides = overridden(stage, call.project, project, given)
    run, reporter = _open(call, project, overrides)
    try:
        if call.values.get("out") is not None:
            return _run_elsewhere(stage, call, run, reporter, overrides)
        if call.values["dry_run"]:
            return _dry_run([stage], run, reporter)
        for option in stage.options:
            value = call.values[option.variable]
            if value is not None and value is not False:
                return _act(stage, option, call, run, reporter, overrides)
        _warn_of_stale(reporter, stage, run)
        with _locked(run, reporter, f"nucprof {stage.command}"):
            result = run.run_stage(stage)
            if result.status not in ("up to date", "not needed"):
                _remember(call)
        if overrides:
            _say_permanent(call, reporter, overrides)
        _say_left_out(reporter, [result])
        if stage.name == "report":
            _say_doubts(reporter, run)
        if not result.failed:
            _say_next(reporter, stage, run.project, call.project)
    finally:
        reporter.close()
    return FAILED if result.failed else 0


def _run_elsewhere(
    stage: Stage,
    call: Call,
    run: Run,
    reporter: ConsoleReporter,
    overrides: Mapping[str, Any],
) -> int:
    """Run a stage into the folder of ``--out``; returns the exit status."""
    from nucprof.run.elsewhere import check_folder, run_elsewhere

    _warn_of_stale(reporter, stage, run)
    if call.values["dry_run"]:
        check_folder(run.results, run.written)
        reporter.say(f"{stage.name:<12} will run: into {run.written.root}")
        return 0
    result = run_elsewhere(run, stage)
    if overrides:
        _say_permanent(call, reporter, overrides)
    _say_left_out(reporter, [result])
    return FAILED if result.failed else 0


@contextlib.contextmanager
def _locked(run: Run, reporter: ConsoleReporter, command: str) -> Iterator[None]:
    """Lock the results; read-only ones serve a run that has nothing to do."""
    with locked(run.results.lock, command, may_read_only=True) as left:
        if left:
            reporter.say(left)
        yield


def _act(
    stage: Stage,
    option: StageOption,
    call: Call,
    run: Run,
    reporter: ConsoleReporter,
    overrides: Mapping[str, Any],
) -> int:
    """Run the action of an option that replaces running the stage."""
    with locked(run.results.lock, f"nucprof {stage.command} {option.flag}"):
        run.claim()
        found = option.action(run, call.values[option.variable], run.options.fields)
    for line in found.lines:
        reporter.say(line)
    for line in found.failures:
        reporter.fail(line)
    if overrides:
        _say_permanent(call, reporter, overrides)
    reporter.say(f"Next: nucprof {stage.command} {call.project}")
    return FAILED if found.failures else 0


def run_all(call: Call) -> int:
    """Run the stages in order; returns the exit status."""
    configure_logging(call.values["verbose"])
    project = load_project(call.project, call.flags(()))
    run, reporter = _open(call, project, {})
    first, last = call.values["first"], call.values["last"]
    try:
        if call.values["dry_run"]:
            return _dry_run(chosen_stages(first, last), run, reporter)
        with _locked(run, reporter, "nucprof run-all"):
            known = recall(project, run.results)
            done = [name for name, row in known.items() if row.state.startswith(UP_TO_DATE)]
            results = run.run_all(first, last, up_to_date=done)
            if any(result.status not in ("up to date", "not needed") for result in results):
                _remember(call)
        _say_left_out(reporter, results)
        if all(result.status in ("up to date", "not needed") for result in results):
            reporter.say("Everything is up to date; nothing was done.")
        _say_doubts(reporter, run)
        say_results(reporter, run.results)
    finally:
        reporter.close()
    return FAILED if any(result.failed for result in results) else 0


def say_results(reporter: ConsoleReporter, results: Results) -> None:
    """Say where the results are: the report, if there is one."""
    shown = results.report if results.report.is_file() else results.root
    reporter.say(f"Results: {shown}")


def overridden(
    stage: Stage, path: Path, project: Project, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Settings whose flags differ from the file and the environment."""
    if not any(section.split(".")[0] in given for section in stage.sections):
        return {}
    before = parameters(load_project(path, check_folders=False), stage)
    after = parameters(project, stage)
    return {key: value for key, value in after.items() if before[key] != value}


def _open(
    call: Call, project: Project, overrides: Mapping[str, Any]
) -> tuple[Run, ConsoleReporter]:
    values = call.values
    options = Options(
        tuple(values["fields"] or ()), values["force"], values["keep_going"], overrides
    )
    out = Path(os.path.abspath(values["out"])) if values.get("out") is not None else None
    reporter = ConsoleReporter(
        quiet=values["quiet"],
        json_log=values["json_log"],
        logs=(out or project.project.output) / "logs",
    )
    return Run(project, options, reporter, name=values.get("name", "default"), out=out), reporter


def _dry_run(stages: list[Stage], run: Run, reporter: ConsoleReporter) -> int:
    for stage, state in states(stages, run, force=run.options.force):
        reporter.say(f"{stage.name:<12} {state}")
    return 0


def _remember(call: Call) -> None:
    """Save what `status` shows; by the project file, not by the flags of this command."""
    with contextlib.suppress(UserError):  # a key missing in the file may have been a flag
        remember(Run(load_project(call.project)))


def _say_permanent(call: Call, reporter: ConsoleReporter, overrides: Mapping[str, Any]) -> None:
    if call.values["save"]:
        save_settings(call.project, overrides)
        reporter.say(f"Saved in {call.project}: {', '.join(overrides)}")
        return
    reporter.say(f"To make these settings permanent, put into {call.project} (or add --save):")
    for line in as_toml(call.project, overrides).splitlines():
        reporter.say(f"  {line}")


def _say_left_out(reporter: ConsoleReporter, results: list[StageResult]) -> None:
    for result in results:
        if result.failed:
            reporter.fail(
                f"{result.stage.name}: {len(result.failed)} failed; fix the cause and run the "
                "command again, or continue without them with --keep-going"
            )
        if result.excluded:
            reporter.warn(f"{result.stage.name}: {len(result.excluded)} fields left out")
    steps = [result.waterfall for result in results if result.waterfall]
    if steps:
        reporter.waterfall(steps[-1])


def _say_doubts(reporter: ConsoleReporter, run: Run) -> None:
    from nucprof.project.doubts import current_doubts

    for doubt in current_doubts(run):
        reporter.warn(f"doubtful: {doubt.line}")


def _warn_of_stale(reporter: ConsoleReporter, stage: Stage, run: Run) -> None:
    """Find and name earlier stages that are not up to date: this stage uses their old results."""
    needed = {stage.name}
    for earlier in reversed(STAGES):
        if earlier.name in needed:
            needed |= {*earlier.needs(run.project), *earlier.uses}
    for earlier, state in states([s for s in STAGES if s.name in needed - {stage.name}], run):
        if state.startswith(WILL_RUN) and run.entries(earlier.name):
            run.outdated += (earlier.name,)
            reporter.warn(
                f"{earlier.name} is not up to date ({state.removeprefix('will run: ')}); "
                f"{stage.name} uses its old results. nucprof run-all updates both."
            )


def _say_next(reporter: ConsoleReporter, stage: Stage, project: Project, path: Path) -> None:
    names = [s.name for s in STAGES]
    after = STAGES[names.index(stage.name) + 1 :]
    following = next((s for s in after if not s.skip(project)), None)
    if following is not None:
        reporter.say(f"Next: nucprof {following.command} {path}")
