"""How much a channel looks like a nuclear stain: compact bright objects on a dark background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops
from skimage.transform import downscale_local_mean

_SIDE_PX = 512  # larger planes are reduced: a guess needs no detail
_SMALLEST_PX = 12
_SOLID = 0.9
_LARGEST_SHARE = 0.05  # of the plane; what is larger is no nucleus
_CONTRAST = 4.0  # noise alone reaches 2


@dataclass(frozen=True)
class NuclearLook:
    """What a plane shows.

    Attributes
    ----------
    objects : int
        Compact bright objects.
    share : float
        Share of the bright area that lies in compact objects, 0 to 1.
    contrast : float
        Brightness of the objects above the background, in widths of the background.
    """

    objects: int
    share: float
    contrast: float

    @property
    def empty(self) -> bool:
        """Whether nothing stands out from the background."""
        return self.contrast < _CONTRAST or self.objects == 0

    @property
    def score(self) -> float:
        """A figure to compare channels by: compact, many, and not empty."""
        return 0.0 if self.empty else self.share * min(1.0, self.objects / 5) ** 0.5


def nuclear_look(plane: NDArray) -> NuclearLook:
    """Look for compact bright objects in one plane ``(H, W)``.

    The plane is thresholded (Otsu 1979); an object is compact when it fills its convex hull.
    """
    image = np.nan_to_num(plane.astype(np.float32))
    factor = max(1, -(-max(image.shape) // _SIDE_PX))
    image = ndi.gaussian_filter(downscale_local_mean(image, (factor, factor)), 1.0)
    if image.max() <= image.min():
        return NuclearLook(0, 0.0, 0.0)
    bright = image > threshold_otsu(image)
    background = image[~bright]
    centre = float(np.median(background))
    width = 1.4826 * float(np.median(np.abs(background - centre))) or 1e-6
    contrast = (float(np.median(image[bright])) - centre) / width
    found = [r for r in regionprops(label(bright)) if r.area >= _SMALLEST_PX]
    compact = [r for r in found if r.solidity >= _SOLID and r.area < _LARGEST_SHARE * image.size]
    area = sum(r.area for r in found)
    return NuclearLook(
        len(compact), float(sum(r.area for r in compact) / area) if area else 0.0, contrast
    )
