"""What disturbs marker intensities, whether it matters for the cutoffs, and its removal.

Plates of different brightness, light of one marker in another's channel, and a background that
differs between fields. None is corrected by default; each is reported if it matters.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nucprof.core.gating import MarkerCells, find_sides
from nucprof.core.markers import FloatArray, Rule
from nucprof.core.unmix import spillover, unmix

MATTERS = 0.25
"""A disturbance is reported if it exceeds this share of the marker's own light."""
UNEVEN = 1.5
"""Plates differ in brightness if their 10th or 90th percentiles differ by this factor, and by more
than `MATTERS` of the range between the two."""


def unmix_cells(
    cells: MarkerCells, rules: Mapping[str, Rule], *, per_plate: bool, mixed: str
) -> MarkerCells:
    """All cells without bleed-through, measured per plate or per project like the cutoffs.

    Raises
    ------
    DataError
        Two channels cannot be separated (see :func:`unmix`).
    """
    values = {marker: column.copy() for marker, column in cells.values.items()}
    plates = cells.plate_names if per_plate else [None]
    for plate in plates:
        here = np.full(len(cells), True) if plate is None else cells.plates == plate
        part = cells.where(here)
        shares, base, _ = _light(part, rules, mixed)
        for marker, column in unmix(part.values, shares, base).items():
            values[marker][here] = column
    return MarkerCells(values, cells.cultures, cells.plates, cells.wells)


def _light(
    cells: MarkerCells, rules: Mapping[str, Rule], mixed: str
) -> tuple[FloatArray, list[float], list[float]]:
    """Spill-over of the markers, intensity of cells without each, and each one's own light.

    The own light, of a typical cell that carries the marker, is NaN where there is no such
    monoculture.
    """
    sides = find_sides(rules, cells.monocultures(mixed))
    carrying = {m: np.isin(cells.cultures, side.carrying) for m, side in sides.items()}
    base, own = [], []
    for marker, values in cells.values.items():
        known = ~np.isnan(values)
        without = values[np.isin(cells.cultures, sides[marker].lacking) & known]
        with_marker = values[carrying[marker] & known]
        lowest = np.percentile(values[known], 10) if known.any() else 0.0
        base.append(float(np.median(without) if len(without) else lowest))
        own.append(float(np.median(with_marker)) - base[-1] if len(with_marker) else float("nan"))
    return spillover(cells.values, carrying), base, own


def bleed_through(cells: MarkerCells, rules: Mapping[str, Rule], mixed: str) -> list[str]:
    """Describe bleed-through that is large enough to matter."""
    lines = []
    for plate in cells.plate_names:
        shares, _, own = _light(cells.plate(plate), rules, mixed)
        for i, marker in enumerate(cells.values):
            for j, channel in enumerate(cells.values):
                # a comparison with NaN is false
                if i != j and own[j] > 0 and shares[i, j] * own[i] / own[j] > MATTERS:
                    lines.append(
                        f"plate {plate}: {shares[i, j]:.0%} of the light of {marker} is seen in "
                        f"the channel of {channel}, where it reaches "
                        f"{shares[i, j] * own[i] / own[j]:.0%} of the light of {channel}; "
                        "--unmix removes it"
                    )
    return lines


def uneven_background(
    cells: MarkerCells,
    background: Mapping[str, FloatArray],
    rules: Mapping[str, Rule],
    mixed: str,
) -> list[str]:
    """Describe backgrounds that differ enough between fields to matter.

    Parameters
    ----------
    cells : MarkerCells
        As measured, the background not subtracted.
    background : mapping
        Marker -> ``(N,)`` background of each cell's field, see `nucprof.core.unmix`; a marker that
        is not in it is skipped.
    rules, mixed
        See :func:`unmix_cells`.
    """
    lines = []
    for plate in cells.plate_names:
        here = cells.plates == plate
        _, _, own = _light(cells.where(here), rules, mixed)
        for marker, light in zip(cells.values, own, strict=True):
            levels = background.get(marker, np.full(len(cells), np.nan))[here]
            if np.isnan(levels).all():
                continue
            spread = float(np.nanmax(levels) - np.nanmin(levels))
            if spread > MATTERS * light > 0:
                lines.append(
                    f"plate {plate}: the background of {marker} differs by {spread:.0f} grey "
                    f"levels between fields, which is {spread / light:.0%} of the marker's own "
                    "light; --background field subtracts it"
                )
    return lines


def uneven_plates(cells: MarkerCells, markers: list[str]) -> list[str]:
    """Describe markers whose brightness differs between plates, by the two extreme plates.

    Cells of the cultures that occur on all plates are compared; all cells if there are none.
    """
    shared = set.intersection(*({*cells.plate(p).cultures} for p in cells.plate_names)) - {""}
    chosen = np.isin(cells.cultures, sorted(shared)) if shared else np.full(len(cells), True)
    lines = []
    for marker in markers:
        values = cells.values[marker]
        known = chosen & ~np.isnan(values)
        groups = {p: values[known & (cells.plates == p)] for p in cells.plate_names}
        found = {p: np.percentile(v, (10, 90)) for p, v in groups.items() if len(v)}
        for end in (1, 0):
            low = min(found, key=lambda p: found[p][end], default="")
            high = max(found, key=lambda p: found[p][end], default="")
            if low == high:
                continue
            step = found[high][end] - found[low][end]
            factor = found[high][end] > UNEVEN * max(found[low][end], 0)
            if factor and step > MATTERS * np.ptp(found[low]):
                lines.append(
                    f"{marker} is brighter on plate {high} than on plate {low} (its "
                    f"{('10th', '90th')[end]} percentiles are {found[high][end]:.0f} and "
                    f"{found[low][end]:.0f})"
                )
                break
    return lines
