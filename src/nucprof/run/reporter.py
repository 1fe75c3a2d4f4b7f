"""The events of a run; the command line decides how to show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nucprof.stages.base import Entry, Stage, Summary


@dataclass
class StageResult:
    """How a stage ended: ``status`` as in the manifest, or ``up to date``."""

    stage: Stage
    status: str
    reason: str = ""
    summary: Summary = field(default_factory=Summary)
    excluded: Sequence[Entry] = ()
    failed: Sequence[Entry] = ()
    waterfall: Sequence[tuple[str, str, int]] = ()
    seconds: float = 0.0


class Reporter(Protocol):
    """Receives every event that a user may want to see."""

    def started(self, stage: Stage, jobs: int, reason: str) -> None:
        """Report that a stage begins."""

    def job_done(self, stage: Stage, entry: Entry) -> None:
        """Report that a job was finished, excluded, or failed."""

    def finished(self, result: StageResult) -> None:
        """Report that a stage ended."""

    def note(self, text: str) -> None:
        """Report damage of a state file that is mended without asking."""


class Silent:
    """Says nothing."""

    def started(self, stage: Stage, jobs: int, reason: str) -> None:
        """Say nothing."""

    def job_done(self, stage: Stage, entry: Entry) -> None:
        """Say nothing."""

    def finished(self, result: StageResult) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""
