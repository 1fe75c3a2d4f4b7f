"""Nuclei by StarDist, the default: the bundled network, or another one by name or folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nucprof.config.setting import setting
from nucprof.errors import ModelError
from nucprof.segmentation.backends.base import (
    Percentiles,
    Planes,
    Request,
    Scale,
    Segmentation,
    Segmenter,
    Weights,
)

if TYPE_CHECKING:
    from nucprof.segmentation.stardist import StarDistBackend


class StarDistSettings(Percentiles, Scale, Weights):
    """Settings of the stardist backend."""

    prob_thresh: float | None = setting(
        None, "object probability threshold; default the model's own (published: 0.6)", gt=0, lt=1
    )
    nms_thresh: float | None = setting(
        None,
        "overlap allowed between objects; default the model's own (published: 0.3)",
        gt=0,
        lt=1,
    )


@dataclass(frozen=True)
class StarDist:
    """A StarDist network, ready to segment."""

    network: StarDistBackend

    def segment(self, planes: Planes) -> Segmentation:
        """Segment nuclei."""
        return Segmentation(nuclei=self.network.segment(planes.nuclei))


def load(request: Request) -> StarDist:
    """Load the network; raises :class:`ModelError` where there is none."""
    from nucprof.segmentation.stardist import StarDistBackend

    settings = request.settings
    assert isinstance(settings, StarDistSettings)
    if request.model is None:
        raise ModelError("The stardist backend needs segment.model.")
    return StarDist(
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


SEGMENTER = Segmenter(
    "stardist",
    StarDistSettings,
    ("nuclei",),
    load,
    model="nucprof-fluo",
    family="stardist",
    isolated=True,
    measures_scale=True,
)
