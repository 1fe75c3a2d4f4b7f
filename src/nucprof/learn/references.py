"""The reference wells of a project, and their cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from nucprof.config import Project
from nucprof.config.models import ReferenceSettings
from nucprof.plate.references import reference_wells

if TYPE_CHECKING:
    import pandas as pd

    from nucprof.plate.layout import Layout

Well = tuple[str, str]
"""Plate and well."""


@dataclass(frozen=True)
class References:
    """What says which wells are reference wells.

    Attributes
    ----------
    layouts
        File of the layout by plate, None where a plate has none.
    settings
        The section [reference].
    mixed_culture
        The layout's word for mixed wells.
    """

    layouts: Mapping[str, Path | None]
    settings: ReferenceSettings
    mixed_culture: str

    @property
    def files(self) -> tuple[Path, ...]:
        """The layouts' files."""
        return tuple(path for path in self.layouts.values() if path)

    @property
    def cultures(self) -> dict[Well, str]:
        """The layout's culture of every well that it names."""
        return {
            (plate, str(well)): culture
            for plate, layout in self._read.items()
            for well, culture in (layout.cultures.items() if layout else ())
        }

    @property
    def wells(self) -> dict[Well, str]:
        """The culture of every reference well.

        Raises
        ------
        UserError
            If [reference] names what is not there.
        """
        found = reference_wells(
            self._read,
            wells=self.settings.wells,
            culture=self.settings.culture,
            mixed_culture=self.mixed_culture,
        )
        return {
            (plate, str(well)): culture
            for plate, wells in found.items()
            for well, culture in wells.items()
        }

    @cached_property
    def _read(self) -> dict[str, Layout | None]:
        from nucprof.io.layouts import read_layout

        return {
            plate: read_layout(path, plate, self.layouts) if path else None
            for plate, path in self.layouts.items()
        }


def references_of(project: Project) -> References:
    """What a project says of its reference wells."""
    layouts = {plate.name: plate.layout for plate in project.plates}
    return References(layouts, project.reference, project.gate.mixed_culture)


def mark_references(cells: pd.DataFrame, wells: Mapping[Well, str]) -> pd.DataFrame:
    """Add the column `reference`: the culture of a reference well's cells, missing elsewhere."""
    import pandas as pd

    from nucprof.plate.columns import PLATE, REFERENCE, WELL

    keys = zip(cells[PLATE], cells[WELL], strict=True)
    culture = pd.Series([wells.get(key) for key in keys], cells.index, dtype=object)
    return cells.assign(**{REFERENCE: culture})


def reference_cells(cells: pd.DataFrame, wells: Mapping[Well, str]) -> pd.DataFrame:
    """The cells of reference wells, with the column `reference`."""
    from nucprof.plate.columns import REFERENCE

    marked = mark_references(cells, wells)
    return marked[marked[REFERENCE].notna()].reset_index(drop=True)
