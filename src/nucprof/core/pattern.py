"""Fixed structures of camera and plate in every image: dust, specks, the edge of the well.

These structures lie at the same place in both rounds, wherever the stage is, and so favour a shift
that the cells do not have. Other fields show which structures these are: only they are at the same
place in all fields.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from scipy import special

from nucprof.core import correlation

Float32 = NDArray[np.float32]

#: A reduced pixel shows something above this value: three robust deviations, compressed.
LEVEL = 3 / 3 / np.sqrt(2)
#: Expected number of reduced pixels per plate that are mistaken for a pattern by chance.
CHANCE_PIXELS = 0.05
#: Cells cluster: in places, more fields than average show something, by this factor.
CROWDING = 1.5
#: Radius of the blur around a bright speck, in reduced pixels.
HALO = 2
#: Two Cell Painting images that correlate more than this without a shift show the same scene.
SAME_SCENE = 0.9


@dataclass(frozen=True, eq=False)
class Pattern:
    """What the other fields of a plate contribute to the registration of one field.

    All planes are reduced (`reduced`) and must be of the field's own reduced shapes to be used.

    Attributes
    ----------
    hidden_fixed : (h, w) bool
        Where Cell Painting images show what all fields show.
    hidden_moving : (h2, w2) bool
        Where rounds show what all fields show.
    scenes : tuple of float32
        `signature` of the Cell Painting planes of fields in other wells.
    rounds : tuple of (h2, w2) float32
        The rounds of the same fields.
    """

    hidden_fixed: NDArray[np.bool_]
    hidden_moving: NDArray[np.bool_]
    scenes: tuple[Float32, ...] = ()
    rounds: tuple[Float32, ...] = ()

    def unrelated(self, fixed: Float32, moving: Float32) -> list[Float32]:
        """Rounds that cannot belong to a field, for its null distribution.

        A field that shows the same scene (a copy) does not count as another field.

        Parameters
        ----------
        fixed, moving : float32
            The field's own reduced planes.
        """
        return [
            hide(other, self.hidden_moving)
            for scene, other in zip(self.scenes, self.rounds, strict=True)
            if other.shape == moving.shape and not same_scene(scene, signature(fixed))
        ]


def reduced(image: NDArray, other_shape: tuple[int, ...]) -> Float32 | None:
    """Reduce an image (H, W) as the search does for a pair with an image of another shape.

    None where the image is constant.
    """
    plane = correlation.clean(image)
    if plane is None:
        return None
    return correlation.reduce(plane, correlation.binning(image.shape, other_shape))


def hide(plane: Float32, hidden: NDArray[np.bool_]) -> Float32:
    """Set the hidden pixels to the background; a plane of another shape is returned unchanged."""
    if plane.shape != hidden.shape or not hidden.any():
        return plane
    return np.where(hidden, np.float32(0), plane)


def signature(plane: Float32) -> Float32:
    """A small part of a reduced plane, enough to recognise a copy of its scene."""
    return correlation.bin_mean(plane, 4 if min(plane.shape) >= 128 else 1)


def same_scene(first: Float32, second: Float32) -> bool:
    """Whether two signatures show the same nuclei at the same places."""
    if first.shape != second.shape:
        return False
    power = float(np.vdot(first, first)) * float(np.vdot(second, second))
    return bool(np.vdot(first, second) > SAME_SCENE * np.sqrt(power))


def common(planes: Iterable[Float32]) -> NDArray[np.bool_]:
    """Where more fields show something bright (or dark) than expected by chance.

    A pixel belongs to the pattern if so many fields agree there that a binomial distribution, with
    the share of such pixels in all fields, expects fewer than `CHANCE_PIXELS` such pixels. With
    few fields or dense cells no pixel may be improbable enough: then nothing is hidden.

    Parameters
    ----------
    planes : iterable of (h, w) float32
        From `reduced`, of fields that show different scenes; of one shape.

    Returns
    -------
    (h, w) bool
        ``(1, 1)``, nothing hidden, where there is no plane: no field has a usable image.
    """
    bright = dark = np.zeros((), dtype=np.int64)
    fields = 0
    for plane in planes:
        bright, dark, fields = bright + (plane > LEVEL), dark + (plane < -LEVEL), fields + 1
    if not fields:
        return np.zeros((1, 1), dtype=bool)
    found = _improbable(bright, fields) | _improbable(dark, fields)
    return np.asarray(ndi.binary_dilation(found, iterations=HALO)) if found.any() else found


def _improbable(counts: NDArray[np.int64], fields: int) -> NDArray[np.bool_]:
    share = min(1.0, CROWDING * float(counts.mean()) / fields)
    needed = np.arange(1, fields + 1)
    tail = special.bdtrc(needed - 1, fields, share)
    enough = needed[tail * counts.size < CHANCE_PIXELS]
    return counts >= (enough[0] if enough.size else fields + 1)
