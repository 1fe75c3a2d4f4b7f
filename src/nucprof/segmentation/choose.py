"""Choice of backend and weights from the settings, and the backend that is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from nucprof.config.segmenters import SegmentSettings, broken_segmenters
from nucprof.config.segmenters import segmenters as declarations
from nucprof.config.setting import Section
from nucprof.errors import ProjectError
from nucprof.machine import resolve_device
from nucprof.segmentation import weights
from nucprof.segmentation.backends.base import Backend, Request, Segmenter

_LOADED: dict[tuple[str, str], Backend] = {}


def segmenters() -> Mapping[str, Segmenter]:
    """Every installed backend that can be used, by name."""
    return cast("Mapping[str, Segmenter]", declarations())


def load(segmenter: str, request: Request) -> Backend:
    """Return the backend of a request; the last one is kept for the process's next field."""
    key = segmenter, request.key
    if key not in _LOADED:
        _LOADED.clear()  # two networks at a time would not fit a small GPU
        _LOADED[key] = segmenters()[segmenter].load(request)
    return _LOADED[key]


def choose_segmenter(settings: SegmentSettings, device: str) -> Segmenter:
    """The backend that the settings name, or the one for their mode and this machine.

    Parameters
    ----------
    settings : SegmentSettings
    device : str
        ``execution.device``; only used if it decides.

    Raises
    ------
    ProjectError
        The backend does not find what the mode asks for.
    """
    found = segmenters()
    name = settings.backend
    if name is None:
        name = "stardist" if settings.mode == "nuclei" else _finder_of_cells(device)
    if name not in found:
        raise ProjectError(f'segment.backend = "{name}": {broken_segmenters()[name]}.')
    if settings.mode not in found[name].finds:
        fitting = " or ".join(sorted(n for n, s in found.items() if settings.mode in s.finds))
        raise ProjectError(
            f'segment.backend = "{name}" does not find {settings.mode}: choose {fitting}, or '
            "change segment.mode."
        )
    return found[name]


def _finder_of_cells(device: str) -> str:
    return "propagate" if device == "cpu" or resolve_device(device) == "cpu" else "cellpose"


def model_name(segmenter: Segmenter, own: Section) -> str | None:
    """Name or folder of the weights; None where the backend has none."""
    chosen: str | None = getattr(own, "model", None)
    return None if segmenter.model is None else chosen or segmenter.model


def find_model(segmenter: Segmenter, own: Section, models_dir: Path | None) -> Path | None:
    """Find the weights; fetched only where ``download`` is true.

    Raises
    ------
    ModelError
        The model is not here; the message names the three ways to get it.
    """
    name = model_name(segmenter, own)
    if name is None:
        return None
    known = weights.KNOWN.get(name)
    if getattr(own, "download", False) and known is not None and known.backend == segmenter.family:
        return weights.fetch(name, models_dir)  # only if it is missing
    return weights.resolve_model(name, models_dir, backend=segmenter.family)
