"""Training with features scaled by reference wells, and what a model then says of other wells."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from nucprof.config import Project
from nucprof.errors import DataError, ModelError
from nucprof.io.results import Results
from nucprof.io.tables import read_table, write_table
from nucprof.learn.forest import chance as forest_chance
from nucprof.learn.forest import fit as forest_fit
from nucprof.stages import predict, train_rf

DNA, PAIR = "Nuclei_Intensity_MeanIntensity_DNA", "Nuclei_Correlation_Correlation_DNA_GFP"
SWAPPED = "Nuclei_Correlation_Correlation_GFP_DNA"
CELLS = 40


@pytest.fixture(autouse=True)
def small_forests(monkeypatch):
    monkeypatch.setattr(forest_fit, "TREES", (30, 40))
    monkeypatch.setattr(forest_fit, "SEARCH_TREES", 30)
    monkeypatch.setattr(forest_fit, "SHAPES", ((3, 1),))
    monkeypatch.setattr(forest_chance, "ARRANGEMENTS", 3)


def make_context(folder, plates, *, channels=("DNA", "GFP"), **sections):
    """A project with a layout per plate; `plates` gives the culture of wells by plate."""
    rounds = {"EdU": folder / "GT"}
    for name, wells in plates.items():
        grid = pd.DataFrame(index=list("BCDE"), columns=range(2, 7), dtype=object)
        for well, culture in wells.items():
            grid.loc[well[0], int(well[1:])] = culture
        (folder / name).mkdir(parents=True, exist_ok=True)
        grid.to_csv(folder / name / "layout.csv")
    project = Project(
        project={"name": "test", "output": folder / "results"},
        plates=[{"name": name, "cell_painting": folder, "ground_truth": rounds,
                 "layout": folder / name / "layout.csv"} for name in plates],
        channels={"cell_painting": list(channels), "nuclei": "DNA",
                  "ground_truth": {"EdU": ["EdU"]}},
        execution={"workers": 1}, **sections,
    )  # fmt: skip
    results = Results(folder / "results")
    return SimpleNamespace(
        project=project, results=results, written=results, name="default",
        entries=lambda stage: {},
    )  # fmt: skip


def write_cells(context, plates, shares=None, *, gain=None, seed=0, pair=PAIR):
    """Features and gate: neuro has three standard deviations more DNA, by `gain` of its plate."""
    rng, rows, gate = np.random.default_rng(seed), [], []
    for plate, wells in plates.items():
        for well, culture in wells.items():
            share = (shares or {}).get(well, {"astro": 0, "neuro": 1}.get(culture, 0.5))
            for label in range(1, CELLS + 1):
                true = "neuro" if label <= round(share * CELLS) else "astro"
                key = {"Metadata_Plate": plate, "Metadata_Well": well,
                       "Metadata_ROI_img_name": f"{well[0]}-{well[1:]}-01_{label:04d}"}  # fmt: skip
                dna = (gain or {}).get(plate, 1) * (20 + rng.normal(4.0 * (true == "neuro")))
                rows.append(key | {
                    "Metadata_Site": 1, "Metadata_ObjectNumber": label, "Metadata_Target": culture,
                    "Metadata_FieldCellCount": CELLS, DNA: dna, pair: rng.normal(),
                })  # fmt: skip
                gate.append(key | {"true_condition": "undefined" if label == CELLS else true})
    write_table(context.results.features("CP"), pd.DataFrame(rows))
    write_table(context.results.folder("gate") / "GT_data.csv", pd.DataFrame(gate))


def run(stage, context):
    (job,) = stage.plan(context).jobs
    return stage.work(job)


MIXED = {f"D{column:02d}": "co-culture" for column in range(2, 7)}
MONO = {"B02": "astro", "B03": "astro", "C02": "neuro", "C03": "neuro"}
TRAINING = {"rep1": {**MONO, **MIXED}}


def trained(folder, **rf):
    context = make_context(folder, TRAINING, train={"rf": rf})
    write_cells(context, TRAINING)
    return context, run(train_rf, context)


def composition(context):
    return read_table(context.results.folder("predict", "default") / "composition.csv")


def share_of(table, well, name="neuro"):
    return table[(table["well"] == well) & (table["class"] == name)].iloc[0]


@pytest.mark.parametrize("scaling", ["none", "plate"])
def test_pure_and_rare_wells_are_told_on_a_new_plate(tmp_path, scaling):
    trained(tmp_path / "train", scaling=scaling)
    wells = {"new": {**MONO, "D02": "co-culture", "D03": "co-culture", "E02": "co-culture"}}
    model = {"model": tmp_path / "train/results/train/rf/default", "bootstrap": 300}
    context = make_context(tmp_path / "new", wells, predict=model)
    # twice as bright a plate needs its reference wells
    gain = {"new": 2.0} if scaling == "plate" else None
    write_cells(context, wells, {"D02": 0.0, "D03": 1.0, "E02": 0.1}, gain=gain, seed=1)
    outcome = run(predict, context)
    table = composition(context)
    assert share_of(table, "D02")["share"] < 0.08
    assert share_of(table, "D03")["share"] > 0.92
    assert share_of(table, "E02")["share"] == pytest.approx(0.1, abs=0.08)
    assert share_of(table, "E02")["culture"] == "co-culture"
    assert share_of(table, "C02")["plate_reference_wells"] == 1  # the other one
    for well, true in (("D02", 0), ("D03", 1), ("E02", 0.1)):
        row = share_of(table, well)
        assert row["low"] <= true <= row["high"]
        assert row["imaged_low"] <= true <= row["imaged_high"]
    assert outcome.record.sources == {"new": 7 * CELLS}
    assert not any("no reference wells" in line for line in outcome.warnings)


def test_scaling_by_a_wells_own_cells_is_warned_of_and_gives_no_composition(tmp_path):
    context, outcome = trained(tmp_path, scaling="well")
    assert any("removes the composition of wells" in line for line in outcome.warnings)
    folder = context.results.folder("train", "rf", "default")
    other = make_context(tmp_path, TRAINING, predict={"model": folder})
    with pytest.raises(ModelError, match=r'scaling = "well".*composition cannot be told'):
        run(predict, other)


def test_a_plate_without_reference_wells_is_refused_where_they_scale(tmp_path):
    wells = {"rep1": MIXED}
    context = make_context(tmp_path, wells, train={"rf": {"scaling": "plate"}})
    write_cells(context, wells)
    with pytest.raises(DataError, match=r"plate rep1 has no reference well.*\[reference\]"):
        run(train_rf, context)
    named = make_context(
        tmp_path, wells, train={"rf": {"scaling": "plate"}}, reference={"culture": "co-culture"}
    )
    assert run(train_rf, named).record.culture == "mixed"


def test_wells_trained_on_have_the_predictions_of_the_evaluation(tmp_path):
    context, _ = trained(tmp_path)
    folder = context.results.folder("train", "rf", "default")
    other = make_context(tmp_path, TRAINING, predict={"model": folder, "bootstrap": 200})
    outcome = run(predict, other)
    # of each of the five mixed wells one cell is undefined, and was not predicted there
    assert outcome.record.sources == {
        "new": 4 * CELLS, "out_of_fold": 5 * (CELLS - 1), "trained_on": 5,
    }  # fmt: skip
    cells = read_table(context.results.folder("predict", "default") / "predictions.parquet")
    held_out = read_table(folder / "predictions.csv")
    both = cells.merge(held_out, on=["plate", "ROI_img_name"], suffixes=("", "_then"))
    assert (both["most_likely"] == both["predicted_then"]).all()
    table = composition(other)
    assert share_of(table, "D02")["n_out_of_fold"] == CELLS - 1
    assert share_of(table, "D02")["n_trained_on"] == 1
    # another plate of the same name and the same cells is new
    write_cells(context, TRAINING, seed=9)
    outcome = run(predict, other)
    assert outcome.record.sources == {"new": 9 * CELLS}
    assert any("have the names of wells" in line for line in outcome.warnings)


def test_channels_may_be_listed_in_another_order(tmp_path):
    trained(tmp_path / "train")
    model = {"model": tmp_path / "train/results/train/rf/default", "bootstrap": 200}
    found = []
    for pair, channels in ((PAIR, ("DNA", "GFP")), (SWAPPED, ("GFP", "DNA"))):
        wells = {"new": MONO}
        context = make_context(tmp_path / pair, wells, channels=channels, predict=model)
        write_cells(context, wells, seed=1, pair=pair)
        run(predict, context)
        found.append(composition(context))
    pd.testing.assert_frame_equal(*found)
