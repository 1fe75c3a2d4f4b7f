"""Which features a classifier sees, and that only training cells decide it."""

import numpy as np
import pandas as pd
import pytest

from nucprof.errors import DataError, ModelError
from nucprof.learn.selection import choose_features, find_features, informative

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


def test_a_models_features_are_found_whatever_the_order_of_the_channels():
    wanted = [
        "Nuclei_AreaShape_Area",
        "Patch_Correlation_Correlation_DNA_GFP",
        "Nuclei_Correlation_Correlation_my_A_GFP",
        "Nuclei_Texture_Correlation_DNA",
    ]
    table = [
        "Nuclei_Texture_Correlation_DNA",
        "Patch_Correlation_Correlation_GFP_DNA",
        "Nuclei_Correlation_Correlation_GFP_my_A",
        "Nuclei_AreaShape_Area",
    ]
    assert find_features(wanted, table) == [table[3], table[1], table[2], table[0]]
    assert find_features(wanted, wanted) == wanted


def test_a_feature_that_a_table_lacks_is_named():
    with pytest.raises(ModelError, match=r"1 feature.*Nuclei_Correlation_Correlation_DNA_Cy3"):
        find_features(
            ["Nuclei_Correlation_Correlation_DNA_Cy3"], ["Nuclei_Correlation_Correlation_GFP_DNA"]
        )
