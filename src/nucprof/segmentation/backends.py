"""The backends behind one interface, chosen by the settings and loaded once per process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from nucprof.config.models import SegmentSettings
from nucprof.errors import ModelError, ProjectError
from nucprof.segmentation import weights

Labels = npt.NDArray[np.integer]
#: Diameter to which cellpose brings its objects, pixels.
_CELLPOSE_PX = 30.0


@dataclass(frozen=True)
class Planes:
    """What a backend sees of a field: the nuclear plane, and in cell mode the cytoplasm plane.

    Both ``(H, W)``, of any real dtype.
    """

    nuclei: npt.NDArray[np.generic]
    cyto: npt.NDArray[np.generic] | None = None


@dataclass(frozen=True)
class Segmentation:
    """Label images ``(H, W)`` of a field; ``nuclei`` or ``cells`` is None where not segmented."""

    nuclei: Labels | None = None
    cells: Labels | None = None

    def labels(self, kind: str) -> Labels:
        """The label image of a kind that the backend was asked for."""
        found: Labels | None = getattr(self, kind)
        assert found is not None
        return found


class Backend(Protocol):
    """A segmentation method."""

    def segment(self, planes: Planes) -> Segmentation:
        """Segment one field."""
        ...


@dataclass(frozen=True)
class Request:
    """Everything that decides which backend is loaded, and how.

    ``device``, ``threads`` and ``models`` say where it runs and lies; the rest, what it finds.
    """

    settings: SegmentSettings
    model: Path | None
    scale: float
    device: str
    threads: int

    @property
    def key(self) -> str:
        """Equal for requests that one loaded backend serves."""
        where = f"{self.model}|{self.scale}|{self.device}|{self.threads}"
        return f"{self.settings.model_dump_json()}|{where}"


@dataclass(frozen=True)
class _Watershed:
    diameter: float | None
    threshold: Literal["otsu", "local"]

    def segment(self, planes: Planes) -> Segmentation:
        from nucprof.segmentation.watershed import segment_watershed

        nuclei = segment_watershed(planes.nuclei, diameter=self.diameter, threshold=self.threshold)
        return Segmentation(nuclei=nuclei)


@dataclass(frozen=True)
class _StarDist:
    network: Any

    def segment(self, planes: Planes) -> Segmentation:
        return Segmentation(nuclei=self.network.segment(planes.nuclei))


@dataclass(frozen=True)
class _Propagate:
    nuclei: Backend
    max_reach_px: float

    def segment(self, planes: Planes) -> Segmentation:
        from nucprof.segmentation.propagate import propagate_cells

        nuclei = self.nuclei.segment(planes).labels("nuclei")
        cyto = planes.nuclei if planes.cyto is None else planes.cyto
        cells = propagate_cells(nuclei, cyto, max_reach_px=self.max_reach_px)
        return Segmentation(nuclei=nuclei, cells=cells)


@dataclass(frozen=True)
class _Cellpose:
    network: Any
    mode: str

    def segment(self, planes: Planes) -> Segmentation:
        if self.mode == "cells":
            return Segmentation(cells=self.network.segment(planes.cyto, planes.nuclei))
        return Segmentation(nuclei=self.network.segment(planes.nuclei))


def _watershed(request: Request) -> Backend:
    return _Watershed(request.settings.diameter, request.settings.threshold)


def _stardist(request: Request) -> Backend:
    from nucprof.segmentation.stardist import StarDistBackend

    settings = request.settings
    if request.model is None:
        raise ModelError("The stardist backend needs segment.model.")
    return _StarDist(
        StarDistBackend(
            request.model,
            prob_thresh=settings.prob_thresh,
            nms_thresh=settings.nms_thresh,
            pmin=settings.pmin,
            pmax=settings.pmax,
            scale=request.scale,
            threads=request.threads,
        )
    )


def _propagate(request: Request) -> Backend:
    return _Propagate(_stardist(request), request.settings.max_reach_px)


def _cellpose(request: Request) -> Backend:
    from nucprof.segmentation.cellpose import CellposeBackend

    settings = request.settings
    if request.model is None:
        raise ModelError("The cellpose backend needs segment.model.")
    diameter = settings.diameter
    if diameter is None and settings.scale != "auto":
        diameter = _CELLPOSE_PX / float(settings.scale)
    return _Cellpose(
        CellposeBackend(
            request.model,
            diameter=diameter,
            flow_threshold=settings.flow_threshold,
            cellprob_threshold=settings.cellprob_threshold,
            pmin=settings.pmin,
            pmax=settings.pmax,
            augment=settings.augment,
            batch_size=settings.batch_size,
            device=request.device,
            threads=request.threads,
        ),
        settings.mode,
    )


_BUILDERS: dict[str, Callable[[Request], Backend]] = {
    "watershed": _watershed,
    "stardist": _stardist,
    "propagate": _propagate,
    "cellpose": _cellpose,
}
_FINDS = {
    "nuclei": ("stardist", "cellpose", "watershed", "labels"),
    "cells": ("cellpose", "propagate", "labels"),
}
_MODELS = {"stardist": weights.BUNDLED, "propagate": weights.BUNDLED, "cellpose": "cpsam"}
_LOADED: dict[str, Backend] = {}


def load(request: Request) -> Backend:
    """Return the backend of a request; the last one is kept for the process's next field."""
    if request.key not in _LOADED:
        _LOADED.clear()  # two networks at a time would not fit a small GPU
        _LOADED[request.key] = _BUILDERS[str(request.settings.backend)](request)
    return _LOADED[request.key]


def complete(settings: SegmentSettings, *, gpu: bool) -> SegmentSettings:
    """Fill in what the settings leave to the mode and the machine: backend and model.

    Raises :class:`ProjectError` where the backend does not find what the mode asks for.
    """
    backend = settings.backend
    if backend is None:
        backend = "stardist" if settings.mode == "nuclei" else "cellpose" if gpu else "propagate"
    if backend not in _FINDS[settings.mode]:
        fitting = " or ".join(_FINDS[settings.mode])
        raise ProjectError(
            f'segment.backend = "{backend}" does not find {settings.mode}: choose {fitting}, or '
            "change segment.mode."
        )
    model = settings.model or _MODELS.get(backend)
    return settings.model_copy(update={"backend": backend, "model": model})


def find_model(settings: SegmentSettings, models_dir: Path | None) -> Path | None:
    """Find the weights of complete settings; fetched only where ``download`` is true.

    Raises :class:`ModelError` naming the three ways to get a missing model.
    """
    backend = "cellpose" if settings.backend == "cellpose" else "stardist"
    if settings.model is None or settings.backend not in _MODELS:
        return None
    known = weights.KNOWN.get(settings.model)
    if settings.download and known is not None and known.backend == backend:
        return weights.fetch(settings.model, models_dir)  # only where it is not here
    return weights.resolve_model(settings.model, models_dir, backend=backend)
