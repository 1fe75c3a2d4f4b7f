"""Areas and lengths in µm."""

from __future__ import annotations

import numpy as np

from nucprof.core.features.micrometres import in_micrometres, repeats_pixels
from nucprof.learn.selection import choose_features

TABLE = {
    "Nuclei_AreaShape_Area": np.array([100.0, 50.0]),
    "Nuclei_AreaShape_MajorAxisLength": np.array([12.0, 8.0]),
    "Nuclei_AreaShape_Eccentricity": np.array([0.5, 0.6]),
    "Nuclei_Intensity_MeanIntensity_um": np.array([1.0, 2.0]),  # a channel of that name
}


def test_by_hand():
    found = in_micrometres(TABLE, 0.5)
    assert {name: values.tolist() for name, values in found.items()} == {
        "Nuclei_AreaShape_Area_um2": [25.0, 12.5],
        "Nuclei_AreaShape_MajorAxisLength_um": [6.0, 4.0],
    }


def test_an_unknown_size_is_no_number():
    found = in_micrometres(TABLE, None)
    assert all(np.isnan(values).all() for values in found.values())
    assert len(found) == 2


def test_nothing_is_learnt_from_them():
    columns = [*TABLE, *in_micrometres(TABLE, 0.5)]
    assert choose_features(columns) == list(TABLE)
    assert [name for name in columns if repeats_pixels(name)] == columns[-2:]
