"""One scale for a whole plate, measured on a few of its fields by the network that will be used."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from nucprof.core.sample import evenly_spaced
from nucprof.errors import FieldError
from nucprof.io.images import read_channels

#: Fields measured per plate.
FIELDS = 8
Source = tuple[str, int]


def measure_plate(
    model: Path, planes: Mapping[str, Source], *, pmin: float, pmax: float, threads: int
) -> dict[str, Any]:
    """Measure the nuclear diameter on evenly spaced fields and choose the network's scale.

    Parameters
    ----------
    model : Path
        Folder of a StarDist model.
    planes : mapping
        Field -> file and plane of its nuclear channel.
    pmin, pmax, threads
        As for :class:`~nucprof.segmentation.stardist.StarDistBackend`.

    Returns
    -------
    dict
        ``scale``, ``nuclear_diameter_px`` (None where nothing was found),
        ``canonical_diameter_px`` (None where the model does not say) and ``fields``.
    """
    chosen = evenly_spaced(sorted(planes), FIELDS)
    # TensorFlow must not enter this process, where torch may be; it leaves with its own.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        sources = [planes[field] for field in chosen]
        choice = executor.submit(_measure, model, sources, pmin, pmax, threads).result()
    return {**choice, "fields": chosen}


def _measure(
    model: Path, sources: Sequence[Source], pmin: float, pmax: float, threads: int
) -> dict[str, Any]:
    from nucprof.segmentation.stardist import measure_scale

    images = []
    for source in sources:
        try:
            images.append(read_channels([source])[0])
        except FieldError:
            continue  # the field itself will fail, with its reason
    choice = measure_scale(model, images, pmin=pmin, pmax=pmax, threads=threads)
    found = np.isfinite(choice.diameter_px)
    return {
        "scale": choice.scale,
        "nuclear_diameter_px": round(choice.diameter_px, 2) if found else None,
        "canonical_diameter_px": choice.canonical_diameter_px,
    }
