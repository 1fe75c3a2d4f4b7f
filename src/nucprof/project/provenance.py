"""How the results were made, and the commands that make them again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nucprof.config.defaults import default_of
from nucprof.config.save import as_toml
from nucprof.run.manifest import StageRecord
from nucprof.run.state import RunState
from nucprof.stages import STAGES


def provenance(state: RunState, project: Path) -> list[str]:
    """Versions, settings, models and commands of the recorded stages, as lines of text.

    Parameters
    ----------
    state : RunState
    project : Path
        The project file, as the commands should name it.
    """
    records = {n: r for n, r in state.manifest.stages.items() if r.status != "not needed"}
    if not records:
        return ["No stage has run yet."]
    lines = [f"Project {state.manifest.project}: {state.results.root}", "", "Versions"]
    lines += _versions(records)
    for stage in STAGES:
        for name in (n for n in records if n.partition("@")[0] == stage.name):
            lines += ["", *_stage(name, records[name])]
    lines += ["", "To run it again"]
    installed = next(iter(records.values())).versions.get("nucprof", "")
    lines += [f"  pip install nucprof=={installed}", *_overrides(records, project)]
    lines.append(f"  nucprof run-all {project}")
    named = [name.partition("@") for name in records if "@" in name]
    commands = {stage.name: stage.command for stage in STAGES}
    lines += [f"  nucprof {commands[s]} {project} --name {name}" for s, _, name in named]
    return lines


def _versions(records: dict[str, StageRecord]) -> list[str]:
    """One line per program; those that changed between stages name the stages of each."""
    used: dict[str, dict[str, list[str]]] = {}
    for name, record in records.items():
        for program, version in record.versions.items():
            used.setdefault(program, {}).setdefault(version, []).append(name)
    lines = []
    for program, by_version in used.items():
        if len(by_version) == 1:
            lines.append(f"  {program:<13} {next(iter(by_version))}")
        else:
            several = "; ".join(f"{v} ({', '.join(names)})" for v, names in by_version.items())
            lines.append(f"  {program:<13} {several}")
    return lines


def _stage(name: str, record: StageRecord) -> Iterable[str]:
    finished = record.finished or "not finished"
    yield f"{name}: {record.status}, {finished}, {record.seconds:g} s, device {record.device}"
    for model, digest in record.models.items():
        yield f"  model {model}: sha256 {digest}"
    for key, value in record.parameters.items():
        if value != default_of(key):
            yield f"  {key} = {value!r}"


def _overrides(records: dict[str, StageRecord], project: Path) -> list[str]:
    given: dict[str, Any] = {}
    for record in records.values():
        given.update(record.overrides)
    if not given:
        return []
    lines = [f"  put into {project} what was given as flags:"]
    return [*lines, *(f"    {line}" for line in as_toml(project, given).splitlines())]
