"""``segment.scale = "auto"``: one scale per plate, measured once and kept in a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from nucprof.io.files import write_json
from nucprof.io.state import StateFile, find_state, read_state
from nucprof.plate.sources import Source
from nucprof.segmentation.plate_sample import Identity, are_replaced, identify, measure_sample

if TYPE_CHECKING:  # scikit-image would slow `nucprof --help`
    from nucprof.core.scale import FieldSize
    from nucprof.segmentation.plate_scale import ToMeasure
    from nucprof.segmentation.stardist_model import Precision

    Spread = Callable[[Callable[[ToMeasure], FieldSize], Sequence[ToMeasure]], list[FieldSize]]


@dataclass(frozen=True)
class Measurement:
    """What decides a plate's scale, in addition to its images.

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


Size = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class FieldScale(StateFile):
    """The nuclei of one measured field."""

    nuclei: int
    diameter_px: Size | None


class ScaleFile(StateFile):
    """The file of a plate's scale."""

    definition: Measurement
    scale: Size
    nuclear_diameter_px: Size | None
    canonical_diameter_px: Size | None
    fields: dict[str, FieldScale]
    images: dict[str, Identity] = Field(default_factory=dict)


@dataclass(frozen=True)
class PlateToMeasure:
    """A plate whose scale is wanted.

    Attributes
    ----------
    path : Path
        Where the scale is kept.
    measurement : Measurement
        What decides the scale.
    model : Path
        The network's folder.
    device, precision : str
        Where the network runs, and the number format of its multiplications.
    planes : mapping
        Field -> its nuclear channel, for all fields of the plate.
    """

    path: Path
    measurement: Measurement
    model: Path
    device: str
    precision: Precision
    planes: Mapping[str, Source]


def scale_path(folder: Path, plate: str) -> Path:
    """Where a plate's scale is kept."""
    return folder / f"scale-{plate}.json"


def ensure_scales(plates: Sequence[PlateToMeasure], spread: Spread) -> None:
    """Measure the scales that are not known yet, fields of all plates at once.

    Parameters
    ----------
    plates : sequence of PlateToMeasure
    spread : callable
        Applies a function to items, in the processes that will segment.
    """
    from nucprof.segmentation.plate_scale import ToMeasure, choose_plate_scale, measure_source

    wanted = [plate for plate in plates if not scale_is_known(plate)]
    fields = [
        {
            field: ToMeasure(
                plate.model,
                source,
                plate.measurement.pmin,
                plate.measurement.pmax,
                plate.precision,
                plate.device,
            )
            for field, source in plate.planes.items()
        }
        for plate in wanted
    ]
    for plate, own in zip(wanted, measure_sample(fields, measure_source, spread), strict=True):
        choice = choose_plate_scale(plate.model, list(own.values()))
        known = choice.diameter_px == choice.diameter_px  # not NaN
        write_json(
            plate.path,
            {
                "definition": asdict(plate.measurement),
                "scale": choice.scale,
                "nuclear_diameter_px": round(choice.diameter_px, 2) if known else None,
                "canonical_diameter_px": choice.canonical_diameter_px,
                "fields": {
                    field: {
                        "nuclei": size.nuclei,
                        "diameter_px": round(size.diameter_px, 2) if size.nuclei else None,
                    }
                    for field, size in own.items()
                },
                "images": {field: identify([plate.planes[field]]) for field in own},
            },
        )


def scale_is_known(plate: PlateToMeasure) -> bool:
    """Whether a plate's file contains the scale of these images."""
    held = find_state(plate.path, ScaleFile)
    if held is None or held.definition != plate.measurement:
        return False
    return not are_replaced(held.images, {f: [source] for f, source in plate.planes.items()})


def read_scale(path: Path) -> float:
    """Read the scale from a file."""
    return _read(path).scale


def _read(path: Path) -> ScaleFile:
    return read_state(path, ScaleFile, "run: nucprof segment PROJECT")


def describe_scale(plate: str, path: Path) -> str:
    """A plate's scale in one line."""
    held = _read(path)
    size = held.nuclear_diameter_px
    nuclei = f"nuclei of about {size} px" if size else "no nuclear size"
    return f"plate {plate}: {nuclei}, images scaled by {held.scale}"


def warn_of_scale(plate: str, path: Path) -> list[str]:
    """Warn of a plate whose nuclear size could not be measured."""
    held = _read(path)
    if held.nuclear_diameter_px or held.canonical_diameter_px is None:
        return []
    sizes = {f: s.diameter_px for f, s in held.fields.items() if s.nuclei}
    if sizes:
        seen = ", ".join(f"{field} {size:g} px" for field, size in sizes.items())
        why = f"the measured fields differ in the size of their nuclei ({seen})"
    else:
        why = f"no nuclei stand out in the measured fields ({', '.join(held.fields)})"
    return [
        f"plate {plate}: {why}, so its images are segmented at scale 1; look at the overlays, and "
        "give --scale if nuclei are much smaller or larger than "
        f"{held.canonical_diameter_px:g} px"
    ]
