"""The manifest: per stage, what was done with which parameters, versions and results."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from nucprof.errors import UserError
from nucprof.io.files import is_fingerprint, is_there, write_json
from nucprof.io.state import fault_of
from nucprof.report.records import StageRun
from nucprof.stages.base import Entry, Summary
from nucprof.version import __version__

SCHEMA = 1
_LIBRARIES = (
    "numpy",
    "scipy",
    "pandas",
    "scikit-image",
    "scikit-learn",
    "tifffile",
    "nd2",
    "numba",
    "tensorflow",
    "tensorflow-cpu",
    "stardist",
    "torch",
    "torchvision",
    "cellpose",
    "umap-learn",
)


def _inside(outputs: dict[str, Any]) -> dict[str, Any]:
    """Refuse outputs that are not files below the results, with size, time and hash."""
    for name, known in outputs.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive:
            raise ValueError(f"{name} is not below the results")
        if not is_fingerprint(known):
            raise ValueError(f"{name} has no size, time and hash")
    return outputs


def _known(value: list[Any]) -> list[Any]:
    if not is_fingerprint(value):
        raise ValueError("it has no size, time and hash")
    return value


@dataclass
class StageRecord:
    """The manifest's entry of one stage.

    ``status``: ``done``, ``partial`` (only some fields, or stopped), ``failed`` (some fields
    failed) or ``not needed``.
    """

    status: str
    parameters: dict[str, Any] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    device: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: Annotated[dict[str, Any], AfterValidator(_inside)] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    failures: list[dict[str, str]] = field(default_factory=list)
    excluded: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    table_definition: str = ""
    started: str = ""
    finished: str = ""
    seconds: float = 0.0

    def tell(self, jobs: int, held: Sequence[Entry], summary: Summary) -> None:
        """Fill in the results of the finished jobs (``held``, of ``jobs``) and the summary."""
        failed = [entry for entry in held if entry.status == "failed"]
        excluded = [entry for entry in held if entry.status == "excluded"]
        self.counts = {
            "jobs": jobs,
            "done": sum(entry.status == "done" for entry in held),
            "excluded": len(excluded),
            "failed": len(failed),
            **summary.counts,
        }
        self.models = summary.models
        self.failures = [_brief(entry) for entry in failed]
        self.excluded = [_brief(entry) for entry in excluded]
        self.warnings = [
            *summary.warnings,
            *(
                f"{entry.plate}/{entry.field}: {text}" if entry.field else text
                for entry in held
                if entry.status != "failed"
                for text in entry.warnings
            ),
        ]
        self.finished = now()

    def as_run(self, name: str) -> StageRun:
        """The record as the report is given it."""
        return StageRun(
            name=name,
            status=self.status,
            parameters=self.parameters,
            overrides=self.overrides,
            versions=self.versions,
            models=self.models,
            counts=self.counts,
            failures=tuple(self.failures),
            excluded=tuple(self.excluded),
            warnings=tuple(self.warnings),
            finished=self.finished,
            seconds=self.seconds,
        )


class _Content(BaseModel):
    """The file: every key that is read, and its type."""

    schema_: Literal[1] = Field(alias="schema")
    project: str = ""
    stages: dict[str, StageRecord]
    cells: Annotated[list[Any], AfterValidator(_known)] | None = None
    waterfall: list[tuple[str, str, int]] = []


@dataclass
class Manifest:
    """The manifest of a results folder."""

    path: Path
    project: str = ""
    stages: dict[str, StageRecord] = field(default_factory=dict)
    cells: list[Any] | None = None
    """Fingerprint of the ledger."""
    waterfall: list[tuple[str, str, int]] = field(default_factory=list)
    """Cells in, dropped by stage and reason, and kept, as the ledger has them."""
    fault: str = ""
    """What is wrong with the file; empty if it could be read."""

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest; a missing one is empty.

        One that is damaged is empty as well, and has a ``fault`` that says what is wrong: what it
        knew is found again from journals and files.

        Raises
        ------
        UserError
            A newer version of nucprof wrote it.
        """
        if not is_there(path):
            return cls(path)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            schema = data.get("schema") if isinstance(data, dict) else None
            if isinstance(schema, int) and schema > SCHEMA:
                raise UserError(
                    f"{path} was written by a newer version of nucprof (schema {schema}, this one "
                    f"reads {SCHEMA}). Use that version, or choose another project.output."
                )
            held = _Content.model_validate(data)
        except ValueError as error:
            return cls(path, fault=fault_of(error))
        return cls(path, held.project, held.stages, held.cells, held.waterfall)

    def write(self) -> None:
        """Write the manifest atomically."""
        write_json(
            self.path,
            {
                "schema": SCHEMA,
                "nucprof": __version__,
                "project": self.project,
                "cells": self.cells,
                "waterfall": self.waterfall,
                "stages": {name: asdict(record) for name, record in self.stages.items()},
            },
        )


def versions() -> dict[str, str]:
    """Versions of the packages that decide results, read without importing them."""
    found = {
        "nucprof": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _brief(entry: Entry) -> dict[str, str]:
    return {
        "plate": entry.plate,
        "field": entry.field,
        "reason": entry.reason,
        "message": entry.message,
    }


def now() -> str:
    """The time in UTC, as the manifest writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
