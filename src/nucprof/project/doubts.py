"""What is doubtful in a project's results now, for ``nucprof status`` and the end of a run."""

from __future__ import annotations

from nucprof.report.doubts import Doubt, find_doubts
from nucprof.report.facts import files_of, read_facts
from nucprof.run.state import RunState
from nucprof.stages.report import about


def current_doubts(state: RunState) -> list[Doubt]:
    """The doubts that a report written now would open with.

    A stage whose tables are not as it wrote them is left out; its own state says so. Raises
    :class:`~nucprof.errors.UserError` for a damaged layout.
    """
    read = files_of(state.results)
    runs = [run for run in state.runs if not state.altered(run.name, read.get(run.name, ()))]
    return find_doubts(read_facts(state.results, about(state.project), runs))
