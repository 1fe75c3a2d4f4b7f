"""Queues of cells to review: the order by hand, flipped labels found, no near-copies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score

from nucprof.errors import DataError, UserError
from nucprof.learn.review_queue import (
    contradiction,
    opinion,
    queue,
    reasons,
    spread,
    uncertainty,
)


def cells_of(labels, wells=None, plate="p", distance=100.0):
    """Cells in a row, `distance` px apart; each well's cells are in one field."""
    wells = wells or ["B02"] * len(labels)
    return pd.DataFrame(
        {
            "Metadata_Plate": plate,
            "Metadata_Well": wells,
            "Metadata_ROI_img_name": [
                f"{w[0]}-{w[1:]}-01_{n:04d}" for n, w in enumerate(wells, start=1)
            ],
            "label": labels,
            "Metadata_Center_X": distance * np.arange(len(labels)),
            "Metadata_Center_Y": 50.0,
        }
    )


def said(cells, **probabilities):
    """The opinion of a classifier, from the probability of every class per cell."""
    index = pd.MultiIndex.from_frame(cells[["Metadata_Plate", "Metadata_ROI_img_name"]])
    return pd.DataFrame(probabilities, index=index)


def test_an_opinion_is_the_mean_over_seeds() -> None:
    predictions = pd.DataFrame(
        {
            "plate": ["p", "p", "p", "q"],
            "ROI_img_name": ["B-02-01_0001", "B-02-01_0002", "B-02-01_0001", "B-02-01_0001"],
            "p_a": [0.2, 0.5, 0.4, 1.0],
            "p_b": [0.8, 0.5, 0.6, 0.0],
            "seed": [0, 0, 1, 0],
        }
    )
    means = opinion(predictions)
    assert list(means.columns) == ["a", "b"]
    assert means.loc[("p", "B-02-01_0001"), "a"] == pytest.approx(0.3)
    assert means.loc[("q", "B-02-01_0001"), "a"] == 1.0


def test_uncertain_is_the_margin_of_the_two_likeliest() -> None:
    cells = cells_of(["a"] * 3)
    # a third class of 0.4 leaves less doubt between the others than a tie
    likely = said(cells, a=[0.45, 0.5, 0.9], b=[0.45, 0.1, 0.1], c=[0.1, 0.4, 0.0])
    assert uncertainty({"forest": likely}).tolist() == pytest.approx([1.0, 0.9, 0.2])
    served = queue("uncertain", cells, {"forest": likely}, size=10, seed=0)
    assert served["Metadata_ROI_img_name"].str[-1].tolist() == ["1", "2", "3"]


def test_the_most_certain_contradiction_comes_first() -> None:
    cells = cells_of(["a", "a", "a", "b", "b", "undefined"])
    forest = said(cells, a=[0.9, 0.1, 0.4, 0.2, 0.7, 0.0], b=[0.1, 0.9, 0.6, 0.8, 0.3, 1.0])
    served = queue("disagree", cells, {"forest": forest}, size=10, seed=0)
    # by hand: cells called a have a mean p_a of 1.4/3, cells called b a mean p_b of 0.55;
    # margins: cell 2 (0.9 - 0.55) - (0.1 - 0.467), cell 3 (0.6 - 0.55) - (0.4 - 0.467),
    # cell 5 (0.7 - 0.467) - (0.3 - 0.55); cells 1 and 4 agree, cell 6 has no class
    assert served["Metadata_ROI_img_name"].str[-1].tolist() == ["2", "5", "3", "4", "1"]
    assert served["score"].tolist()[:3] == pytest.approx([0.7167, 0.4833, 0.1167], abs=1e-4)
    assert (served["score"][3:] < 0).all()


def test_forest_against_network_is_a_contradiction_too() -> None:
    cells = cells_of(["a", "a", "a", "a"])
    forest = said(cells, a=[0.95] * 4, b=[0.0] * 4, c=[0.05] * 4)
    network = said(cells.iloc[:2], a=[0.9, 0.1], b=[0.1, 0.0], c=[0.0, 0.9])
    score = contradiction(cells, {"forest": forest, "network": network})
    # cell 2: the forest prefers a to c by 0.9, the network c to a by 0.8; its class alone has
    # (0.05 + 1.3) / 2 against it
    assert score.loc[("p", "B-02-01_0002")] == pytest.approx(0.8)
    assert (score.drop(("p", "B-02-01_0002")) < 0.2).all()


def test_a_hard_class_is_judged_by_its_own_probabilities() -> None:
    """Cells of a class whose probability is low throughout are no contradictions."""
    cells = cells_of(["a"] * 4 + ["b"] * 4)
    likely = said(
        cells, a=[0.95, 0.95, 0.95, 0.2, 0.52, 0.52, 0.52, 0.52], b=[0.05, 0.05, 0.05, 0.8]
        + [0.48] * 4,
    )  # fmt: skip
    served = queue("disagree", cells, {"forest": likely}, size=10, seed=0)
    assert served["Metadata_ROI_img_name"].iloc[0] == "B-02-01_0004"
    assert (served["score"] > 0).tolist() == [True] + [False] * 7


def test_wells_take_turns_and_near_copies_come_last() -> None:
    cells = cells_of(["a"] * 6, wells=["B02"] * 4 + ["C02"] * 2)
    cells["Metadata_Center_X"] = [0.0, 4.0, 100.0, 200.0, 0.0, 100.0]
    served = spread(cells, 20, block=None)["Metadata_ROI_img_name"].tolist()
    # cell 2 shares 16 of 20 columns with cell 1; cell 5 has its place in another field
    assert served == [
        "B-02-01_0001", "C-02-01_0005", "C-02-01_0006", "B-02-01_0003", "B-02-01_0004",
        "B-02-01_0002",
    ]  # fmt: skip


def test_a_block_keeps_the_rank_across_blocks() -> None:
    cells = cells_of(["a"] * 6, wells=["B02", "B02", "C02", "C02", "C02", "B02"])
    served = spread(cells, 20, block=3)["Metadata_ROI_img_name"].str[-1].tolist()
    assert served == ["1", "3", "2", "4", "6", "5"]


@pytest.mark.parametrize("kind", ["random", "class:b"])
def test_the_same_seed_serves_the_same_cells(kind) -> None:
    cells = cells_of(["a", "b", "b", "a", "b"])
    first, again = (queue(kind, cells, {}, size=10, seed=3) for _ in range(2))
    assert first["Metadata_ROI_img_name"].tolist() == again["Metadata_ROI_img_name"].tolist()
    wanted = {2, 3, 5} if kind == "class:b" else {1, 2, 3, 4, 5}
    assert {int(name[-1]) for name in first["Metadata_ROI_img_name"]} == wanted


def test_one_cell_by_its_key_on_one_plate_or_all() -> None:
    cells = pd.concat([cells_of(["a", "b"]), cells_of(["a"], plate="q")])
    assert queue("B-02-01_0001", cells, {}, size=9, seed=0)["Metadata_Plate"].tolist() == ["p", "q"]
    assert queue("q/B-02-01_0001", cells, {}, size=9, seed=0)["label"].tolist() == ["a"]


@pytest.mark.parametrize(
    ("kind", "error", "told"),
    [
        ("disagree", DataError, "run nucprof train rf"),
        ("uncertain", DataError, "run nucprof train rf"),
        ("class:wolf", UserError, "a, b are"),
        ("doubtful", UserError, "queues are uncertain, disagree, random"),
        ("B-02-01_0099", UserError, "no such cell"),
    ],
)
def test_what_cannot_be_served_is_said(kind, error, told) -> None:
    with pytest.raises(error, match=told):
        queue(kind, cells_of(["a", "b"]), {}, size=10, seed=0)


def culture(seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """A plate like the demo's: 8 wells of 60 cells of two classes, which overlap in 5 features.

    Wells differ by a shift of their own. The second array holds the features.
    """
    rng = np.random.default_rng(seed)
    wells = [f"D{n:02d}" for n in range(2, 10) for _ in range(60)]
    cells = cells_of(rng.choice(["astro", "neuro"], len(wells)).tolist(), wells)
    shift = np.repeat(rng.normal(0, 0.2, (8, 5)), 60, axis=0)
    signal = (cells["label"] == "neuro").to_numpy()[:, None] * [2.0, 1.5, 1.0, 0, 0]
    return cells, signal + shift + rng.normal(0, 0.7, (len(cells), 5))


def out_of_fold(cells: pd.DataFrame, values: np.ndarray) -> pd.DataFrame:
    """Probabilities by forests that have not seen the cell's well."""
    label, wells = cells["label"].to_numpy(), cells["Metadata_Well"].to_numpy()
    likely = np.zeros((len(cells), 2))
    for fold in range(4):
        held_out = np.isin(wells, np.unique(wells)[fold::4])
        forest = RandomForestClassifier(25, min_samples_leaf=5, random_state=0)
        forest.fit(values[~held_out], label[~held_out])
        likely[held_out] = forest.predict_proba(values[held_out])
    return said(cells, astro=likely[:, 0], neuro=likely[:, 1])


def macro_f1(true: pd.Series, likely: pd.DataFrame) -> float:
    return f1_score(true, likely.columns[likely.to_numpy().argmax(axis=1)], average="macro")


def test_flipped_labels_are_found_and_corrected() -> None:
    """10% of the labels are wrong: most are among the first 15% served, and F1 comes back."""
    cells, values = culture(seed=0)
    true = cells["label"]
    wrong = np.random.default_rng(0).choice(len(cells), len(cells) // 10, replace=False)
    noisy = cells.copy()
    noisy.loc[wrong, "label"] = true[wrong].map({"astro": "neuro", "neuro": "astro"})
    likely = out_of_fold(noisy, values)
    served = queue("disagree", noisy, {"forest": likely}, size=10, seed=0)
    seen = served["Metadata_ROI_img_name"].head(round(0.15 * len(cells)))
    found = cells["Metadata_ROI_img_name"][wrong].isin(seen)
    assert found.mean() >= 0.8
    corrected = noisy.copy()
    back = noisy["Metadata_ROI_img_name"].isin(seen)
    corrected.loc[back, "label"] = true[back]
    clean = macro_f1(true, out_of_fold(cells, values))
    assert macro_f1(true, out_of_fold(corrected, values)) == pytest.approx(clean, abs=0.015)


def test_reasons_name_every_classifier_that_knows_the_cell() -> None:
    cells = cells_of(["a", "b"])
    opinions = {
        "forest": said(cells, a=[0.2, 0.6], b=[0.8, 0.4]),
        "network": said(cells.iloc[:1], a=[0.9], b=[0.1]),
    }
    assert reasons(cells, opinions) == ["forest: b 80%, network: a 90%", "forest: a 60%"]
