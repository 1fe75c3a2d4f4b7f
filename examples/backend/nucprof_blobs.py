"""A segmentation backend in a package of its own: nuclei are bright blobs on a dark background."""

from __future__ import annotations

from dataclasses import dataclass

from nucprof.config.setting import Section, setting
from nucprof.segmentation.backends.base import Planes, Request, Segmentation, Segmenter


class BlobSettings(Section):
    """Settings of the blobs backend; keys of [segment], flags of `nucprof segment`."""

    blur: float = setting(1.0, "blobs: width of the smoothing", unit="px", ge=0)
    smallest: int = setting(40, "blobs: smallest area of a nucleus", unit="px", ge=1)


@dataclass(frozen=True)
class Blobs:
    """Connected pixels above Otsu's threshold."""

    settings: BlobSettings

    def segment(self, planes: Planes) -> Segmentation:
        """Segment the nuclear channel of one field."""
        import numpy as np
        from scipy import ndimage as ndi
        from skimage.filters import gaussian, threshold_otsu

        smooth = gaussian(planes.nuclei, self.settings.blur, preserve_range=True)
        labels, count = ndi.label(ndi.binary_fill_holes(smooth > threshold_otsu(smooth)))
        areas = np.bincount(labels.ravel(), minlength=count + 1)
        labels[areas[labels] < self.settings.smallest] = 0  # labels may have gaps
        return Segmentation(nuclei=labels)


def load(request: Request) -> Blobs:
    """Called once per process; a network would be loaded here."""
    return Blobs(request.settings)


SEGMENTER = Segmenter("blobs", BlobSettings, ("nuclei",), load)
