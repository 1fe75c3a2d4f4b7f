"""What disturbs marker intensities, whether it matters for the cutoffs, and its removal.

Plates of different brightness, light of one marker in another's channel, and a background that
differs between fields. None is corrected unasked; each is told where it matters.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nucprof.core.gating import Cutoffs, MarkerCells, find_sides
from nucprof.core.markers import FloatArray, Rule
from nucprof.core.unmix import spillover, unmix

MATTERS = 0.25
"""Share of the way from cells without a marker to its cutoff from which a disturbance is told."""
UNEVEN = 1.5
"""Plates differ in brightness where their 10th or 90th percentiles differ by this factor."""


def unmix_cells(
    cells: MarkerCells, rules: Mapping[str, Rule], *, per_plate: bool, mixed: str
) -> MarkerCells:
    """All cells without bleed-through, which is measured where the cutoffs are.

    Raises
    ------
    DataError
        Two channels cannot be told apart (see :func:`unmix`).
    """
    values = {marker: column.copy() for marker, column in cells.values.items()}
    plates = cells.plate_names if per_plate else [None]
    for plate in plates:
        here = np.full(len(cells), True) if plate is None else cells.plates == plate
        part = cells.where(here)
        shares, base = _light(part, rules, mixed)
        for marker, column in unmix(part.values, shares, base).items():
            values[marker][here] = column
    return MarkerCells(values, cells.cultures, cells.plates, cells.wells)


def _light(
    cells: MarkerCells, rules: Mapping[str, Rule], mixed: str
) -> tuple[FloatArray, list[float]]:
    """Spill-over of the markers, and the intensity of cells without each."""
    sides = find_sides(rules, cells.monocultures(mixed))
    carrying = {m: np.isin(cells.cultures, side.carrying) for m, side in sides.items()}
    base = []
    for marker, values in cells.values.items():
        known = values[~np.isnan(values)]
        without = values[np.isin(cells.cultures, sides[marker].lacking) & ~np.isnan(values)]
        lowest = np.percentile(known, 10) if len(known) else 0.0
        base.append(float(np.median(without) if len(without) else lowest))
    return spillover(cells.values, carrying), base


def bleed_through(
    cells: MarkerCells, cutoffs: Cutoffs, rules: Mapping[str, Rule], mixed: str
) -> list[str]:
    """What bleeds through so much that it matters, in words."""
    sides = find_sides(rules, cells.monocultures(mixed))
    told = []
    for plate in cells.plate_names:
        part = cells.plate(plate)
        shares, base = _light(part, rules, mixed)
        for i, marker in enumerate(part.values):
            own = part.values[marker][np.isin(part.cultures, sides[marker].carrying)]
            own = own[~np.isnan(own)]
            for j, channel in enumerate(part.values):
                way = cutoffs.values[channel][plate] - base[j]
                if i == j or not len(own) or not way > 0:
                    continue
                reach = shares[i, j] * (float(np.median(own)) - base[i]) / way
                if reach > MATTERS:
                    told.append(
                        f"plate {plate}: {shares[i, j]:.0%} of the light of {marker} is seen in "
                        f"the channel of {channel}, {reach:.0%} of the way to its cutoff; "
                        "--unmix removes it"
                    )
    return told


def uneven_background(
    cells: MarkerCells,
    background: Mapping[str, FloatArray],
    cutoffs: Cutoffs,
    rules: Mapping[str, Rule],
    mixed: str,
) -> list[str]:
    """Backgrounds that differ so much between fields that it matters, in words.

    Parameters
    ----------
    cells : MarkerCells
        As measured, the background not subtracted.
    background : mapping
        Marker -> ``(N,)`` background of each cell's field, see `nucprof.core.unmix`; of a marker
        that it lacks nothing is told.
    """
    told = []
    for plate in cells.plate_names:
        here = cells.plates == plate
        _, base = _light(cells.where(here), rules, mixed)
        for marker, low in zip(cells.values, base, strict=True):
            if marker not in background:
                continue
            levels = background[marker][here]
            way = cutoffs.values[marker][plate] - low
            if np.isnan(levels).all() or not way > 0:
                continue
            spread = float(np.nanmax(levels) - np.nanmin(levels))
            if spread > MATTERS * way:
                told.append(
                    f"plate {plate}: the background of {marker} differs by {spread:.0f} grey "
                    f"levels between fields, {spread / way:.0%} of the way to its cutoff; "
                    "--background field subtracts it"
                )
    return told


def uneven_plates(cells: MarkerCells, markers: list[str]) -> list[str]:
    """Markers whose brightness differs between plates, told by what they say of two of them.

    The cultures that all plates hold are compared; where there are none, all cells.
    """
    shared = set.intersection(*({*cells.plate(p).cultures} for p in cells.plate_names)) - {""}
    chosen = np.isin(cells.cultures, sorted(shared)) if shared else np.full(len(cells), True)
    told = []
    for marker in markers:
        values = cells.values[marker]
        known = chosen & ~np.isnan(values)
        groups = {p: values[known & (cells.plates == p)] for p in cells.plate_names}
        found = {p: np.percentile(v, (10, 90)) for p, v in groups.items() if len(v)}
        for end in (1, 0):
            low = min(found, key=lambda p: found[p][end], default="")
            high = max(found, key=lambda p: found[p][end], default="")
            if low != high and found[high][end] > UNEVEN * max(found[low][end], 0):
                told.append(
                    f"{marker} is brighter on plate {high} than on plate {low} (its "
                    f"{('10th', '90th')[end]} percentiles are {found[high][end]:.0f} and "
                    f"{found[low][end]:.0f})"
                )
                break
    return told
