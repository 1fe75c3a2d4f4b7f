"""Which focal plane and which time point of a round are used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nucprof.config.models import RenameSettings
from nucprof.errors import ProjectError
from nucprof.plate.sources import Projection
from nucprof.raw.round_files import RoundFile, RoundFiles


@dataclass(frozen=True)
class Stacked:
    """How many focal planes and time points a round has, in its files or as files."""

    z: int
    times: int

    @property
    def text(self) -> str:
        """Description, empty if there is one of each."""
        words = ((self.z, "focal planes (Z)"), (self.times, "time points (T)"))
        return " and ".join(f"{n} {what}" for n, what in words if n > 1)


@dataclass(frozen=True)
class Choice:
    """The choice made for a round: a projection, and the time as an index and in file names."""

    projection: Projection | None
    time: int
    named_time: int | None

    def of_time(self, files: Sequence[RoundFile]) -> list[RoundFile]:
        """The files of the chosen time point."""
        return [f for f in files if self.named_time in (None, f.parsed.t)]


def stacked(found: RoundFiles) -> Stacked:
    """Count the focal planes and time points of a round."""
    files = found.files
    infos = found.infos.values()
    return Stacked(
        max(*(info.z for info in infos), len({file.parsed.z for file in files})),
        max(*(info.times for info in infos), len({file.parsed.t for file in files})),
    )


def choose(found: RoundFiles, settings: RenameSettings) -> Choice:
    """Choose by the settings ``rename.projection`` and ``rename.time``.

    Raises
    ------
    ProjectError
        There are several focal planes or time points and no choice, or one that does not exist.
    """
    held = stacked(found)
    projection = settings.for_round(found.round.name).projection
    assert not isinstance(projection, dict)
    keys = needed(held, projection, settings.time)
    if keys:
        raise ProjectError(
            f"{found.round.text}: the images have {held.text}; choose under [rename]: "
            f"{', '.join(keys)}."
        )
    for what, value, count in (
        ("rename.projection", projection if isinstance(projection, int) else 1, held.z),
        ("rename.time", settings.time or 1, held.times),
    ):
        if count > 1 and value > count:
            raise ProjectError(f"{found.round.text}: {what} = {value}, but there are {count}.")
    times = sorted({file.parsed.t for file in found.files})
    index = (settings.time or 1) - 1
    return Choice(projection, index, times[index] if len(times) > 1 else None)


def needed(held: Stacked, projection: Projection | None, time: int | None) -> list[str]:
    """The keys to set, each with its possible values."""
    keys = []
    if held.z > 1 and projection is None:
        keys.append(f'projection = "max" (or "mean", "best_focus", or a plane, 1 to {held.z})')
    if held.times > 1 and time is None:
        keys.append(f"time = 1 (1 to {held.times})")
    return keys
