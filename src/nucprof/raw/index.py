"""``images.csv``: which file and plane holds which channel of which field."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucprof.config.models import RenameSettings
from nucprof.errors import FieldExcluded, UserError
from nucprof.plate.keys import FieldKey
from nucprof.plate.sources import Source
from nucprof.raw.rounds import Round, RoundFiles, assign_channels, some

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["plate", "well", "row", "column", "site", "round", "channel", "path", "plane"]


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
            # the csv module: pandas alone would take longer than all that `status` may take
            with path.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    field = FieldKey(row["row"], int(row["column"]), int(row["site"]))
                    held = channels.setdefault((row["plate"], str(field), row["round"]), {})
                    held[row["channel"]] = Source(
                        _where_now(Path(row["path"]), moved), int(row["plane"])
                    )
        except FileNotFoundError:
            raise UserError("'rename' has not run yet; run: nucprof rename PROJECT") from None
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(
                f"{path} is damaged ({error!r}); delete it and run: nucprof rename PROJECT"
            ) from None
        return cls(channels)

    def fields(self, round_name: str) -> list[tuple[str, str]]:
        """Plate and field of every field imaged in a round, in order."""
        return sorted((p, f) for p, f, r in self.channels if r == round_name)

    def sources(
        self, plate: str, field: str, round_name: str, channels: Sequence[str]
    ) -> tuple[Source, ...]:
        """Sources of the channels, in the order asked for.

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


def _where_now(path: Path, moved: tuple[Path, Path] | None) -> Path:
    if moved is None or moved[0] == moved[1] or not path.is_relative_to(moved[0]):
        return path
    return moved[1] / path.relative_to(moved[0])


def index_table(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Rows of ``images.csv`` in their stated order."""
    import pandas as pd

    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values(["plate", "round", "row", "column", "site"], kind="stable")


def index_rows(found: RoundFiles, settings: RenameSettings) -> list[dict[str, Any]]:
    """Rows of ``images.csv`` for a round."""
    r = found.round
    return [
        {
            "plate": r.plate,
            "well": str(key.well),
            "row": key.row,
            "column": key.column,
            "site": key.site,
            "round": r.name,
            "channel": channel,
            "path": str(source.path),
            "plane": source.plane,
        }
        for key, files in sorted(found.fields.items())
        for channel, source in assign_channels(r, key, files, found.infos, settings).items()
    ]


def incomplete(r: Round, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Fields that lack the file of a channel."""
    held = defaultdict(set)
    for row in rows:
        if (row["plate"], row["round"]) == (r.plate, r.name):
            held[FieldKey(row["row"], row["column"], row["site"])].add(row["channel"])
    short = [
        f"{key} ({', '.join(name for name in r.channels if name not in channels)})"
        for key, channels in sorted(held.items())
        if len(channels) < len(r.channels)
    ]
    return [f"{r.text}: fields without the file of a channel: {some(short)}"] if short else []
