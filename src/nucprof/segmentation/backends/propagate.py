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
        "propagate: how the stained area is shared out among nuclei: by the cheapest way over the "
        "image, to the nearest, or by a watershed on the image's slope",
    )
    regularisation: float = setting(
        0.05,
        "propagate: what distance counts beside changes of the image; large: distance alone",
        ge=0,
        when={"method": ["propagation"]},
    )
    reach: float | None = setting(
        None,
        "propagate: furthest distance of a cell's outline from its nucleus; default: as far as the "
        "stain reaches, and half a diameter where there is none",
        unit="nuclear diameters",
        ge=0,
    )


@dataclass(frozen=True)
class Propagate:
    """A network for nuclei, and how cells grow from them."""

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
        )
        warnings = []
        if nuclei.any() and not cells.bounded:
            warnings.append(
                "no cell stain stands out around the nuclei, so cells are rims of half a nuclear "
                "diameter; choose other segment.channels, or give segment.reach"
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
    precision=stardist.precision,
    note="without a GPU, cells are grown from their nuclei (with one, cellpose finds them)",
    check=check_percentiles,
)
