"""``images.csv``: which file, plane, position and time holds which channel of which field.

A channel has one row, or one row per focal plane if every plane is a separate file.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nucprof.errors import FieldExcluded, UserError
from nucprof.io.tables import as_written
from nucprof.plate.keys import CP_ROUND, FieldKey
from nucprof.plate.sources import Projection, Source

if TYPE_CHECKING:
    import pandas as pd

    from nucprof.raw.channels import FieldSources
    from nucprof.raw.round_files import Round

COLUMNS = [
    "plate",
    "well",
    "row",
    "column",
    "site",
    "round",
    "channel",
    "path",
    "plane",
    "position",
    "time",
    "projection",
    "zoom",
    "pixel_size_um",
    "parts",
    "illumination",
]

_BETWEEN = "/"  # no file name has one


@dataclass(frozen=True)
class ImageIndex:
    """Sources of channels: ``(plate, field, round) -> {channel: source}``."""

    channels: dict[tuple[str, str, str], dict[str, Source]]

    @classmethod
    def read(cls, path: Path, moved: tuple[Path, Path] | None = None) -> ImageIndex:
        """Read ``images.csv``.

        Parameters
        ----------
        path : Path
            The file.
        moved : (Path, Path), optional
            The project's folder when the file was written, and now: images below the first are
            looked for below the second.

        Raises
        ------
        UserError
            The file is missing or damaged.
        """
        channels: dict[tuple[str, str, str], dict[str, Source]] = {}
        try:
            # the csv module, because importing pandas takes longer than `status` may take
            with path.open(encoding="utf-8", newline="") as file:
                for row in map(as_written, csv.DictReader(file)):
                    field = FieldKey(row["row"], int(row["column"]), int(row["site"]))
                    held = channels.setdefault((row["plate"], str(field), row["round"]), {})
                    image = _where_now(Path(row["path"]), moved)
                    before = held.get(row["channel"])
                    held[row["channel"]] = _source(row, image, path.parent, before)
        except FileNotFoundError:
            raise UserError("'rename' has not run yet; run: nucprof rename PROJECT") from None
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(
                f"{path} is damaged ({type(error).__name__}: {error}); delete it and run: nucprof "
                "rename PROJECT"
            ) from None
        return cls(channels)

    @property
    def has_pixel_sizes(self) -> bool:
        """Whether the pixel size of any Cell Painting image is known."""
        return any(
            source.pixel_size_um
            for (_, _, name), held in self.channels.items()
            if name == CP_ROUND
            for source in held.values()
        )

    def fields(self, round_name: str) -> list[tuple[str, str]]:
        """Plate and field of every field imaged in a round, in order."""
        return sorted((p, f) for p, f, r in self.channels if r == round_name)

    def has(self, plate: str, field: str, round_name: str) -> bool:
        """Whether a field was imaged in a round."""
        return (plate, field, round_name) in self.channels

    def sources(
        self, plate: str, field: str, round_name: str, channels: Sequence[str]
    ) -> tuple[Source, ...]:
        """Sources of the channels, in the given order.

        Raises
        ------
        FieldExcluded
            The field was not imaged in that round, or lacks a channel.
        """
        held = self.channels.get((plate, field, round_name))
        if held is None:
            raise FieldExcluded(
                "no_partner", f"{plate}/{field} has no image in round {round_name}."
            )
        missing = [name for name in channels if name not in held]
        if missing:
            raise FieldExcluded(
                "no_channel",
                f"{plate}/{field} has no file for channel {', '.join(missing)} in {round_name}.",
            )
        return tuple(held[name] for name in channels)


def pixel_size_of(images: pd.DataFrame) -> float | None:
    """Side of a Cell Painting pixel in µm, from ``images.csv``; None unless all files give one."""
    sizes = images.loc[images["round"] == CP_ROUND, "pixel_size_um"].unique()
    return float(sizes[0]) if len(sizes) == 1 and sizes[0] > 0 else None


def _where_now(path: Path, moved: tuple[Path, Path] | None) -> Path:
    if moved is None or moved[0] == moved[1] or not path.is_relative_to(moved[0]):
        return path
    return moved[1] / path.relative_to(moved[0])


def _source(row: Mapping[str, str], path: Path, folder: Path, before: Source | None) -> Source:
    """A row as a source; or a further focal plane, added to the source of earlier rows."""
    if before is not None:
        return replace(before, stack=(*before.planes, path))
    illumination = row.get("illumination")
    projection: Projection | None = row["projection"] or None
    if projection is not None and str(projection).isdecimal():
        projection = int(projection)
    return Source(
        path,
        int(row["plane"]),
        int(row["position"]),
        int(row["time"]),
        projection,
        zoom=float(row["zoom"]),
        pixel_size_um=float(row["pixel_size_um"]) if row["pixel_size_um"] else None,
        parts=tuple(
            path.with_name(name) for name in (row.get("parts") or "").split(_BETWEEN) if name
        ),
        illumination=folder / illumination if illumination else None,
    )


def index_rows(r: Round, sources: FieldSources, folder: Path) -> list[dict[str, object]]:
    """Rows of ``images.csv``, which lies in ``folder``, for a round."""
    return [
        {
            "plate": r.plate,
            "well": str(key.well),
            "row": key.row,
            "column": key.column,
            "site": key.site,
            "round": r.name,
            "channel": channel,
            "path": str(path),
            "plane": source.plane,
            "position": source.position,
            "time": source.time,
            "projection": source.projection,
            "zoom": source.zoom,
            "pixel_size_um": source.pixel_size_um,
            "parts": _BETWEEN.join(part.name for part in source.parts),
            "illumination": source.illumination
            and source.illumination.relative_to(folder).as_posix(),
        }
        for key, held in sources.items()
        for channel, source in held.items()
        for path in source.planes
    ]


def index_table(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Rows of ``images.csv`` in their stated order."""
    import pandas as pd

    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values(["plate", "round", "row", "column", "site"], kind="stable")
