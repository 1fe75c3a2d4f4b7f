"""Whole cells or nuclei by Cellpose; practical with a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nucprof.config.setting import setting
from nucprof.errors import ModelError
from nucprof.segmentation.backends.base import (
    Diameter,
    Percentiles,
    Planes,
    Request,
    Scale,
    Segmentation,
    Segmenter,
    Weights,
    check_percentiles,
)

if TYPE_CHECKING:
    from nucprof.segmentation.cellpose import CellposeBackend

#: Diameter to which Cellpose brings its objects, pixels.
CELLPOSE_PX = 30.0


class CellposeSettings(Diameter, Percentiles, Scale, Weights):
    """Settings of the cellpose backend."""

    flow_threshold: float = setting(0.4, "cellpose: largest allowed flow error", ge=0)
    cellprob_threshold: float = setting(0.0, "cellpose: cell probability threshold (logit)")
    batch_size: int = setting(8, "cellpose: tiles per step", ge=1, decides=False)
    augment: bool = setting(False, "cellpose: average over flipped tiles (slower)")


@dataclass(frozen=True)
class Cellpose:
    """A Cellpose network, ready to segment."""

    network: CellposeBackend
    mode: str

    def segment(self, planes: Planes) -> Segmentation:
        """Segment cells, or nuclei in nuclei mode."""
        if self.mode == "cells":
            assert planes.cyto is not None
            return Segmentation(cells=self.network.segment(planes.cyto, planes.nuclei))
        return Segmentation(nuclei=self.network.segment(planes.nuclei))


def load(request: Request) -> Cellpose:
    """Load the network; a given ``segment.scale`` takes the place of a diameter."""
    from nucprof.segmentation.cellpose import CellposeBackend

    settings = request.settings
    assert isinstance(settings, CellposeSettings)
    if request.model is None:
        raise ModelError("The cellpose backend needs segment.model.")
    diameter = settings.diameter
    if diameter is None and settings.scale != "auto":
        diameter = CELLPOSE_PX / float(settings.scale)
    return Cellpose(
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
        request.mode,
    )


SEGMENTER = Segmenter(
    "cellpose",
    CellposeSettings,
    ("nuclei", "cells"),
    load,
    model="cpsam",
    family="cellpose",
    isolated=True,
    check=check_percentiles,
)
