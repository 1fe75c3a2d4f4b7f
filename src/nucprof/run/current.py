"""Which finished jobs are current: those made from the present results of earlier stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nucprof.config import Project
from nucprof.stages.base import WHOLE, Entry, Stage

Journal = Mapping[tuple[str, str], Entry]


def current_jobs(
    stages: Sequence[Stage],
    project: Project,
    journals: Mapping[str, Journal],
    tables: Mapping[str, Mapping[str, Sequence[Any]]],
) -> list[tuple[str, Journal]]:
    """Leave out the jobs of stages that have not been run again since an earlier one changed.

    Nothing is read from disk: the hashes of the files that a job read are compared with
    those that earlier jobs wrote.

    Parameters
    ----------
    stages : sequence of Stage
        In the order in which they run.
    project : Project
        Whose stages they are.
    journals : mapping
        Finished jobs by stage.
    tables : mapping
        By stage, the path of every table that it wrote -> its size, time and hash.

    Returns
    -------
    list of (str, mapping)
        Stage and its current jobs, in order.
    """
    made: dict[str, Any] = {}
    kept: dict[str, Journal] = {}
    for stage in stages:
        journal = journals[stage.name]
        before = [name for name in stage.needs(project) if name in kept]
        kept[stage.name] = {
            key: entry
            for key, entry in journal.items()
            if all(_is_current(key, kept[name], journals[name]) for name in before)
            and all(
                known is None or made.get(path, known[2]) == known[2]
                for path, known in entry.inputs.items()
            )
        }
        for entry in kept[stage.name].values():
            made.update({path: known[2] for path, known in entry.outputs.items()})
        made.update({path: known[2] for path, known in tables.get(stage.name, {}).items()})
    return list(kept.items())


def _is_current(key: tuple[str, str], kept: Journal, journal: Journal) -> bool:
    """Whether the results that a job needs are current; a whole-project job needs all of them."""
    if key == WHOLE:
        return len(kept) == len(journal)
    return key not in journal or key in kept
