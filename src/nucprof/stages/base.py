"""What a stage is, and the little that it knows of the world around it.

A stage is declared as data (:class:`Stage`) and implemented by a module with three functions:

``plan(context) -> Plan``
    Resolve inputs: one :class:`Job` per field (or a single job).
``work(job) -> Outcome``
    Do one job. Runs in any process; gets paths and parameters, returns a small record.
``finish(context, plan, entries) -> Summary``
    Write the stage's tables from the records of all finished jobs.

A module may also have ``prepare(context, jobs)``, called once before any job runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as default  # `field` is what a job is about
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nucprof.config import Project
from nucprof.errors import UserError
from nucprof.io.results import Results
from nucprof.plate.keys import CP_ROUND, FieldKey, FieldSelector
from nucprof.plate.layout import Layout

if TYPE_CHECKING:  # pandas would slow `nucprof --help`
    from nucprof.raw.index import ImageIndex

WHOLE = ("", "")  # plate and field of a job that is about no single field


@dataclass(frozen=True)
class Job:
    """One unit of work: usually a field.

    ``params`` decide the result and are hashed; ``runtime`` (device, threads) do not.
    """

    plate: str
    field: str
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]
    params: Mapping[str, Any]
    runtime: Mapping[str, Any] = default(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """Plate and field."""
        return self.plate, self.field

    @property
    def name(self) -> str:
        """How messages name the job."""
        return f"{self.plate}/{self.field}" if self.field else "the whole project"


@dataclass(frozen=True)
class Drop:
    """Cells that leave the pipeline at this stage, and why."""

    plate: str
    field: str
    reason: str
    labels: Sequence[int]


@dataclass
class Outcome:
    """What a job hands back: what the tables need, and what happened to which cells."""

    record: dict[str, Any] = default(default_factory=dict)
    objects: Sequence[int] | None = None
    dropped: list[Drop] = default(default_factory=list)
    warnings: list[str] = default(default_factory=list)


@dataclass(frozen=True)
class Entry:
    """A finished job, as the journal holds it; ``status`` is done, excluded or failed."""

    plate: str
    field: str
    status: str
    definition: str
    reason: str = ""
    message: str = ""
    record: Mapping[str, Any] = default(default_factory=dict)
    objects: str | None = None
    dropped: Sequence[tuple[str, str, str, str]] = ()
    warnings: Sequence[str] = ()
    inputs: Mapping[str, Sequence[Any]] = default(default_factory=dict)
    outputs: Mapping[str, Sequence[Any]] = default(default_factory=dict)
    seconds: float = 0.0

    @property
    def key(self) -> tuple[str, str]:
        """Plate and field."""
        return self.plate, self.field


@dataclass(frozen=True)
class Plan:
    """The jobs of a stage, and what its tables depend on beside them.

    ``consulted``: files and folders that decide the jobs and are not among their inputs.
    """

    jobs: Sequence[Job]
    table_inputs: tuple[Path, ...] = ()
    table_params: Mapping[str, Any] = default(default_factory=dict)
    consulted: tuple[Path, ...] = ()


@dataclass
class Summary:
    """What a stage wrote and counted; ``show`` lists what the user should look at."""

    outputs: list[Path] = default(default_factory=list)
    counts: dict[str, Any] = default(default_factory=dict)
    lines: list[str] = default(default_factory=list)
    warnings: list[str] = default(default_factory=list)
    models: dict[str, str] = default(default_factory=dict)


class Context(Protocol):
    """What a stage may ask of the run that it is part of."""

    project: Project
    results: Results
    name: str

    def entries(self, stage: str) -> Mapping[tuple[str, str], Entry]:
        """Finished jobs of an earlier stage."""
        ...

    def device(self) -> str:
        """Torch's name of the device that the project asks for, resolved."""
        ...

    @cached_property
    def images(self) -> ImageIndex:
        """Which file holds which channel."""
        ...


def require(context: Context, *stages: str) -> None:
    """Raise :class:`UserError` naming the command of the first of these stages that has not run."""
    for stage in stages:
        if not context.entries(stage):
            raise UserError(
                f"'{stage}' has not run yet; run: nucprof {stage.replace('-', ' ')} PROJECT "
                "(or nucprof run-all PROJECT)."
            )


def survivors(context: Context, stage: str) -> list[tuple[str, str]]:
    """Fields that an earlier stage finished and did not exclude, sorted."""
    upstream = ("rename", "segment", "align")
    require(context, *upstream[: upstream.index(stage) + 1])
    done = context.entries(stage)
    selector = FieldSelector(tuple(context.project.project.exclude))
    return sorted(
        key
        for key, entry in done.items()
        if entry.status == "done" and not selector.matches(key[0], FieldKey.parse(key[1]))
    )


def fields_with_masks(context: Context) -> list[tuple[str, str]]:
    """Fields whose cells are still in: after alignment where there is ground truth."""
    return survivors(context, "align" if context.project.has_ground_truth else "segment")


def mask_path(context: Context, kind: str, plate: str, field_name: str) -> Path:
    """The mask that later stages use: the aligned one where there is ground truth."""
    results = context.results
    if context.project.has_ground_truth:
        return results.aligned_mask(plate, kind, field_name)
    return results.mask(plate, kind, field_name)


def layouts(project: Project) -> dict[str, Layout]:
    """Layout by plate; plates without one are absent."""
    from nucprof.io.layouts import read_layout

    return {plate.name: read_layout(plate.layout) for plate in project.plates if plate.layout}


def layout_paths(project: Project) -> tuple[Path, ...]:
    """Files of the layouts."""
    return tuple(plate.layout for plate in project.plates if plate.layout)


@dataclass(frozen=True)
class Stage:
    """The declaration of a stage.

    Parameters
    ----------
    name : str
        Its name in ``--from``, ``--until``, the manifest and, with ``-`` for a space, the command.
    help : str
        One line.
    sections : tuple of str
        Dotted names of its settings in the project file.
    needs : tuple of str
        Stages whose results it reads.
    makes : tuple of str
        What it writes, for the help text.
    skip : callable
        Says why a project does not need the stage, or None.
    isolated : callable
        Whether its work needs processes of its own (TensorFlow).
    version : int
        Raised when the same settings give another result.
    """

    name: str
    help: str
    sections: tuple[str, ...]
    needs: tuple[str, ...]
    makes: tuple[str, ...]
    skip: Callable[[Project], str | None] = lambda project: None
    isolated: Callable[[Project], bool] = lambda project: False
    version: int = 1

    @property
    def command(self) -> str:
        """The command's words: ``train rf``."""
        return self.name.replace("-", " ")

    @property
    def module(self) -> Any:
        """The module that implements the stage, imported now."""
        return importlib.import_module(f"nucprof.stages.{self.name.replace('-', '_')}")


__all__ = [
    "CP_ROUND",
    "WHOLE",
    "Context",
    "Drop",
    "Entry",
    "Job",
    "Outcome",
    "Plan",
    "Stage",
    "Summary",
    "fields_with_masks",
    "layout_paths",
    "layouts",
    "mask_path",
    "require",
    "survivors",
]
