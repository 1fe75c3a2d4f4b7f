"""Output of a run: a progress bar in a terminal, plain lines elsewhere, JSON lines on request."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from nucprof.errors import UserError
from nucprof.io.files import is_there
from nucprof.plate.names import printable
from nucprof.refusals import naming
from nucprof.run.reporter import StageResult
from nucprof.stages.base import Entry, Stage

# Long jobs that do not process single fields report their progress here.
PROGRESS = logging.getLogger("nucprof.progress")
PROGRESS.propagate = False
_PLAIN_EVERY_S = 20.0
_SHOWN = 10
_LOG_BEGINS = b'{"event": '


class ConsoleReporter:
    """Shows a run to the user.

    Parameters
    ----------
    quiet : bool
        Show only warnings and errors.
    json_log : Path, optional
        File that gets one JSON object per event.
    logs : Path, optional
        Folder for the events of every run that does something, one file per run.
    """

    def __init__(
        self, *, quiet: bool = False, json_log: Path | None = None, logs: Path | None = None
    ) -> None:
        self.console = Console(highlight=False, soft_wrap=True, emoji=False)
        self.errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
        self.quiet = quiet
        self._logs: list[IO[str]] = []
        self._folder = logs
        if json_log is not None:
            _require_log(json_log)
            self._open_log(json_log)
        self._progress: Progress | None = None
        self._done = self._total = 0
        self._start = self._last = 0.0
        self._handler = _ProgressHandler(self)
        PROGRESS.addHandler(self._handler)
        PROGRESS.setLevel(logging.INFO)

    def close(self) -> None:
        """Close the progress display and the JSON log."""
        self._stop()
        PROGRESS.removeHandler(self._handler)
        with contextlib.ExitStack() as closing:
            for log in self._logs:
                closing.enter_context(naming(Path(log.name)))
                closing.callback(log.close)

    def started(self, stage: Stage, jobs: int, reason: str) -> None:
        """Announce a stage."""
        if self._folder is not None:
            self._open_log(self._folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{stage.name}.jsonl")
            self._folder = None
        self._event("stage_started", stage=stage.name, jobs=jobs, reason=reason)
        self._done, self._total = 0, jobs
        self._start = self._last = time.monotonic()
        if self.quiet:
            return
        self.console.print(printable(f"{stage.name}: {reason}"), style="bold", markup=False)
        if self.console.is_terminal and jobs > 1:
            self._progress = Progress(
                TextColumn("  {task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            self._progress.start()
            self._progress.add_task(stage.name, total=jobs, rate="")

    def job_done(self, stage: Stage, entry: Entry) -> None:
        """Count a finished job; print at once if it was excluded or failed."""
        self._event(
            "job",
            stage=stage.name,
            plate=entry.plate,
            field=entry.field,
            status=entry.status,
            reason=entry.reason,
            message=entry.message,
            trace=entry.trace,
            seconds=entry.seconds,
        )
        self._done += 1
        rate = self._done / max(time.monotonic() - self._start, 1e-9)
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], advance=1, rate=f"{rate:.2f}/s")
        elif not self.quiet and self._total > 1 and self._is_time_for_a_line():
            left = (self._total - self._done) / rate
            self.console.print(
                f"  {self._done}/{self._total}, {rate:.2f}/s, {left:.0f} s left", markup=False
            )
        name = f"{entry.plate}/{entry.field}" if entry.field else stage.name
        if entry.status == "failed":
            self.fail(f"  failed {name}: {_first_line(entry.message)}")
            if entry.trace:
                logging.getLogger("nucprof").debug(entry.trace)  # shown by --verbose
        elif entry.status == "excluded":
            self.warn(f"  left out {name}: {entry.message.removeprefix(f'{name}: ')}")

    def _is_time_for_a_line(self) -> bool:
        now = time.monotonic()
        if now - self._last <= _PLAIN_EVERY_S:
            return False
        self._last = now
        return True

    def finished(self, result: StageResult) -> None:
        """Print what a stage wrote and left out."""
        self._stop()
        summary = result.summary
        self._event(
            "stage_finished",
            stage=result.stage.name,
            status=result.status,
            counts=summary.counts,
            outputs=[str(p) for p in summary.outputs],
            warnings=summary.warnings,
            seconds=round(result.seconds, 3),
        )
        if result.status in ("up to date", "not needed"):
            if not self.quiet:
                why = f" ({result.reason})" if result.status == "not needed" else ""
                self.console.print(f"{result.stage.name}: {result.status}{why}", markup=False)
            return
        for line in summary.lines:
            self.say(f"  {line}")
        for text in summary.warnings[:_SHOWN]:
            self.warn(f"  {text}")
        if len(summary.warnings) > _SHOWN:
            self.warn(f"  and {len(summary.warnings) - _SHOWN} more warnings, in manifest.json")
        self.say(f"  {result.status} in {result.seconds:.1f} s")

    def note(self, text: str) -> None:
        """Print what was found damaged and is made again."""
        self._event("note", message=text)
        self.warn(text)

    def progress(self, message: str) -> None:
        """Print a progress message of a long job, e.g. the epochs of a training."""
        self._event("progress", message=message)
        self.say(f"  {message}")

    def say(self, text: str) -> None:
        """Print a line unless quiet."""
        if not self.quiet:
            self.console.print(printable(text), markup=False)

    def warn(self, text: str) -> None:
        """Print a warning."""
        self.errors.print(printable(text), style="yellow", markup=False)

    def fail(self, text: str) -> None:
        """Print a failure."""
        self.errors.print(printable(text), style="red", markup=False)

    def waterfall(self, steps: Sequence[tuple[str, str, int]]) -> None:
        """Print the number of cells, of dropped cells by stage and reason, and of kept cells."""
        if steps:
            self.say(
                "cells: "
                + ", ".join(
                    f"{n} {reason}" if n >= 0 else f"{n} {reason} ({stage})"
                    for stage, reason, n in steps
                )
            )

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _event(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, "time": time.time(), **values}) + "\n"
        for log in self._logs:
            with naming(Path(log.name)):
                log.write(line)
                log.flush()

    def _open_log(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._logs.append(path.open("a", encoding="utf-8"))


def _require_log(path: Path) -> None:
    """Refuse to append to a file that is not a log of this kind."""
    if is_there(path) and path.stat().st_size:
        with path.open("rb") as file:
            if not file.readline(len(_LOG_BEGINS)).startswith(_LOG_BEGINS):
                raise UserError(f"--json-log {path} exists and is no log; choose another name.")


class _ProgressHandler(logging.Handler):
    """Passes the progress messages of a long job to the reporter."""

    def __init__(self, reporter: ConsoleReporter) -> None:
        super().__init__()
        self._reporter = reporter

    def emit(self, record: logging.LogRecord) -> None:
        self._reporter.progress(record.getMessage())


class _LogHandler(logging.Handler):
    """Prints log messages to the error stream, as it is when they come."""

    def emit(self, record: logging.LogRecord) -> None:
        console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
        style = "yellow" if record.levelno >= logging.WARNING else None
        console.print(printable(record.getMessage()), style=style, markup=False)


def configure_logging(verbose: bool) -> None:
    """Send nucprof's own log to the standard error stream; ``verbose`` shows all of it."""
    logger = logging.getLogger("nucprof")
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    if not logger.handlers:
        logger.addHandler(_LogHandler())


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""
