"""What is measured once per plate before its fields are segmented: the scale, the cell channels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nucprof.segmentation.backends.stardist import torch_device
from nucprof.segmentation.cell_channels import (
    FieldChannels,
    PlateChannels,
    describe_cell_channels,
    ensure_cell_channels,
)
from nucprof.segmentation.scale_file import (
    Measurement,
    PlateToMeasure,
    describe_scale,
    ensure_scales,
    read_scale,
    scale_is_known,
    warn_of_scale,
)
from nucprof.stages.base import Context
from nucprof.stages.segment.job import SegmentJob


def measure_plates(context: Context, jobs: Sequence[SegmentJob]) -> None:
    """Measure what is not known yet, on a sample of the fields of every plate.

    Parameters
    ----------
    context : Context
    jobs : sequence of SegmentJob
        All fields of these plates.
    """
    ensure_scales(_to_measure(jobs), context.spread)
    ensure_cell_channels(_to_choose(context, jobs), context.spread)


def known_scales(jobs: Sequence[SegmentJob]) -> set[Path]:
    """The files that hold the scales of these plates, where they need not be measured again."""
    return {plate.path for plate in _to_measure(jobs) if scale_is_known(plate)}


@dataclass
class Measured:
    """What is known of the plates: files, scale by plate, lines and warnings for the user."""

    files: list[Path] = field(default_factory=list)
    scales: dict[str, float] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def describe_plates(jobs: Sequence[SegmentJob]) -> Measured:
    """Describe what was measured for the plates of these jobs."""
    found = Measured()
    for plate, path in _files(jobs, "scale"):
        found.files.append(path)
        found.scales[plate] = read_scale(path)
        found.lines.append(describe_scale(plate, path))
        found.warnings += warn_of_scale(plate, path)
    for plate, path in _files(jobs, "cell_channels"):
        found.files.append(path)
        found.lines.append(describe_cell_channels(plate, path))
    return found


def _files(jobs: Sequence[SegmentJob], kind: str) -> Iterator[tuple[str, Path]]:
    """Each plate's file of this kind, where there is one."""
    for plate, path in {job.plate: getattr(job, kind) for job in jobs}.items():
        if path is not None and path.is_file():
            yield plate, path


def _by_plate(jobs: Sequence[SegmentJob]) -> list[list[SegmentJob]]:
    plates: dict[str, list[SegmentJob]] = {}
    for job in jobs:
        plates.setdefault(job.plate, []).append(job)
    return list(plates.values())


def _to_choose(context: Context, jobs: Sequence[SegmentJob]) -> list[PlateChannels]:
    """The plates whose cell channels are chosen, each with its fields that have them all."""
    given = bool(context.project.segment.channels)
    wanted = []
    for own in _by_plate(jobs):
        nuclei, *cells = own[0].channels
        if own[0].cell_channels is not None:
            fields = {
                j.field: FieldChannels(j.sources[nuclei], tuple(j.sources[c] for c in cells))
                for j in own
                if set(j.channels) <= set(j.sources)
            }
            path = own[0].cell_channels
            wanted.append(PlateChannels(path, nuclei, tuple(cells), given, fields))
    return wanted


def _to_measure(jobs: Sequence[SegmentJob]) -> list[PlateToMeasure]:
    """The plates whose scale is measured, each with the nuclear channel of all its fields."""
    wanted = []
    for own in _by_plate(jobs):
        first = own[0]
        if first.scale is not None and first.model is not None:
            planes = {j.field: j.sources[j.channels[0]] for j in own if j.channels[0] in j.sources}
            device = torch_device(first.device) or "cpu"
            wanted.append(
                PlateToMeasure(
                    first.scale,
                    _measurement(first),
                    first.model,
                    device,
                    "bfloat16" if first.precision == "bfloat16" else "float32",
                    planes,
                )
            )
    return wanted


def _measurement(job: SegmentJob) -> Measurement:
    """What decides the scale of a field's plate, in addition to its images."""
    pmin, pmax = getattr(job.settings, "pmin", 1.0), getattr(job.settings, "pmax", 99.0)
    return Measurement(job.weights, job.channels[0], pmin, pmax)
