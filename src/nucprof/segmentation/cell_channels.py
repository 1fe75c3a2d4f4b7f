"""Which channels bound the cells of a plate: measured once on its fields and kept in a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field

from nucprof.errors import FieldError
from nucprof.io.files import write_json
from nucprof.io.state import StateFile, find_state, read_state
from nucprof.plate.sources import Source
from nucprof.segmentation.plate_sample import Identity, are_replaced, identify, measure_sample

if TYPE_CHECKING:  # scipy would slow `nucprof --help`
    from nucprof.core.cell_stain import Stain

    Spread = Callable[
        [Callable[["FieldChannels"], list[Stain] | None], Sequence["FieldChannels"]],
        list[list[Stain] | None],
    ]

Level = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class FieldChannels:
    """A field to measure: its nuclear channel and the channels of the cells."""

    nuclei: Source
    cells: tuple[Source, ...]

    @property
    def sources(self) -> tuple[Source, ...]:
        """All of them."""
        return self.nuclei, *self.cells


class PlateStain(BaseModel):
    """A channel of the plate; see :class:`nucprof.core.cell_stain.Stain`."""

    background: Level
    ring: Level
    share: Level


class CellChannelsFile(StateFile):
    """The file of a plate's cell channels."""

    nuclei: str
    asked: list[str]
    given: bool
    used: list[str]
    stains: dict[str, PlateStain]
    fields: list[str]
    images: dict[str, Identity] = Field(default_factory=dict)


@dataclass(frozen=True)
class PlateChannels:
    """A plate whose cell channels are wanted.

    Attributes
    ----------
    path : Path
        Where the choice is kept.
    nuclei : str
        The nuclear channel.
    cells : tuple of str
        The channels to choose from.
    given : bool
        Whether the user named them: all are used then.
    fields : mapping
        Field -> its channels, for the fields of the plate that have them all.
    """

    path: Path
    nuclei: str
    cells: tuple[str, ...]
    given: bool
    fields: Mapping[str, FieldChannels]


def cell_channels_path(folder: Path, plate: str) -> Path:
    """Where a plate's cell channels are kept."""
    return folder / f"cell-channels-{plate}.json"


def ensure_cell_channels(plates: Sequence[PlateChannels], spread: Spread) -> None:
    """Measure the plates that are not known yet, fields of all plates at once.

    Parameters
    ----------
    plates : sequence of PlateChannels
    spread : callable
        Applies a function to items, in worker processes.
    """
    from nucprof.core.cell_stain import choose_stains, typical_stains

    wanted = [plate for plate in plates if not _is_known(plate)]
    found = measure_sample([plate.fields for plate in wanted], measure_field, spread)
    for plate, own in zip(wanted, found, strict=True):
        measured = {field: stains for field, stains in own.items() if stains}
        stains = dict(zip(plate.cells, typical_stains(list(measured.values())), strict=False))
        used = list(plate.cells) if plate.given or not stains else choose_stains(stains)
        write_json(
            plate.path,
            {
                "nuclei": plate.nuclei,
                "asked": list(plate.cells),
                "given": plate.given,
                "used": used,
                "stains": {name: asdict(stain) for name, stain in stains.items()},
                "fields": list(measured),
                "images": {name: identify(plate.fields[name].sources) for name in own},
            },
        )


def measure_field(field: FieldChannels) -> list[Stain] | None:
    """Measure one field in a worker; an unreadable one counts as not measured."""
    from nucprof.core.cell_stain import measure_stains
    from nucprof.io.images import read_channels
    from nucprof.segmentation.watershed import segment_watershed

    try:
        image = read_channels([field.nuclei, *field.cells])
    except FieldError:
        return None
    return measure_stains(segment_watershed(image[0]), list(image[1:]))


def _is_known(plate: PlateChannels) -> bool:
    held = find_state(plate.path, CellChannelsFile)
    asked = (plate.nuclei, list(plate.cells), plate.given)
    if held is None or (held.nuclei, held.asked, held.given) != asked:
        return False
    return not are_replaced(held.images, {f: own.sources for f, own in plate.fields.items()})


def read_stains(path: Path) -> dict[str, Stain]:
    """Read the channels that are used, with their levels; empty if none could be measured."""
    from nucprof.core.cell_stain import Stain

    held = _read(path)
    return {name: Stain(**held.stains[name].model_dump()) for name in held.used if held.stains}


def _read(path: Path) -> CellChannelsFile:
    return read_state(path, CellChannelsFile, "run: nucprof segment PROJECT")


def describe_cell_channels(plate: str, path: Path) -> str:
    """A plate's cell channels in one line."""
    held = _read(path)
    if not held.stains:
        return f"plate {plate}: cells on {', '.join(held.used)} (no field could be measured)"
    shares = {name: f"{name} ({stain.share:.0%})" for name, stain in held.stains.items()}
    line = f"plate {plate}: cells on {', '.join(shares[name] for name in held.used)}"
    left = [shares[name] for name in held.asked if name not in held.used]
    if left:
        line += f", without {', '.join(left)}"
    return f"{line}; in brackets, the share of the surroundings that is darker than the cells"
