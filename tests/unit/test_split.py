"""Wells are never cut, every class is in each part, and only training cells are sampled."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucprof.errors import DataError
from nucprof.learn.split import (
    attach,
    cv_folds,
    sample_cells,
    select_culture,
    split_wells,
)
from nucprof.plate.columns import CELL, LAYOUT, PLATE, TARGET, TRUE, WELL


def plate_of(classes_of_well, *, cells_per_class=6, plate="rep1", sites=2):
    """A table of cells: `classes_of_well` maps a well to the classes that grow in it."""
    rows = []
    for well, classes in classes_of_well.items():
        for site in range(1, sites + 1):
            label = 0
            for name in classes:
                for _ in range(cells_per_class):
                    label += 3  # labels with gaps
                    key = f"{well[0]}-{well[1:]}-{site:02d}_{label:04d}"
                    rows.append((plate, well, key, name))
    return pd.DataFrame(rows, columns=[PLATE, WELL, CELL, TARGET])


MIXED = plate_of({f"D{i:02d}": ("astro", "neuro") for i in range(2, 12)})
MONO = plate_of(
    {f"B{i:02d}": ("astro",) for i in range(2, 6)} | {f"C{i:02d}": ("neuro",) for i in range(2, 5)}
)


def class_sets(cells, split, column):
    parts = attach(cells, split, column)
    return {part: set(cells[TARGET][parts == part]) for part in parts.unique()}


@pytest.mark.parametrize("cells", [MIXED, MONO], ids=["mixed", "mono"])
@pytest.mark.parametrize("seed", range(5))
def test_every_class_is_in_every_part_and_no_well_is_cut(cells, seed):
    split = split_wells(cells, seed=seed)
    assert not split.duplicated(["plate", "well"]).any()
    assert set(split["well"]) == set(cells[WELL])
    sets = class_sets(cells, split, "part")
    assert sets == {p: {"astro", "neuro"} for p in ("train", "validation", "test")}


def test_a_split_by_field_would_cut_wells_and_ours_does_not():
    # The published scripts call the field a well: the two sites of a well can part ways there.
    split = split_wells(MIXED, seed=0)
    parts = attach(MIXED, split, "part")
    assert parts.groupby(MIXED[WELL]).nunique().eq(1).all()
    assert MIXED[CELL].str[:7].nunique() == 2 * MIXED[WELL].nunique()


def test_sixty_ten_thirty_of_the_wells():
    counts = split_wells(MIXED, seed=1)["part"].value_counts()
    assert counts.to_dict() == {"train": 6, "validation": 1, "test": 3}


def test_seed_decides_and_row_order_does_not():
    shuffled = MIXED.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(split_wells(MIXED, seed=4), split_wells(shuffled, seed=4))
    pd.testing.assert_frame_equal(cv_folds(MIXED, seed=4), cv_folds(shuffled, seed=4))
    splits = {tuple(split_wells(MIXED, seed=s)["part"]) for s in range(10)}
    assert len(splits) > 1


def test_same_well_name_on_two_plates_is_two_wells():
    both = pd.concat([MIXED, MIXED.assign(**{PLATE: "rep2"})])
    split = split_wells(both, seed=0)
    assert len(split) == 20
    assert len(attach(both, split, "part").dropna()) == len(both)


def test_split_by_plate_keeps_plates_whole():
    plates = pd.concat([MIXED.assign(**{PLATE: f"rep{i}"}) for i in range(4)])
    split = split_wells(plates, unit="plate", seed=0)
    assert split.groupby("plate")["part"].nunique().eq(1).all()
    assert set(split["part"]) == {"train", "validation", "test"}


def test_too_few_wells_says_how_many_there_are():
    few = plate_of({"B02": ("astro",), "B03": ("astro",), "C02": ("neuro",)})
    with pytest.raises(DataError, match=r"3 wells of every class.*astro 2, neuro 1"):
        split_wells(few, seed=0)
    with pytest.raises(DataError, match=r"2 wells of every class.*astro 2, neuro 1"):
        cv_folds(few, seed=0)
    with pytest.raises(DataError, match="2 plates of every class"):
        cv_folds(MIXED, unit="plate", seed=0)


def test_impossible_division_is_an_error_not_a_hang():
    # Every three of the five wells hold a class: two parts of one well each leave three wells to
    # the third part, so some class always misses a part.
    wells = ["A01", "A02", "A03", "A04", "A05"]
    triples = [(a, b, c) for a in range(5) for b in range(a) for c in range(b)]
    holds = {w: [f"c{i}" for i, t in enumerate(triples) if j in t] for j, w in enumerate(wells)}
    with pytest.raises(DataError, match="no division"):
        split_wells(plate_of(holds, cells_per_class=1), seed=0)


@given(
    wells=st.lists(
        st.sampled_from([("a",), ("b",), ("a", "b"), ("a", "b", "c")]), min_size=3, max_size=24
    ),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_folds_hold_every_cell_once_and_every_model_sees_every_class(wells, seed):
    cells = plate_of({f"A{i:02d}": c for i, c in enumerate(wells)}, cells_per_class=1)
    n_wells = cells.groupby(TARGET)[WELL].nunique()
    if n_wells.min() < 2 or len(n_wells) < 2:
        with pytest.raises(DataError):
            cv_folds(cells[cells[TARGET].isin(n_wells[n_wells < 2].index)], seed=seed)
        return
    folds = cv_folds(cells, seed=seed)
    fold = attach(cells, folds, "fold")
    assert fold.notna().all()
    assert 2 <= fold.nunique() <= min(5, n_wells.min())
    for held_out in fold.unique():
        trained = cells[fold != held_out]
        assert set(trained[TARGET]) == set(cells[TARGET])
        assert not set(trained[WELL]) & set(cells[WELL][fold == held_out])


def labelled_plate():
    cells = pd.concat([MONO, MIXED], ignore_index=True)
    layout = cells[TARGET].where(~cells[WELL].str.startswith("D"), "co-culture")
    cells = cells.assign(**{LAYOUT: layout, TRUE: cells[TARGET]}).drop(columns=TARGET)
    cells.loc[cells.index[::7], TRUE] = "undefined"
    return cells


def test_mixed_culture_takes_gated_cells_of_mixed_wells():
    cells = labelled_plate()
    chosen, culture = select_culture(cells)
    assert culture == "mixed"
    expected = cells[(cells[LAYOUT] == "co-culture") & (cells[TRUE] != "undefined")]
    assert set(chosen[CELL]) == set(expected[CELL])
    assert (chosen[TARGET] == chosen[TRUE]).all()


def test_mono_culture_takes_the_layouts_word():
    cells = labelled_plate()
    chosen, culture = select_culture(cells, culture="mono")
    assert culture == "mono"
    assert len(chosen) == len(MONO)
    assert (chosen[TARGET] == chosen[LAYOUT]).all()


def test_without_gate_auto_is_mono_and_mixed_is_an_error():
    cells = labelled_plate().drop(columns=TRUE)
    assert select_culture(cells)[1] == "mono"
    with pytest.raises(DataError, match="nucprof gate"):
        select_culture(cells, culture="mixed")


def test_targets_restrict_and_unknown_targets_are_named():
    cells = labelled_plate()
    cells.loc[cells[WELL] == "B02", LAYOUT] = "third"
    chosen, _ = select_culture(cells, culture="mono", targets=["astro", "neuro"])
    assert set(chosen[TARGET]) == {"astro", "neuro"}
    with pytest.raises(DataError, match=r"asked for astro, wolf.*found astro, neuro, third"):
        select_culture(cells, culture="mono", targets=["astro", "wolf"])


def test_wells_outside_the_layout_are_not_trained_on():
    cells = labelled_plate()
    cells.loc[cells[WELL] == "B02", LAYOUT] = None
    chosen, _ = select_culture(cells, culture="mono")
    assert "B02" not in set(chosen[WELL])


def test_duplicate_keys_are_refused():
    cells = labelled_plate()
    with pytest.raises(DataError, match="more than once"):
        select_culture(pd.concat([cells, cells.iloc[:1]]))


UNEVEN = pd.concat(
    [MIXED[MIXED[TARGET] == "astro"].iloc[:50], MIXED[MIXED[TARGET] == "neuro"].iloc[:20]]
)


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (10, {"astro": 10, "neuro": 10}),
        (30, {"astro": 20, "neuro": 20}),
        ("max", {"astro": 20, "neuro": 20}),
        ("unequal", {"astro": 50, "neuro": 20}),
        ("oversampling", {"astro": 50, "neuro": 50}),
    ],
)
def test_sample_sizes(sample, expected):
    assert sample_cells(UNEVEN, sample=sample, seed=0)[TARGET].value_counts().to_dict() == expected


def test_sampling_repeats_no_cell_unless_oversampling_and_then_loses_none():
    assert not sample_cells(UNEVEN, sample="max", seed=0).duplicated(CELL).any()
    assert set(sample_cells(UNEVEN, sample="oversampling", seed=0)[CELL]) == set(UNEVEN[CELL])


def test_sampling_does_not_depend_on_row_order_but_on_the_seed():
    shuffled = UNEVEN.sample(frac=1, random_state=1)
    a, b = (sample_cells(t, sample=10, seed=2)[CELL].to_numpy() for t in (UNEVEN, shuffled))
    np.testing.assert_array_equal(a, b)
    assert set(a) != set(sample_cells(UNEVEN, sample=10, seed=3)[CELL])
