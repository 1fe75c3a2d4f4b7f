"""Images brought to another pixel size."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from nucprof.core.resample import resample


def spots(side, scale, places):
    """Gaussian spots whose centres are given for scale 1, drawn in pixels of another size."""
    y, x = np.mgrid[:side, :side]
    image = np.full((side, side), 50.0)
    for cy, cx in places:
        py, px = scale * (cy + 0.5) - 0.5, scale * (cx + 0.5) - 0.5
        image += 1000 * np.exp(-((y - py) ** 2 + (x - px) ** 2) / (2 * (4 * scale) ** 2))
    return image


PLACES = [(20.0, 22.0), (60.5, 100.25), (110.0, 40.0)]


@pytest.mark.parametrize("zoom", [0.5, 0.65 / 0.325, 0.777, 1.31])
def test_objects_lie_where_they_would_in_pixels_of_the_other_size(zoom):
    image = spots(128, 1, PLACES)[None].astype(np.uint16)
    found = resample(image, zoom)
    assert found.shape == (1, int(128 * zoom + 1e-9), int(128 * zoom + 1e-9))
    assert found.dtype == np.uint16
    for cy, cx in PLACES:
        py, px = zoom * (cy + 0.5) - 0.5, zoom * (cx + 0.5) - 0.5
        r = round(8 * zoom)
        box = found[0][round(py) - r : round(py) + r + 1, round(px) - r : round(px) + r + 1]
        y, x = ndi.center_of_mass(box - 50.0)
        assert (y + round(py) - r, x + round(px) - r) == pytest.approx((py, px), abs=0.15)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_flat_image_stays_flat_and_levels_stay(dtype):
    flat = np.full((2, 30, 40), 200, dtype)
    assert (resample(flat, 0.6) == 200).all()
    assert (resample(flat, 1.7) == 200).all()


def test_a_fine_pattern_does_not_alias():
    stripes = np.zeros((1, 64, 64), np.float32)
    stripes[:, :, ::2] = 100
    assert np.ptp(resample(stripes, 0.25)[0, 4:-4, 4:-4]) < 5


@pytest.mark.parametrize("zoom", [0, -1, 0.01])
def test_what_leaves_no_pixel_is_refused(zoom):
    with pytest.raises(ValueError, match="cannot be resampled"):
        resample(np.zeros((1, 20, 20)), zoom)
