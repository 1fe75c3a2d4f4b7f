"""``segment.scale = "auto"``: one scale per plate, measured once and kept in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nucprof.config.models import SegmentSettings
from nucprof.io.files import read_json, write_json
from nucprof.machine import cores
from nucprof.segmentation.plate_scale import measure_plate
from nucprof.stages.base import Job


def is_measured(settings: SegmentSettings) -> bool:
    """Whether the scale is measured, and not given or of no use to the backend."""
    return settings.scale == "auto" and settings.backend in ("stardist", "propagate")


def scale_path(folder: Path, plate: str) -> Path:
    """Where a plate's scale is kept."""
    return folder / f"scale-{plate}.json"


def choose_scale(jobs: Sequence[Job]) -> None:
    """Measure the scale on all fields of one plate, where it is not known already."""
    path: Path | None = jobs[0].runtime["scale"]
    settings: SegmentSettings = jobs[0].params["settings"]
    if path is None or scale_is_known(path, jobs[0]):
        return
    nuclear = jobs[0].params["channels"][0]
    measured = measure_plate(
        jobs[0].runtime["model"],
        {j.field: j.params["sources"][nuclear] for j in jobs if nuclear in j.params["sources"]},
        pmin=settings.pmin,
        pmax=settings.pmax,
        threads=cores(),
    )
    write_json(path, {"definition": _definition(jobs[0]), **measured})


def scale_is_known(path: Path, job: Job) -> bool:
    """Whether a file holds the scale that belongs to a job's settings."""
    return path.is_file() and bool(read_json(path)["definition"] == _definition(job))


def describe_scale(plate: str, path: Path) -> str:
    """A plate's scale in one line."""
    held = read_json(path)
    size = held["nuclear_diameter_px"]
    nuclei = f"nuclei of about {size} px" if size else "no nuclei to measure"
    return f"plate {plate}: {nuclei}, images scaled by {held['scale']}"


def _definition(job: Job) -> dict[str, object]:
    settings: SegmentSettings = job.params["settings"]
    return {
        "model": job.params["model"],
        "channel": job.params["channels"][0],
        "pmin": settings.pmin,
        "pmax": settings.pmax,
    }
