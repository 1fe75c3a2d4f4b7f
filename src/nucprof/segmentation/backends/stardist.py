"""Nuclei by StarDist, the default: the bundled network, or another one by name or folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nucprof.config.setting import setting
from nucprof.errors import ModelError
from nucprof.machine import has_tensorflow, multiplies_bfloat16, resolve_device
from nucprof.segmentation.backends.base import (
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
    from nucprof.segmentation.stardist import StarDistBackend
    from nucprof.segmentation.stardist_model import Precision


class StarDistSettings(Percentiles, Scale, Weights):
    """Settings of the stardist backend."""

    prob_thresh: float | None = setting(
        None, "object probability threshold; default: the model's own (published: 0.6)", gt=0, lt=1
    )
    nms_thresh: float | None = setting(
        None,
        "overlap allowed between objects; default: the model's own (published: 0.3)",
        gt=0,
        lt=1,
    )
    augment: bool = setting(
        False, "average over flipped and rotated images (stardist: eight times slower)"
    )
    sharpen: bool = setting(
        True,
        "stardist, propagate: move every outline of the network, by a few pixels at most, to the "
        "edge of the nucleus in the image",
    )
    precision: Literal["auto", "full"] = setting(
        "auto",
        "stardist: auto: bfloat16 where the CPU supports it; full: always float32",
    )


@dataclass(frozen=True)
class StarDist:
    """A StarDist network, ready to segment."""

    network: StarDistBackend

    def segment(self, planes: Planes) -> Segmentation:
        """Segment nuclei."""
        found = self.network.segment_plane(planes.nuclei)
        return Segmentation(nuclei=found.labels, probability=found.probability)


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
            precision=precision(settings, request.device),
            augment=settings.augment,
            sharpen=settings.sharpen,
            device=torch_device(request.device) or "cpu",
        )
    )


def torch_device(device: str) -> str | None:
    """The torch device that runs the network; None: TensorFlow runs it.

    TensorFlow uses a GPU by itself if it finds one; on Windows and on a Mac it finds none.
    """
    return None if _in_tensorflow(device) else resolve_device(device)


def _in_tensorflow(device: str) -> bool:
    return device in ("auto", "cpu") and has_tensorflow()


def precision(settings: StarDistSettings, device: str) -> Precision:
    """The precision of the network's multiplications on this machine."""
    if settings.precision == "full" or not _in_tensorflow(device):
        return "float32"
    return "bfloat16" if multiplies_bfloat16() else "float32"


SEGMENTER = Segmenter(
    "stardist",
    StarDistSettings,
    ("nuclei",),
    load,
    model="nucprof-fluo",
    family="stardist",
    isolated=True,
    measures_scale=True,
    precision=precision,
    check=check_percentiles,
    version=2,
)
