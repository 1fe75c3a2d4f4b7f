"""Definitions: what decides a result, in a canonical form that can be hashed and compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from nucprof.config import Project, Section
from nucprof.stages.base import Entry, Job, Plan, Stage


def canonical(value: Any) -> Any:
    """Turn parameters into plain JSON values; raises TypeError on what has no such form."""
    if isinstance(value, BaseModel):
        return canonical(value.model_dump(mode="json"))
    if is_dataclass(value) and not isinstance(value, type):
        return canonical(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [canonical(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} cannot be part of a definition")


def digest(value: Any) -> str:
    """Hash of a canonical value."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def job_definition(stage: Stage, job: Job) -> str:
    """What decides a job's result, beside the contents of its inputs."""
    inputs = sorted(path.as_posix() for path in job.inputs)
    outputs = sorted(path.as_posix() for path in job.outputs)
    return digest([stage.name, stage.version, job.key, job.params, inputs, outputs])


def table_definition(stage: Stage, plan: Plan, entries: Sequence[Entry], hashes: list[str]) -> str:
    """What decides a stage's tables: its finished jobs, and what the plan names beside them."""
    jobs = [
        [e.key, e.definition, e.status, sorted(str(f[2]) for f in e.outputs.values())]
        for e in sorted(entries, key=lambda e: e.key)
    ]
    return digest([stage.name, stage.version, jobs, plan.table_params, hashes])


def parameters(project: Project, stage: Stage) -> dict[str, Any]:
    """A stage's settings by their dotted names, subsections left out."""
    flat = {}
    for name in stage.sections:
        section = project.section(name)
        for key in type(section).model_fields:
            value = getattr(section, key)
            if not isinstance(value, Section):
                flat[f"{name}.{key}"] = canonical(value)
    return flat


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Settings that differ, as ``segment.pmin 1.0 -> 2.0``."""
    return [
        f"{key} {json.dumps(before.get(key))} -> {json.dumps(after.get(key))}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]
