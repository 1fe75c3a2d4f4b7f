"""Reference wells: the wells of each plate whose culture is known and with which others compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nucprof.errors import UserError
from nucprof.plate.keys import WellKey
from nucprof.plate.layout import Layout

UNNAMED = "reference"
"""Culture of a reference well that is named in the settings and not in the layout."""


def reference_wells(
    layouts: Mapping[str, Layout | None],
    *,
    wells: Sequence[str] = (),
    culture: Sequence[str] = (),
    mixed_culture: str,
) -> dict[str, dict[WellKey, str]]:
    """The reference wells of every plate, and their cultures.

    Parameters
    ----------
    layouts
        Layout by plate; None where a plate has none.
    wells
        The wells themselves, like `B02` (of every plate) or `rep1/B02`.
    culture
        Names of cultures whose wells are reference wells. By default, without `wells`, all
        cultures of the layout but the mixed one.
    mixed_culture
        The layout's name of the mixed culture.

    Returns
    -------
    dict
        Plate -> well -> culture. A plate may have no reference well.

    Raises
    ------
    UserError
        If both wells and cultures are named, a culture or well occurs in no layout, or a text is
        no well.
    """
    cultures = {plate: dict(layout.cultures if layout else {}) for plate, layout in layouts.items()}
    if wells and culture:
        raise UserError("[reference] has both wells and culture; give one of them.")
    if wells:
        named = [_plate_and_well(text) for text in wells]
        _check(wells, named, layouts)
        return {
            plate: {
                well: known.get(well, UNNAMED) for wanted, well in named if wanted in (None, plate)
            }
            for plate, known in cultures.items()
        }
    found = sorted({name for known in cultures.values() for name in known.values()})
    strange = sorted(set(culture) - set(found))
    if strange:
        raise UserError(
            f"reference.culture: no well of the layout holds {', '.join(strange)}; there are: "
            f"{', '.join(found) or 'no cultures'}."
        )
    wanted_cultures = set(culture) or set(found) - {mixed_culture}
    return {
        plate: {well: name for well, name in known.items() if name in wanted_cultures}
        for plate, known in cultures.items()
    }


def _check(
    texts: Sequence[str],
    named: Sequence[tuple[str | None, WellKey]],
    layouts: Mapping[str, Layout | None],
) -> None:
    """Refuse a well of no plate, and one that every layout it could be in leaves empty."""
    for text, (plate, well) in zip(texts, named, strict=True):
        searched = [layouts[name] for name in layouts if plate in (None, name)]
        if not any(layout is None or layout.culture(well) for layout in searched):
            raise UserError(
                f"reference.wells: no plate has a well '{text}' in its layout; a well is written "
                "like B02, or with its plate like rep1/B02."
            )


def _plate_and_well(text: str) -> tuple[str | None, WellKey]:
    plate, _, well = text.rpartition("/")
    return plate or None, WellKey.parse(well)
