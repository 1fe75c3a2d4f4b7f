"""`train cnn`, `embed`, `gradcam`, `predict` on a small plate of crops, one after the other."""

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from nucprof.config import Project
from nucprof.core.crops import extract_crops
from nucprof.core.labels import ObjectIndex
from nucprof.errors import DataError, ModelError, UserError
from nucprof.io.digest import digest
from nucprof.io.images import write_image, write_labels
from nucprof.io.results import Results
from nucprof.io.stacks import write_stack
from nucprof.io.tables import read_table, write_table
from nucprof.learn import embedding as embed
from nucprof.learn.forest import chance as forest_chance
from nucprof.learn.forest import fit as forest_fit
from nucprof.plate.columns import REAL_BOX
from nucprof.plate.keys import FieldKey, cell_key
from nucprof.plate.sources import Source
from nucprof.stages import embed as embed_stage
from nucprof.stages import gradcam, predict, train_cnn, train_rf

SIZE, STEP = 12, 16
FIELDS = [f"D-{column:02d}-01" for column in range(2, 6)]
CLASSES = ("astro", "neuro")


def make_context(tmp_path, *, name="default", **sections):
    project = Project(
        project={"name": "test", "output": tmp_path / "results"},
        channels={"cell_painting": ["DNA", "GFP"], "nuclei": "DNA", "ground_truth": {"R": ["m"]}},
        **{"plates": [{"name": "p1", "cell_painting": tmp_path, "ground_truth": {"R": tmp_path}}],
           "crop": {"patch_size": SIZE}, "train": {"cnn": {
            "architecture": "resnet18", "image_size": 32, "epochs": 2, "batch_size": 16,
            "learning_rate": 1e-3,
        }}, "embed": {"method": "pca"}, "execution": {"device": "cpu"}} | sections,
    )  # fmt: skip
    done = {("p1", field): SimpleNamespace(status="done") for field in FIELDS}
    image = [Source(tmp_path / "image.tif")]
    results = Results(tmp_path / "results")
    return SimpleNamespace(
        project=project, results=results, written=results, name=name,
        entries=lambda stage: done, images=SimpleNamespace(sources=lambda *a: image),
    )  # fmt: skip


def write_plate(context, tmp_path):
    """Four mixed wells of 24 cells with gapped labels; neuro's nuclei are bright in GFP."""
    rng = np.random.default_rng(0)
    results, index, features, gate = context.results, [], [], []
    for field in FIELDS:
        labels = np.zeros((5 * STEP, 6 * STEP), np.uint16)
        image = rng.integers(90, 110, size=(2, *labels.shape)).astype(np.uint16)
        true = {}
        for number in range(24):
            y, x = STEP * (number // 6) + 6, STEP * (number % 6) + 6
            label = 3 * number + 2
            labels[y - 2 : y + 3, x - 2 : x + 3] = label
            true[label] = CLASSES[number % 2]
            image[0, y - 2 : y + 3, x - 2 : x + 3] += 300
            image[1, y - 2 : y + 3, x - 2 : x + 3] += 400 * (number % 2)
        write_labels(results.aligned_mask("p1", "nuclei", field), labels)
        objects = ObjectIndex.of(labels)
        crops, _ = extract_crops(image, None, objects.ids, objects.centroids, SIZE, masked=False)
        folder = results.crops("nucleocentric", SIZE)
        write_stack(folder / "p1" / f"{field}.tif", crops, ["DNA", "GFP"])
        for row, label in enumerate(objects.ids.tolist()):
            key = {
                "Metadata_Plate": "p1", "Metadata_Well": f"D{field[2:4]}", "Metadata_Site": 1,
                "Metadata_ObjectNumber": label,
                "Metadata_ROI_img_name": cell_key(FieldKey.parse(field), label),
            }  # fmt: skip
            whole = dict(zip(REAL_BOX, (0, 0, SIZE, SIZE), strict=True))
            index.append(key | {"stack": f"p1/{field}.tif", "row": row, "padded": False} | whole)
            features.append(key | {
                "Metadata_Target": "co-culture", "Metadata_FieldCellCount": 24,
                "Nuclei_Intensity_MeanIntensity_GFP": crops[row, 1].mean() + rng.normal(0, 1),
                "Nuclei_AreaShape_Area": rng.normal(25, 2),
            })  # fmt: skip
            gate.append(key | {"true_condition": true[label]})
    write_table(folder / "index.parquet", pd.DataFrame(index).sample(frac=1, random_state=1))
    write_table(results.features("CP"), pd.DataFrame(features))
    write_table(results.folder("gate") / "GT_data.csv", pd.DataFrame(gate[:-1]))
    write_image(tmp_path / "image.tif", image)


def run(stage, context):
    plan = stage.plan(context)
    (job,) = plan.jobs
    outcome = stage.work(job)
    missing = [path for path in job.outputs if not path.is_file() or not path.stat().st_size]
    assert not missing
    summary = stage.finish(context, plan, [SimpleNamespace(record=outcome.record)])
    assert summary.lines
    assert all(path.is_file() for path in summary.outputs)
    json.dumps(asdict(outcome.record), allow_nan=False)
    return summary


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    """A plate whose network and forest are trained."""
    tmp_path = tmp_path_factory.mktemp("plate")
    context = make_context(tmp_path)
    write_plate(context, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forest_chance, "ARRANGEMENTS", 9)
        patch.setattr(forest_fit, "TREES", (20, 30))
        patch.setattr(forest_fit, "SEARCH_TREES", 20)
        run(train_cnn, context)
        run(train_rf, context)
    return tmp_path


def test_train_cnn_writes_what_the_design_says(plate):
    folder = plate / "results/train/cnn/default"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["classes"] == list(CLASSES)
    assert metrics["n_test"] == 24 or metrics["n_test"] == 23
    assert metrics["device"] == "cpu"
    about = json.loads((folder / "model.json").read_text())
    assert about["crops"] == {
        "channels": ["DNA", "GFP"], "region": "nucleocentric", "patch_size": SIZE, "masked": False,
    }  # fmt: skip
    assert not (folder / ".checkpoints").exists()
    assert set(read_table(folder / "split.csv")["part"]) == {"train", "validation", "test"}
    forest = json.loads((plate / "results/train/rf/default/metrics.json").read_text())
    tested = set(read_table(folder / "predictions.csv")["well"])
    split = read_table(folder / "split.csv")
    assert tested == set(split["well"][split["part"] == "test"])
    assert forest["split"]["n_test"] == metrics["n_test"]


def test_learning_curve_and_ablation_are_tables_and_plots(tmp_path, plate):
    cnn = {"architecture": "resnet18", "image_size": 32, "epochs": 1, "batch_size": 16,
           "sizes": [4], "ablate": "channels"}  # fmt: skip
    context = make_context(tmp_path, train={"cnn": cnn})
    write_plate(context, tmp_path)
    run(train_cnn, context)
    folder = tmp_path / "results/train/cnn/default"
    assert read_table(folder / "learning_curve.csv")["n_train"].tolist() == [8] * 3
    without = read_table(folder / "ablation.csv")["without"].fillna("").tolist()
    assert without == ["", "DNA", "GFP"]


def test_embed_writes_a_table_joinable_by_key_and_a_map(plate):
    context = make_context(plate, embed={"method": "pca", "csv": True})
    run(embed_stage, context)
    table = read_table(plate / "results/embed/embeddings.parquet")
    assert len(table) == 4 * 24
    assert sum(name.startswith("Embedding_") for name in table.columns) == 512
    assert len(read_table(plate / "results/embed/embeddings.csv")) == len(table)
    places = read_table(plate / "results/embed/umap.csv")
    assert {"Metadata_Plate", "Metadata_ROI_img_name", "true_condition", "pca_1", "pca_2"} <= set(
        places.columns
    )
    # the one cell that the gate does not know is on the map all the same
    assert (places["true_condition"] == "undefined").sum() == 1
    assert embed.load_map(plate / "results/embed/map.npz").metadata["source"] == "cnn"


def test_new_cells_are_placed_on_a_map_of_the_same_network_only(plate, tmp_path):
    run(embed_stage, make_context(plate))
    own = read_table(plate / "results/embed/umap.csv")
    known = tmp_path / "map.npz"
    known.write_bytes((plate / "results/embed/map.npz").read_bytes())
    run(embed_stage, make_context(plate, embed={"map": known}))
    placed = read_table(plate / "results/embed/umap.csv")
    np.testing.assert_allclose(placed["pca_1"], own["pca_1"], atol=1e-4)
    handcrafted = make_context(plate, embed={"map": known, "source": "features"})
    with pytest.raises(ModelError, match=r"embed\.map: the map was made with source cnn"):
        run(embed_stage, handcrafted)


def test_embed_of_handcrafted_features_needs_no_network(tmp_path):
    context = make_context(tmp_path, embed={"source": "features", "method": "pca",
                                            "scaling": "plate"})  # fmt: skip
    write_plate(context, tmp_path)
    run(embed_stage, context)
    table = read_table(tmp_path / "results/embed/embeddings.parquet")
    assert abs(table["Nuclei_AreaShape_Area"].mean()) < 1e-5
    with pytest.raises(UserError, match="nucprof train cnn"):
        embed_stage.plan(make_context(tmp_path))


def test_gradcam_measures_attention_on_the_cells_own_nucleus(plate):
    summary = run(gradcam, make_context(plate, gradcam={"per_class": 3}))
    folder = plate / "results/gradcam"
    shown = read_table(folder / "index.csv")
    assert len(shown) == 6
    np.testing.assert_allclose(shown["nucleus_area"], 25 / SIZE**2, atol=0.02)
    evident = shown[~shown["no_evidence"]]
    assert evident["nucleus"].between(0, 1).all()
    assert shown.loc[shown["no_evidence"], ["nucleus", "deletion"]].isna().all(axis=None)
    attention = read_table(folder / "attention.csv")
    assert attention["predicted"].tolist()[-1] == "all classes"
    assert attention["cells"].iloc[-1] == attention["cells"].iloc[:-1].sum()
    assert any("of the attention lies inside the nucleus" in line for line in summary.lines)
    assert any("removing 20% chosen by random maps" in line for line in summary.lines)
    assert any("maps show no evidence" in line for line in summary.lines)


def test_empty_maps_are_counted_and_drawn_and_take_no_part_in_the_means(plate, monkeypatch):
    def half_empty(network, inputs, numbers, classes):
        maps = np.zeros((len(numbers), inputs.size, inputs.size), np.float32)
        maps[::2, 0, 0] = 1  # all attention in a corner, outside of every nucleus
        return maps

    monkeypatch.setattr("nucprof.learn.cnn.gradcam.attention_maps", half_empty)
    run(gradcam, make_context(plate, gradcam={"per_class": 3}))
    every = read_table(plate / "results/gradcam/attention.csv").iloc[-1]
    assert every["no_evidence"] == every["cells"] // 2
    assert every["nucleus"] == 0
    monkeypatch.setattr("nucprof.learn.cnn.gradcam.attention_maps",
                        lambda *given: 0 * half_empty(*given))  # fmt: skip
    summary = run(gradcam, make_context(plate, gradcam={"per_class": 3}))
    n = int(every["cells"])
    assert summary.lines[0].startswith(f"{n} of {n} maps show no evidence")


@pytest.mark.parametrize("choose", ["certain", "uncertain", "wrong"])
def test_gradcam_of_chosen_cells(plate, choose):
    run(gradcam, make_context(plate, gradcam={"per_class": 2, "choose": choose}))


@pytest.mark.parametrize("kind", ["cnn", "rf"])
def test_predict_with_either_model(plate, kind):
    model = plate / "results/train" / kind / "default"
    settings = {"model": model, "confidence": 0.9, "bootstrap": 200}
    context = make_context(plate, name=kind, predict=settings)
    run(predict, context)
    folder = plate / "results/predict" / kind
    cells = read_table(folder / "predictions.parquet")
    assert len(cells) == 4 * 24
    uncertain = cells["predicted"] == "uncertain"
    np.testing.assert_array_equal(uncertain, cells["confidence"] < 0.9)
    np.testing.assert_allclose(cells[["p_astro", "p_neuro"]].sum(axis=1), 1, atol=1e-5)
    wells = read_table(folder / "composition.csv")
    assert len(wells) == 4 * 2
    assert (wells["low"] <= wells["share"]).all()
    assert (wells["share"] <= wells["high"]).all()
    np.testing.assert_allclose(wells.groupby("well")["share"].sum(), 1)
    if kind == "rf":
        neuro = wells[wells["class"] == "neuro"]
        assert ((neuro["low"] <= 0.5) & (neuro["high"] >= 0.5)).all()


def test_predict_on_other_crops_is_refused_by_name(plate, tmp_path):
    context = make_context(tmp_path, crop={"patch_size": 10},
                           predict={"model": plate / "results/train/cnn/default"})  # fmt: skip
    write_plate(context, tmp_path)
    source = context.results.crops("nucleocentric", SIZE)
    source.rename(context.results.crops("nucleocentric", 10))
    with pytest.raises(ModelError, match=r"patch_size 12, these are of 10; set crop\.patch_size"):
        run(predict, context)


def test_predict_says_what_it_needs(tmp_path):
    with pytest.raises(ModelError, match="no trained model"):
        predict.plan(make_context(tmp_path, predict={"model": tmp_path}))


def test_cells_without_a_crop_are_named(plate, tmp_path):
    context = make_context(tmp_path)
    write_plate(context, tmp_path)
    index = context.results.crops("nucleocentric", SIZE) / "index.parquet"
    table = read_table(index)
    write_table(index, table[table["Metadata_ROI_img_name"] != "D-03-01_0002"])
    with pytest.raises(DataError, match=r"1 cells have no crop, e\.g\. D-03-01_0002 of plate p1"):
        run(train_cnn, context)


def test_what_decides_a_network_is_in_its_definition(tmp_path):
    context = make_context(tmp_path)
    write_plate(context, tmp_path)

    def definition(**settings):
        (job,) = train_cnn.plan(make_context(tmp_path, **settings)).jobs
        return digest(replace(job, outputs=()))

    assert definition(execution={"device": "cuda"}) == definition()
    assert definition(train={"seeds": [1]}) != definition(train={})


def test_a_network_scaled_by_reference_wells_serves_every_stage(tmp_path):
    network = {"architecture": "resnet18", "image_size": 32, "epochs": 1, "batch_size": 16,
               "normalise": "plate"}  # fmt: skip
    layout = tmp_path / "layout.csv"
    layout.write_text(",2,3,4,5\nD,co-culture,co-culture,astro,neuro\n")
    plates = [{"name": "p1", "cell_painting": tmp_path, "ground_truth": {"R": tmp_path},
               "layout": layout}]  # fmt: skip
    named = {"plates": plates, "train": {"cnn": network}, "gradcam": {"per_class": 2}}
    named["predict"] = {"model": tmp_path / "results/train/cnn/default", "bootstrap": 100}
    context = make_context(tmp_path, **named)
    write_plate(context, tmp_path)
    run(train_cnn, context)
    about = json.loads((tmp_path / "results/train/cnn/default/model.json").read_text())
    assert about["cultures"] == ["astro", "neuro"]
    for stage in (embed_stage, gradcam, predict):
        assert layout in stage.plan(context).jobs[0].inputs
        run(stage, context)
    layout.write_text(",2,3,4,5\nD,co-culture,co-culture,astro,\n")
    with pytest.raises(DataError, match="plate p1 has no reference well of neuro"):
        run(predict, make_context(tmp_path, **named))
