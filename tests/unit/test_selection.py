"""Which features a classifier sees, on what scale, and that only training cells decide it."""

import numpy as np
import pandas as pd
import pytest

from nucprof.errors import DataError
from nucprof.learn.selection import Scaler, choose_features, informative, refuse_erasing_scaling
from nucprof.plate.columns import PLATE, WELL

COLUMNS = [
    "Metadata_Plate", "Metadata_Center_X", "Metadata_FieldCellCount", "true_condition",
    "Nuclei_AreaShape_Area", "Nuclei_Intensity_MeanIntensity_DAPI",
    "Nuclei_Intensity_MeanIntensity_Cy3", "Cells_Texture_ASM_Cy3", "Patch_Texture_ASM_my_marker",
]  # fmt: skip


def test_metadata_is_never_a_feature():
    assert choose_features(COLUMNS) == COLUMNS[4:]


def test_regions_by_either_name_and_channels_with_underscores():
    assert choose_features(COLUMNS, regions=["nucleus"]) == COLUMNS[4:7]
    assert choose_features(COLUMNS, regions=["Nuclei", "cell"]) == COLUMNS[4:8]
    assert choose_features(COLUMNS, channels=["my_marker"]) == [COLUMNS[4], COLUMNS[8]]


def test_of_two_sets_of_textures_the_robust_one_is_used():
    robust = ["Nuclei_Texture_ASMRobust_Cy3", "Patch_Texture_EnergyRobust_my_Robust"]
    published = ["Nuclei_Texture_ASM_Cy3", "Patch_Texture_Energy_my_Robust"]
    assert choose_features([*COLUMNS[4:6], *published, *robust]) == [*COLUMNS[4:6], *robust]
    # measured alone, the published ones are used
    assert choose_features([*COLUMNS[4:6], *published]) == [*COLUMNS[4:6], *published]


def test_unknown_choices_name_what_there_is():
    with pytest.raises(DataError, match=r"channel GFP.*Cy3, DAPI, my_marker"):
        choose_features(COLUMNS, channels=["GFP"])
    with pytest.raises(DataError, match=r"region Cytoplasm.*Cells, Nuclei, Patch"):
        choose_features(COLUMNS, regions=["cytoplasm"])
    with pytest.raises(DataError, match="no column named like"):
        choose_features(COLUMNS[:4])


def test_redundancy_is_decided_on_the_given_cells_and_the_first_of_a_pair_stays():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 200))
    table = pd.DataFrame({"a": a, "b": b, "minus_a": -2 * a, "a_ish": a + 0.2 * b})
    table.loc[3, "minus_a"] = np.nan
    assert informative(table, [*list("ab"), "minus_a", "a_ish"], drop_redundant=False) == [
        "a", "b", "minus_a", "a_ish",
    ]  # fmt: skip
    assert informative(table, table.columns, drop_redundant=True) == ["a", "b"]
    assert informative(table, ["a_ish", "a", "b"], drop_redundant=True) == ["a_ish", "b"]


def test_constant_and_missing_features_teach_nothing():
    table = pd.DataFrame({"same": [2.0, 2.0], "missing": [np.nan] * 2, "half": [1.0, np.nan],
                          "varies": [0.0, 1.0]})  # fmt: skip
    assert informative(table, table.columns, drop_redundant=False) == ["varies"]
    with pytest.raises(DataError, match="no feature varies"):
        informative(table, ["same", "missing"], drop_redundant=False)


def test_infinite_values_are_named():
    with pytest.raises(DataError, match=r"infinite values.* b"):
        informative(
            pd.DataFrame({"a": [1.0, 2], "b": [1, np.inf]}), ["a", "b"], drop_redundant=False
        )


TRAIN = pd.DataFrame({PLATE: ["p1", "p1", "p2", "p2"], WELL: ["A01", "A02"] * 2,
                      "f": [1.0, 3.0, 10.0, 30.0], "c": [0.1] * 4})  # fmt: skip


def test_plate_scaling_uses_the_training_cells_of_the_plate():
    scaler = Scaler("plate", ["f", "c"]).fit(TRAIN)
    test = pd.DataFrame(
        {PLATE: ["p2", "p1", "p1"], WELL: "B01", "f": [20.0, 2.0, np.nan], "c": 0.1}
    )
    scaled = scaler.transform(test)
    np.testing.assert_allclose(scaled[:2], [[0, 0], [0, 0]])
    assert np.isnan(scaled[2, 0])
    np.testing.assert_allclose(scaler.transform(TRAIN)[:, 0], [-1, 1, -1, 1])


def test_a_plate_never_seen_is_scaled_by_itself():
    test = pd.DataFrame({PLATE: "p3", WELL: "A01", "f": [100.0, 300.0], "c": 5.0})
    np.testing.assert_allclose(
        Scaler("plate", ["f", "c"]).fit(TRAIN).transform(test), [[-1, 0], [1, 0]]
    )


def test_well_scaling_needs_no_fit_and_plates_do_not_mix():
    cells = pd.concat([TRAIN, TRAIN.assign(f=TRAIN["f"] + 2)])
    np.testing.assert_allclose(
        Scaler("well", ["f"]).transform(cells)[:, 0], np.repeat([-1.0, 1.0], 4)
    )


def test_well_scaling_of_monocultures_is_refused():
    refuse_erasing_scaling("well", "mixed")
    with pytest.raises(DataError, match="erases the signal"):
        refuse_erasing_scaling("well", "mono")


def test_correlation_belongs_to_both_of_its_channels():
    columns = [
        "Nuclei_AreaShape_Area",
        "Nuclei_Intensity_MeanIntensity_A",
        "Nuclei_Intensity_MeanIntensity_B_1",
        "Nuclei_Intensity_MeanIntensity_C",
        "Nuclei_Correlation_Correlation_A_B_1",
        "Nuclei_Correlation_Correlation_A_C",
    ]
    assert choose_features(columns, channels=["A", "B_1"]) == [
        "Nuclei_AreaShape_Area",
        "Nuclei_Intensity_MeanIntensity_A",
        "Nuclei_Intensity_MeanIntensity_B_1",
        "Nuclei_Correlation_Correlation_A_B_1",
    ]
    assert choose_features(columns) == columns
