"""The measured size of a plate's nuclei, from which crop sizes are checked and chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nucprof.core.weighted import weighted_median
from nucprof.io.files import write_json
from nucprof.io.results import Results


def median_areas(fields: Sequence[tuple[str, float, int]]) -> dict[str, float]:
    """Median nuclear area of every plate, pixels.

    Parameters
    ----------
    fields : sequence of (plate, median area, number of nuclei)

    Returns
    -------
    dict
        The median of the fields' medians, each counted as often as it has nuclei; a plate without
        nuclei is absent.
    """
    areas: dict[str, float] = {}
    for plate in dict.fromkeys(plate for plate, _, _ in fields):
        own = [(area, count) for name, area, count in fields if name == plate and count]
        if own:
            areas[plate] = float(weighted_median(*zip(*own, strict=True)))
    return areas


def write_nuclear_size(results: Results, areas: Mapping[str, float]) -> Path:
    """Write the nuclear diameters of the plates (of the disk of equal area, pixels)."""
    diameters = {plate: round(float(np.sqrt(4 / np.pi * a)), 2) for plate, a in areas.items()}
    write_json(results.nuclear_size, {"diameter_px": diameters})
    return results.nuclear_size
