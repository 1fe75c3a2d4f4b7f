"""The declaration of a stage, and its interface to the run.

A stage is declared as data (:class:`Stage`), with three functions:

``plan(context) -> Plan``
    Resolve inputs: one :class:`Job` per field (or a single job).
``work(job) -> Outcome``
    Do one job. Runs in any process; gets a typed job, returns a small typed record.
``finish(context, plan, entries) -> Summary``
    Write the stage's tables from the records of all finished jobs.

A stage may also have ``prepare(context, plan, jobs)``, called once before any job runs.

A job contains everything that decides its result: every field of a job is hashed, except those
whose metadata is :data:`~nucprof.io.digest.WHERE_IT_RUNS`. Inputs are hashed by content and
outputs by their path below the results, so a moved project stays up to date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from dataclasses import field as default  # `field` is an attribute of a job
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from nucprof.alignment.report import AlignRecord
from nucprof.config import Project
from nucprof.errors import FieldError, FieldExcluded
from nucprof.io.results import Results
from nucprof.plate.keys import FieldKey, FieldSelector
from nucprof.plate.layout import Layout
from nucprof.plate.sources import Source
from nucprof.report.records import StageRun

if TYPE_CHECKING:  # numpy and pandas would slow `nucprof --help`
    import numpy as np

    from nucprof.raw.index import ImageIndex

WHOLE = ("", "")  # plate and field of a job for the whole project


@dataclass(frozen=True, kw_only=True)
class Job:
    """One unit of work: usually a field. Stages add everything else that decides their result.

    Attributes
    ----------
    plate, field : str
        The field of the job; both empty for the whole project.
    inputs : tuple of Path
        Files that are read, in a fixed order: the content of each one decides the result.
    outputs : tuple of Path
        Files that are written.
    """

    plate: str = ""
    field: str = ""
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]

    @property
    def key(self) -> tuple[str, str]:
        """Plate and field."""
        return self.plate, self.field

    @property
    def name(self) -> str:
        """The name of the job in messages."""
        return f"{self.plate}/{self.field}" if self.field else "the whole project"


@dataclass(frozen=True)
class NoRecord:
    """The record of a stage whose jobs report nothing."""


J = TypeVar("J", bound=Job)
R = TypeVar("R")
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Drop:
    """Cells that are dropped at this stage, and why."""

    plate: str
    field: str
    reason: str
    labels: Sequence[int]


@dataclass
class Outcome(Generic[R]):
    """The result of a job: the record for the tables, the dropped cells, and warnings."""

    record: R
    objects: Sequence[int] | None = None
    dropped: list[Drop] = default(default_factory=list)
    warnings: list[str] = default(default_factory=list)


@dataclass(frozen=True)
class Entry(Generic[R]):
    """A finished job, as in the journal; ``status`` is done, excluded or failed.

    ``inputs`` are fingerprints by path in the job's order, None for a file that was not there.
    ``trace`` is the traceback of an exception that nucprof did not foresee.
    """

    plate: str
    field: str
    status: str
    definition: str
    reason: str = ""
    message: str = ""
    trace: str = ""
    record: R | None = None
    objects: str | None = None
    dropped: Sequence[tuple[str, str, str, str]] = ()
    warnings: Sequence[str] = ()
    inputs: Mapping[str, Sequence[Any] | None] = default(default_factory=dict)
    outputs: Mapping[str, Sequence[Any]] = default(default_factory=dict)
    seconds: float = 0.0

    @property
    def key(self) -> tuple[str, str]:
        """Plate and field."""
        return self.plate, self.field


@dataclass(frozen=True)
class Plan(Generic[J]):
    """The jobs of a stage, and what else its tables depend on.

    ``table_inputs`` and ``table_settings`` decide only the tables. ``consulted`` are files and
    folders that decide which jobs exist, and that are not inputs of these jobs.
    """

    jobs: Sequence[J]
    table_inputs: tuple[Path, ...] = ()
    table_settings: Mapping[str, str | int | bool] = default(default_factory=dict)
    consulted: tuple[Path, ...] = ()


Count = int | float | str | None
Counts = dict[str, Count | dict[str, int]]


@dataclass
class Summary:
    """What a stage wrote and counted, with its lines and warnings for the user."""

    outputs: list[Path] = default(default_factory=list)
    counts: Counts = default(default_factory=dict)
    lines: list[str] = default(default_factory=list)
    warnings: list[str] = default(default_factory=list)
    models: dict[str, str] = default(default_factory=dict)


class Context(Protocol):
    """What a run offers to its stages.

    ``results`` are read; ``written`` are the same, or those in the folder of ``--out``.
    ``outdated`` names earlier stages that are not up to date, where a stage is run by itself.
    """

    project: Project
    results: Results
    written: Results
    name: str
    outdated: tuple[str, ...]

    def entries(self, stage: str) -> Mapping[tuple[str, str], Entry]:
        """Finished jobs of an earlier stage."""
        ...

    def perform(self, stage: Stage, jobs: Sequence[J]) -> Iterator[Entry]:
        """Do jobs that are no part of the results, e.g. for a preview; nothing is recorded."""
        ...

    def workers_of(self, stage: Stage, jobs: Sequence[J]) -> AbstractContextManager[None]:
        """Keep a stage's workers for everything that runs inside the block."""
        ...

    def spread(self, function: Callable[[T], U], items: Sequence[T]) -> list[U]:
        """Apply a function of a module to items, in the workers that do the stage's jobs."""
        ...

    @cached_property
    def images(self) -> ImageIndex:
        """Which file holds which channel."""
        ...

    @property
    def runs(self) -> Sequence[StageRun]:
        """What is recorded of every stage that has run, in the order of the stages."""
        ...


@dataclass(frozen=True)
class ActionResult:
    """The result of an action: lines to print, and failures."""

    lines: list[str]
    failures: list[str] = default(default_factory=list)


class Action(Protocol):
    """The action of an option that replaces running the stage.

    Raises an error of :mod:`nucprof.errors` if it cannot act.
    """

    def __call__(self, context: Context, value: Any, fields: Sequence[str]) -> ActionResult:
        """Act: ``value`` is the option's, ``fields`` those of ``--fields``."""
        ...


@dataclass(frozen=True)
class StageOption:
    """An option that only one stage's command has: its flag, type, help text and action."""

    flag: str
    type: type
    help: str
    action: Action

    @property
    def variable(self) -> str:
        """The Python name of the option's value."""
        return self.flag.removeprefix("--").replace("-", "_")


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
    needs : callable
        Names the stages whose results it reads; declared only here.
    uses : tuple of str
        Further stages whose results it reads if there are any.
    makes : tuple of str
        What it writes, for the help text.
    plan, work, finish, prepare : callable
        See the module.
    record : type
        Of the record in an outcome and a journal entry.
    skip : callable
        Returns why a project does not need the stage, or None.
    asked : callable
        Raises an error if the stage's own command is called and cannot do what it says.
    isolated : callable
        Whether its work needs processes of its own (TensorFlow).
    named : bool
        Whether results are stored under a name (``--name``).
    elsewhere : bool
        Whether its results can be written to another folder (``--out``): it has one job.
    options : tuple of StageOption
        Options of its command in addition to the settings.
    space : callable
        Estimates the bytes that jobs will write, where these are many.
    ledger : bool
        Whether its jobs decide which cells there are.
    reads_images : bool
        Whether its jobs read the microscope's own files.
    version : int
        Increased when the same settings give another result.
    """

    name: str
    help: str
    sections: tuple[str, ...]
    needs: Callable[[Project], tuple[str, ...]]
    makes: tuple[str, ...]
    plan: Callable[[Context], Plan[Any]]
    work: Callable[[Any], Outcome[Any]]
    finish: Callable[[Context, Any, Sequence[Entry[Any]]], Summary]
    prepare: Callable[[Context, Any, Sequence[Any]], None] | None = None
    record: type = NoRecord
    skip: Callable[[Project], str | None] = lambda project: None
    asked: Callable[[Project], None] = lambda project: None
    isolated: Callable[[Project], bool] = lambda project: False
    named: bool = False
    elsewhere: bool = False
    options: tuple[StageOption, ...] = ()
    space: Callable[[Context, Sequence[Any]], float] = lambda context, jobs: 0.0
    uses: tuple[str, ...] = ()
    ledger: bool = True
    reads_images: bool = False
    version: int = 1

    @property
    def command(self) -> str:
        """The command's words: ``train rf``."""
        return self.name.replace("-", " ")


def needs(*names: str) -> Callable[[Project], tuple[str, ...]]:
    """Stages that every project needs beforehand."""
    return lambda project: names


def disabled(section: str) -> Callable[[Project], str | None]:
    """Skip a stage whose section has ``enabled = false``."""

    def skip(project: Project) -> str | None:
        enabled = project.section(section).model_dump()["enabled"]
        return None if enabled else f"{section}.enabled is false"

    return skip


def without_ground_truth(project: Project) -> str | None:
    """Skip a stage that has nothing to do without a ground-truth round."""
    return None if project.has_ground_truth else "the project has no ground-truth round"


def fields_with_masks(context: Context) -> list[tuple[str, str]]:
    """Fields with remaining cells: after alignment if there is ground truth."""
    return survivors(context, "align" if context.project.has_ground_truth else "segment")


def survivors(context: Context, stage: str) -> list[tuple[str, str]]:
    """Fields that an earlier stage finished and did not exclude, sorted."""
    selector = FieldSelector(tuple(context.project.project.exclude))
    return sorted(
        key
        for key, entry in context.entries(stage).items()
        if entry.status == "done" and not selector.matches(key[0], FieldKey.parse(key[1]))
    )


def cells_of(context: Context, jobs: Sequence[Job]) -> int:
    """Number of cells in the fields of jobs, after segmentation and alignment."""
    segmented, aligned = context.entries("segment"), context.entries("align")
    total = 0
    for job in jobs:
        found = aligned[job.key].record if job.key in aligned else None
        if isinstance(found, AlignRecord) and found.rounds:
            total += min(r.cells_kept for r in found.rounds)
        elif job.key in segmented:
            total += getattr(segmented[job.key].record, "cells", 0)
    return total


def mask_path(context: Context, kind: str, plate: str, field_name: str) -> Path:
    """The mask that later stages use: the aligned one if there is ground truth."""
    results = context.results
    if context.project.has_ground_truth:
        return results.aligned_mask(plate, kind, field_name)
    return results.mask(plate, kind, field_name)


def read_sources(job: Job, sources: Mapping[str, Source], channels: Sequence[str]) -> np.ndarray:
    """Read a field's channels, ``(C, H, W)``.

    Raises
    ------
    FieldExcluded
        A channel has no file, or an unreadable one: the field is left out.
    FieldError
        A file does not exist any more.
    """
    from nucprof.io.images import read_channels

    missing = [name for name in channels if name not in sources]
    if missing:
        raise FieldExcluded("no_channel", f"{job.name} has no file for channel {missing[0]}.")
    chosen = [sources[name] for name in channels]
    try:
        return read_channels(chosen)
    except FieldError as error:
        if all(path.is_file() for source in chosen for path in source.files):
            raise FieldExcluded("unreadable", f"{job.name}: {error}") from None
        raise


def layouts(project: Project) -> dict[str, Layout]:
    """Layout by plate; plates without one are absent."""
    from nucprof.io.layouts import read_layout

    mixed, names = project.gate.mixed_culture, [plate.name for plate in project.plates]
    return {
        plate.name: read_layout(plate.layout, plate.name, names).with_mixed_called(mixed)
        for plate in project.plates
        if plate.layout
    }


def layout_paths(project: Project) -> tuple[Path, ...]:
    """Files of the layouts."""
    return tuple(plate.layout for plate in project.plates if plate.layout)
