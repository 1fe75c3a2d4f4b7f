"""What a run says while it runs; the command line decides how it looks."""

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
    """Told of everything that a user may want to see."""

    def started(self, stage: Stage, jobs: int, reason: str) -> None:
        """Tell that a stage begins."""

    def job_done(self, stage: Stage, entry: Entry) -> None:
        """Tell that a job was finished, excluded, or failed."""

    def finished(self, result: StageResult) -> None:
        """Tell that a stage ended."""


class Silent:
    """Says nothing."""

    def started(self, stage: Stage, jobs: int, reason: str) -> None:
        """Say nothing."""

    def job_done(self, stage: Stage, entry: Entry) -> None:
        """Say nothing."""

    def finished(self, result: StageResult) -> None:
        """Say nothing."""
