"""``segment.scale = "auto"``: one scale per plate, measured once and kept in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from nucprof.io.files import read_json, write_json
from nucprof.machine import cores
from nucprof.plate.sources import Source


@dataclass(frozen=True)
class Measurement:
    """What decides a plate's scale, beside its images.

    Attributes
    ----------
    model : str
        Hash of the network's weights.
    channel : str
        The nuclear channel.
    pmin, pmax : float
        Percentiles of the normalisation.
    """

    model: str
    channel: str
    pmin: float
    pmax: float


def scale_path(folder: Path, plate: str) -> Path:
    """Where a plate's scale is kept."""
    return folder / f"scale-{plate}.json"


def ensure_scale(
    path: Path, measurement: Measurement, model: Path, planes: Mapping[str, Source]
) -> None:
    """Measure the scale of one plate, where it is not known already.

    Parameters
    ----------
    path : Path
        Where it is kept.
    measurement : Measurement
        What decides it.
    model : Path
        The network's folder.
    planes : mapping
        Field -> its nuclear channel, for all fields of the plate.
    """
    from nucprof.segmentation.plate_scale import measure_plate

    if scale_is_known(path, measurement):
        return
    measured = measure_plate(
        model, planes, pmin=measurement.pmin, pmax=measurement.pmax, threads=cores()
    )
    write_json(path, {"definition": asdict(measurement), **measured})


def scale_is_known(path: Path, measurement: Measurement) -> bool:
    """Whether a file holds the scale that belongs to a measurement."""
    return path.is_file() and bool(read_json(path)["definition"] == asdict(measurement))


def read_scale(path: Path) -> float:
    """The scale that a file holds."""
    return float(read_json(path)["scale"])


def describe_scale(plate: str, path: Path) -> str:
    """A plate's scale in one line."""
    held = read_json(path)
    size = held["nuclear_diameter_px"]
    nuclei = f"nuclei of about {size} px" if size else "no nuclei to measure"
    return f"plate {plate}: {nuclei}, images scaled by {held['scale']}"
