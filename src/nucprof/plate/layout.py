"""The layout of a plate: which culture grows in which well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nucprof.plate.keys import WellKey


@dataclass(frozen=True)
class Layout:
    """Culture by well; wells that the layout leaves empty are not in it."""

    cultures: Mapping[WellKey, str]

    def culture(self, well: WellKey) -> str | None:
        """The culture of a well, None where the layout has none."""
        return self.cultures.get(well)
