"""The reference wells of a project, and their cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nucprof.config import Project
from nucprof.io.tables import read_layout
from nucprof.plate.layout import Layout
from nucprof.plate.references import reference_wells

if TYPE_CHECKING:
    import pandas as pd

Well = tuple[str, str]
"""Plate and well."""


def layout_cultures(project: Project) -> dict[Well, str]:
    """The layout's culture of every well that it names."""
    return {
        (plate, str(well)): culture
        for plate, layout in _layouts(project).items()
        for well, culture in (layout.cultures.items() if layout else ())
    }


def reference_cultures(project: Project) -> dict[Well, str]:
    """The culture of every reference well.

    Raises
    ------
    UserError
        If [reference] names what is not there.
    """
    found = reference_wells(
        _layouts(project),
        wells=project.reference.wells,
        culture=project.reference.culture,
        mixed_culture=project.gate.mixed_culture,
    )
    return {
        (plate, str(well)): culture
        for plate, wells in found.items()
        for well, culture in wells.items()
    }


def mark_references(cells: pd.DataFrame, references: Mapping[Well, str]) -> pd.DataFrame:
    """Add the column `reference`: the culture of a reference well's cells, missing elsewhere."""
    import pandas as pd

    from nucprof.plate.columns import PLATE, REFERENCE, WELL

    wells = zip(cells[PLATE], cells[WELL], strict=True)
    culture = pd.Series([references.get(well) for well in wells], cells.index, dtype=object)
    return cells.assign(**{REFERENCE: culture})


def _layouts(project: Project) -> dict[str, Layout | None]:
    return {
        plate.name: read_layout(plate.layout) if plate.layout else None for plate in project.plates
    }
