"""Nuclei by threshold and watershed; needs no weights and runs on any machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nucprof.config.setting import setting
from nucprof.segmentation.backends.base import Diameter, Planes, Request, Segmentation, Segmenter


class WatershedSettings(Diameter):
    """Settings of the watershed backend."""

    threshold: Literal["otsu", "local"] = setting(
        "otsu", "watershed: one threshold per image, or a local one where illumination is uneven"
    )


@dataclass(frozen=True)
class Watershed:
    """The watershed, ready to segment."""

    settings: WatershedSettings

    def segment(self, planes: Planes) -> Segmentation:
        """Segment nuclei."""
        from nucprof.segmentation.watershed import segment_watershed

        found = segment_watershed(
            planes.nuclei, diameter=self.settings.diameter, threshold=self.settings.threshold
        )
        return Segmentation(nuclei=found)


def load(request: Request) -> Watershed:
    """Make the watershed ready."""
    assert isinstance(request.settings, WatershedSettings)
    return Watershed(request.settings)


SEGMENTER = Segmenter("watershed", WatershedSettings, ("nuclei",), load)
