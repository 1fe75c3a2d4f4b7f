"""Whole cells without a GPU: nuclei by StarDist, each grown over the stained area around it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from nucprof.config.setting import setting
from nucprof.segmentation.backends import stardist
from nucprof.segmentation.backends.base import (
    Planes,
    Request,
    Segmentation,
    Segmenter,
    check_percentiles,
)


class PropagateSettings(stardist.StarDistSettings):
    """Settings of the propagate backend."""

    method: Literal["propagation", "distance", "watershed"] = setting(
        "propagation",
        "propagate: how the stained area is divided among the nuclei: by the path of lowest cost, "
        "by distance, or by a watershed on the gradient of the image",
    )
    regularisation: float = setting(
        0.05,
        "propagate: weight of distance against intensity differences; large values: distance alone",
        ge=0,
        when={"method": ["propagation"]},
    )
    reach: float | None = setting(
        None,
        "propagate: largest distance of a cell's outline from its nucleus; default: to the edge of "
        "the stain, or half a diameter where there is no stain",
        unit="nuclear diameters",
        ge=0,
        le=100,
    )


@dataclass(frozen=True)
class Propagate:
    """A network for nuclei, and the settings for growing cells from them."""

    nuclei: stardist.StarDist
    settings: PropagateSettings

    def segment(self, planes: Planes) -> Segmentation:
        """Segment nuclei and cells; a cell and its nucleus share a label."""
        from nucprof.segmentation.propagate import propagate_cells

        found = self.nuclei.segment(planes)
        nuclei = found.labels("nuclei")
        cells = propagate_cells(
            nuclei,
            planes.nuclei if planes.cyto is None else planes.cyto,
            method=self.settings.method,
            regularisation=self.settings.regularisation,
            reach=self.settings.reach,
            background=planes.background,
        )
        warnings = []
        if nuclei.any() and not cells.bounded:
            warnings.append(
                "there is no cell stain around the nuclei, so a cell is its nucleus and a rim of "
                "half a nuclear diameter; choose other segment.channels, or set segment.reach"
            )
        return replace(found, cells=cells.labels, warnings=warnings)


def load(request: Request) -> Propagate:
    """Load the network for the nuclei."""
    assert isinstance(request.settings, PropagateSettings)
    return Propagate(stardist.load(request), request.settings)


SEGMENTER = Segmenter(
    "propagate",
    PropagateSettings,
    ("cells",),
    load,
    model=stardist.SEGMENTER.model,
    family="stardist",
    isolated=True,
    measures_scale=True,
    chooses_channels=True,
    precision=stardist.precision,
    note="without a GPU, cells are grown from their nuclei (with a GPU, cellpose finds them)",
    check=check_percentiles,
    version=2,
)
