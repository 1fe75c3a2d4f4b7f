"""`train rf`: from feature table and gate to a judged model, joined by key."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from nucprof.config import Project
from nucprof.errors import DataError
from nucprof.io.digest import digest
from nucprof.io.results import Results
from nucprof.io.tables import read_table, write_table
from nucprof.learn.forest import chance as forest_chance
from nucprof.learn.forest import fit as forest_fit
from nucprof.learn.forest.model import load_forest
from nucprof.stages import train_rf

AREA, DNA = "Nuclei_AreaShape_Area", "Nuclei_Intensity_MeanIntensity_DNA"
WELLS = {"B": "astro", "C": "neuro", "D": "co-culture"}


@pytest.fixture(autouse=True)
def small_forests(monkeypatch):
    monkeypatch.setattr(forest_fit, "TREES", (30, 40))
    monkeypatch.setattr(forest_fit, "SEARCH_TREES", 40)
    monkeypatch.setattr(forest_fit, "SHAPES", ((3, 1),))
    monkeypatch.setattr(forest_chance, "ARRANGEMENTS", 9)


def make_context(tmp_path, *, ground_truth=True, name="default", **train):
    rounds = {"EdU": tmp_path / "GT"} if ground_truth else {}
    project = Project(
        project={"name": "test", "output": tmp_path / "results"},
        plates=[{"name": "007", "cell_painting": tmp_path / "CP", "ground_truth": rounds}],
        channels={"cell_painting": ["DNA"], "nuclei": "DNA",
                  "ground_truth": {"EdU": ["EdU"]} if ground_truth else {}},
        train={"rf": {}, **train},
        execution={"workers": 1},
    )  # fmt: skip
    return SimpleNamespace(
        project=project, results=Results(tmp_path / "results"), name=name,
        entries=lambda stage: {("", ""): "done"},
    )  # fmt: skip


def write_inputs(context, *, cells_per_well=24):
    """Three wells each of two monocultures and the mixed culture; the true class sets the DNA."""
    rng = np.random.default_rng(0)
    rows, gate = [], []
    for row, culture in WELLS.items():
        for column in (2, 3, 4):
            for label in range(1, cells_per_well + 1):
                true = culture if culture != "co-culture" else ("astro", "neuro")[label % 2]
                key = f"{row}-{column:02d}-01_{3 * label:04d}"
                rows.append({
                    "Metadata_Plate": "007", "Metadata_Well": f"{row}{column:02d}",
                    "Metadata_Site": 1, "Metadata_ROI_img_name": key, "Metadata_Target": culture,
                    "Metadata_FieldCellCount": 100 if true == "astro" else 5,
                    AREA: rng.normal(200, 20), DNA: rng.normal(3.0 * (true == "neuro"), 1),
                })  # fmt: skip
                condition = "undefined" if label == 1 else true
                gate.append({
                    "plate": "007", "ROI_img_name": key, "true_condition": condition,
                    "Metadata_Plate": "007", "Metadata_ROI_img_name": key,
                })  # fmt: skip
    write_table(context.results.features("CP"), pd.DataFrame(rows))
    if context.project.has_ground_truth:
        # another order, and one cell that the gate's filters left out
        table = pd.DataFrame(gate).sample(frac=1, random_state=1)
        table = table[table["ROI_img_name"] != "D-02-01_0006"]
        write_table(context.results.folder("gate") / "GT_data.csv", table)


def run(context):
    plan = train_rf.plan(context)
    outcome = train_rf.work(plan.jobs[0])
    entry = SimpleNamespace(record=outcome.record)
    return plan.jobs[0], outcome, train_rf.finish(context, plan, [entry])


def test_a_judged_model_is_written(tmp_path):
    context = make_context(tmp_path, name="first")
    write_inputs(context)
    job, _, summary = run(context)
    folder = tmp_path / "results/train/rf/first"
    assert {path.name for path in job.outputs} | {"rounds.csv"} == {
        p.name for p in folder.iterdir()
    }
    assert all(path.stat().st_size for path in job.outputs)
    metrics = json.loads((folder / "metrics.json").read_text())
    for key in (
        "f1_macro", "f1_macro_std", "accuracy", "confusion_matrix", "classes", "n_train", "n_test",
        "evaluation", "split_unit", "seeds", "f1_macro_permuted", "device", "fit_seconds", "split",
    ):  # fmt: skip
        assert key in metrics
    assert metrics["f1_macro"] > 0.8
    # 24 cells in 3 mixed wells, of each well one is undefined, and one cell was filtered out
    assert metrics["n_test"] == 3 * 23 - 1
    predictions = read_table(folder / "predictions.csv")
    assert list(predictions.columns) == [
        "plate", "ROI_img_name", "well", "true_condition", "predicted", "p_astro", "p_neuro",
        "fold", "seed",
    ]  # fmt: skip
    assert set(predictions["plate"]) == {"007"}
    assert set(read_table(folder / "split.csv").columns) == {"plate", "well", "fold", "seed"}
    assert load_forest(folder / "model.skops").features == [AREA, DNA]
    assert any("macro-F1" in line and "mixed culture" in line for line in summary.lines)


def test_density_strata_are_measured_and_drawn(tmp_path):
    context = make_context(tmp_path, culture="mono", density_strata=2)
    write_inputs(context, cells_per_well=8)
    job, outcome, summary = run(context)
    folder = tmp_path / "results/train/rf/default"
    assert {path.name for path in job.outputs} | {"rounds.csv"} == {
        p.name for p in folder.iterdir()
    }
    sparse, dense = json.loads((folder / "metrics.json").read_text())["seeds"][0]["density_strata"]
    # neuro lies in fields of 5 cells, astro in fields of 100: each stratum holds one class
    assert sparse["cells_per_class"]["astro"] == dense["cells_per_class"]["neuro"] == 0
    assert sparse["recall_macro"] == sparse["recall_per_class"]["neuro"] > 0.7
    assert dense["recall_macro"] == dense["recall_per_class"]["astro"] > 0.7
    # three wells a class: 20 arrangements, of which each is counted with its classes exchanged
    assert any("the smallest possible here is 0.1" in line for line in summary.lines)
    assert "fewer than 4 wells of a class were tested (astro 3, neuro 3)" in outcome.warnings[0]


def test_without_ground_truth_the_layout_is_the_truth(tmp_path):
    context = make_context(tmp_path, ground_truth=False, targets=["astro", "neuro"])
    write_inputs(context)
    _, _, summary = run(context)
    assert summary.counts["f1_macro"] > 0.8
    assert any("mono culture" in line for line in summary.lines)


def test_train_on_mono_and_test_on_mixed(tmp_path):
    context = make_context(tmp_path, culture="mono", test_culture="mixed")
    write_inputs(context)
    run(context)
    folder = tmp_path / "results/train/rf/default"
    split = read_table(folder / "split.csv").groupby("part")["well"].apply(set)
    assert split["test"] == {"D02", "D03", "D04"}
    assert split["train"] == {"B02", "B03", "B04", "C02", "C03", "C04"}


def test_a_gate_that_decided_nothing_is_an_error(tmp_path):
    context = make_context(tmp_path)
    write_inputs(context)
    path = tmp_path / "results/gate/GT_data.csv"
    write_table(path, read_table(path).assign(true_condition="undefined"))
    with pytest.raises(DataError, match=r"two classes or more.*found none"):
        run(context)


def test_what_decides_the_result_is_in_the_definition_and_nothing_else(tmp_path):
    def definition(**settings):
        (job,) = train_rf.plan(make_context(tmp_path, **settings)).jobs
        return digest(replace(job, outputs=()))

    usual = definition()
    assert definition(name="other") == usual
    assert definition(cnn={"epochs": 2}) == usual
    assert definition(seeds=[1]) != usual
    assert definition(rf={"scaling": "plate"}) != usual
