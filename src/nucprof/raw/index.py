"""``images.csv``: which file and plane holds which channel of which field."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nucprof.errors import FieldExcluded, UserError
from nucprof.plate.keys import FieldKey

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["plate", "well", "row", "column", "site", "round", "channel", "path", "plane"]


@dataclass(frozen=True)
class ImageIndex:
    """Files by plate, field and round: ``(plate, field, round) -> {channel: (path, plane)}``."""

    channels: dict[tuple[str, str, str], dict[str, tuple[str, int]]]

    @classmethod
    def read(cls, path: Path) -> ImageIndex:
        """Read ``images.csv``; raises :class:`UserError` where it is missing or damaged."""
        channels: dict[tuple[str, str, str], dict[str, tuple[str, int]]] = {}
        try:
            # the csv module: pandas alone would take longer than all that `status` may take
            with path.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    field = FieldKey(row["row"], int(row["column"]), int(row["site"]))
                    held = channels.setdefault((row["plate"], str(field), row["round"]), {})
                    held[row["channel"]] = (row["path"], int(row["plane"]))
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

    def has(self, plate: str, field: str, round_name: str) -> bool:
        """Whether a field was imaged in a round."""
        return (plate, field, round_name) in self.channels

    def sources(
        self, plate: str, field: str, round_name: str, channels: Sequence[str]
    ) -> list[tuple[str, int]]:
        """``(path, plane)`` of the channels, in the order asked for.

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
        return [held[name] for name in channels]


def index_table(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Rows of ``images.csv`` in their stated order."""
    import pandas as pd

    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values(["plate", "round", "row", "column", "site"], kind="stable")
