"""Whole cells without a GPU: nuclei by StarDist, each grown over the stained area around it."""

from __future__ import annotations

from dataclasses import dataclass

from nucprof.config.setting import setting
from nucprof.segmentation.backends import stardist
from nucprof.segmentation.backends.base import Planes, Request, Segmentation, Segmenter


class PropagateSettings(stardist.StarDistSettings):
    """Settings of the propagate backend."""

    max_reach_px: float = setting(
        30.0, "propagate: furthest distance of a cell's outline from its nucleus", unit="px", gt=0
    )


@dataclass(frozen=True)
class Propagate:
    """A network for nuclei, and how far cells reach from them."""

    nuclei: stardist.StarDist
    max_reach_px: float

    def segment(self, planes: Planes) -> Segmentation:
        """Segment nuclei and cells; a cell and its nucleus share a label."""
        from nucprof.segmentation.propagate import propagate_cells

        nuclei = self.nuclei.segment(planes).labels("nuclei")
        cyto = planes.nuclei if planes.cyto is None else planes.cyto
        cells = propagate_cells(nuclei, cyto, max_reach_px=self.max_reach_px)
        return Segmentation(nuclei=nuclei, cells=cells)


def load(request: Request) -> Propagate:
    """Load the network for the nuclei."""
    assert isinstance(request.settings, PropagateSettings)
    return Propagate(stardist.load(request), request.settings.max_reach_px)


SEGMENTER = Segmenter(
    "propagate",
    PropagateSettings,
    ("cells",),
    load,
    model=stardist.SEGMENTER.model,
    family="stardist",
    isolated=True,
    measures_scale=True,
    note="without a GPU, cells are grown from their nuclei (with one, cellpose finds them)",
)
