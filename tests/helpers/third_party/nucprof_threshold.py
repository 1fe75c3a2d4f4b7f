"""A segmentation backend as another package offers it: everything above a level is a nucleus."""

from __future__ import annotations

from dataclasses import dataclass

from nucprof.config.setting import Section, setting
from nucprof.segmentation.backends.base import Planes, Request, Segmentation, Segmenter


class ThresholdSettings(Section):
    """Settings of the threshold backend."""

    level: float = setting(100.0, "threshold: nuclei are brighter", unit="grey levels", ge=0)
    noisy: bool = setting(False, "threshold: print what is done", decides=False)


@dataclass(frozen=True)
class Threshold:
    """Connected pixels above the level."""

    settings: ThresholdSettings

    def segment(self, planes: Planes) -> Segmentation:
        """Segment nuclei."""
        from scipy import ndimage as ndi

        labels, _ = ndi.label(planes.nuclei > self.settings.level)
        return Segmentation(nuclei=labels)


def load(request: Request) -> Threshold:
    """Nothing to load."""
    return Threshold(request.settings)


SEGMENTER = Segmenter("threshold", ThresholdSettings, ("nuclei",), load)
