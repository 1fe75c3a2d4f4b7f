"""Definitions: everything that decides a result, as a hash that can be stored and compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nucprof.config import Project, Section
from nucprof.io.digest import canonical, decides, digest
from nucprof.run.places import Places
from nucprof.stages.base import Entry, Job, Plan, Stage

#: Increased when definitions are computed differently: older ones cannot be compared.
FORM = 2


def job_definition(stage: Stage, job: Job, places: Places) -> str:
    """Everything that decides a job's result, except the contents of its inputs.

    Inputs are identified by their position and outputs by their path below the results, so that
    moving or renaming a file does not matter.
    """
    inputs = {path: f"<input {number}>" for number, path in enumerate(job.inputs)}

    def place(path: Path) -> str:
        return inputs.get(path) or places.write(path)

    return f"{FORM}:{digest([stage.name, stage.version, canonical(job, place)])}"


def is_comparable(definition: str) -> bool:
    """Whether a definition has the present format of :func:`job_definition`."""
    return definition.startswith(f"{FORM}:")


def table_definition(stage: Stage, plan: Plan, entries: Sequence[Entry], hashes: list[str]) -> str:
    """What decides a stage's tables: its finished jobs, and the plan's further inputs."""
    jobs = [
        [e.key, e.definition, e.status, sorted(str(f[2]) for f in e.outputs.values())]
        for e in sorted(entries, key=lambda e: e.key)
    ]
    return digest([stage.name, stage.version, jobs, plan.table_settings, hashes])


def parameters(project: Project, stage: Stage) -> dict[str, Any]:
    """A stage's settings by their dotted names, without subsections."""
    flat = {}
    for name in stage.sections:
        section = project.section(name)
        for key in type(section).model_fields:
            value = getattr(section, key)
            if not isinstance(value, Section):
                flat[f"{name}.{key}"] = canonical(value)
    return flat


def changed_settings(project: Project, stage: Stage, before: Mapping[str, Any]) -> list[str]:
    """Settings that decide a stage's result and differ, as ``segment.pmin 1.0 -> 2.0``.

    A key that did not exist before does not count.
    """
    now = parameters(project, stage)
    deciding = {
        f"{name}.{key}"
        for name in stage.sections
        for key, info in type(project.section(name)).model_fields.items()
        if decides(info)
    }
    return [
        f"{key} {json.dumps(before[key])} -> {json.dumps(now[key])}"
        for key in sorted({*before} & {*now} & deciding)
        if before[key] != now[key]
    ]
