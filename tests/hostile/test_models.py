"""Models that were edited, or that expect other images: refused or told by name."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from edits import edit_json, half, put, remove

from hostile import Case, ids
from nucprof.config.models import FeatureSettings
from nucprof.errors import ModelError
from nucprof.learn.expectations import Expectations, check_cells, check_settings, differing_plates

FOREST = "results/train/rf/default/model.skops"
NETWORK = "results/train/cnn/default"
TRUSTED = ["sklearn.tree._tree.Tree"]


def forest(change):
    """Change the content of the forest's file; ``change`` gets its dict."""

    def edit(folder: Path) -> None:
        import skops.io

        held = skops.io.load(folder / FOREST, trusted=TRUSTED)
        change(held)
        skops.io.dump(held, folder / FOREST)

    return edit


def metadata(**values):
    """Give the forest's metadata other values."""
    return forest(lambda held: held["metadata"].update(values))


def top(**values):
    """Give the forest's content other values."""
    return forest(lambda held: held.update(values))


def expects(**values):
    """Let the forest expect other cells."""
    return forest(lambda held: held["expects"].update(values))


def without_trees(held) -> None:
    held["forest"].estimators_ = []


def network(**values):
    """Give the network's description other values."""
    return edit_json(f"{NETWORK}/model.json", lambda held: held.update(values))


def bad_weights(value: float):
    """Put a value into the last layer, with the hash that fits."""

    def edit(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        path = folder / NETWORK / "model.safetensors"
        tensors = load_file(path)
        tensors[sorted(tensors)[-1]].view(-1)[0] = value
        save_file(tensors, path)
        network(weights_sha256=hashlib.sha256(path.read_bytes()).hexdigest())(folder)

    return edit


def crops(**values):
    """Let the network expect other crops."""
    return edit_json(f"{NETWORK}/model.json", lambda held: held["crops"].update(values))


NAN, INF = float("nan"), float("inf")
FORESTS = [
    ("temperature 0", "silent", metadata(temperature=0.0), "temperature", "greater than 0"),
    ("temperature negative", "silent", metadata(temperature=-1.0), "temperature", "greater than 0"),
    ("temperature NaN", "silent", metadata(temperature=NAN), "temperature", "finite"),
    ("temperature infinite", "silent", metadata(temperature=INF), "temperature", "finite"),
    ("temperature a text", "traceback", metadata(temperature="x"), "temperature", "valid number"),
    ("prior of one class", "silent", metadata(prior=[1.0]), "prior", "every class"),
    ("prior that is no share", "silent", metadata(prior=[0.9, 0.9]), "prior", "adding up to 1"),
    ("prior NaN", "silent", metadata(prior=[NAN, 0.5]), "prior.0"),
    ("prior 0", "silent", metadata(prior=[0.0, 1.0]), "prior.0", "greater than 0"),
    ("equal classes", "silent", top(classes=["astro", "astro"]), "classes", "listed twice"),
    ("one class", "silent", top(classes=["astro"]), "classes", "at least 2"),
    ("class undefined", "silent", top(classes=["astro", "undefined"]), "classes", "nucprof's name"),
    ("other classes", "silent", top(classes=["a", "b"]), "do not fit together"),
    ("unknown scaling", "silent", top(scaling="other"), "scaling", "'none', 'plate' or 'well'"),
    ("no features", "traceback", top(features=[]), "features", "at least 1"),
    ("a feature twice", "silent", top(features=["a", "a"]), "features", "listed twice"),
    ("no trees", "silent", forest(without_trees), "do not fit together"),
    ("no metadata", "traceback", top(metadata={}), "temperature", "required"),
    ("metadata a list", "traceback", top(metadata=[1]), "model.skops"),
    ("another schema", "unclear", top(schema=1), "schema 2"),
    ("half", "traceback", half(FOREST), "Is it a forest of nucprof's"),
    ("empty", "traceback", put(FOREST, b""), "Is it a forest of nucprof's"),
    ("nuclei of twice the size", "silent",
     expects(pixel_size_um=None, nuclear_diameter_px=44.0), "nuclei have a diameter"),
    ("patches of another size", "silent", expects(feature_patch_px=30), "features.patch_size = 30"),
    ("textures of another kind", "silent",
     expects(texture_background="include"), "features.texture_background = include"),
    ("pixel size negative", "silent", expects(pixel_size_um=-1.0), "expects.pixel_size_um"),
]  # fmt: skip
NETWORKS = [
    ("temperature 0", "silent", network(temperature=0), "temperature", "greater than 0"),
    ("temperature NaN", "silent", network(temperature=NAN), "temperature"),
    ("equal classes", "silent", network(classes=["astro", "astro"]), "classes", "listed twice"),
    ("prior 0", "silent", network(prior=[0, 1]), "prior.0"),
    ("unknown normalisation", "silent", network(normalise="none"), "normalise"),
    ("image size 0", "traceback", network(image_size=0), "image_size", "equal to 8"),
    ("image size huge", "hang", network(image_size=10**9), "image_size", "equal to 4096"),
    ("image size a text", "traceback", network(image_size="big"), "image_size"),
    ("channels twice", "silent", crops(channels=["DAPI"] * 4), "crops.channels", "listed twice"),
    ("a channel that is missing", "silent",
     crops(channels=["DAPI", "FITC", "Cy3", "Alexa"]), "Alexa is missing"),
    ("patches of another size", "silent", crops(patch_size=48), "patch_size 48", "nucprof crop"),
    ("another region", "silent", crops(region="cell"), "region cell"),
    ("unknown region", "traceback", crops(region="world"), "crops.region"),
    ("weights NaN", "silent", bad_weights(NAN), "not finite"),
    ("weights infinite", "silent", bad_weights(INF), "not finite"),
    ("weights of another model", "silent", network(weights_sha256="0"), "do not belong together"),
    ("weights half", "traceback", half(f"{NETWORK}/model.safetensors"), "do not belong together"),
    ("weights gone", "traceback", remove(f"{NETWORK}/model.safetensors"), "model.safetensors"),
    ("description half", "traceback", half(f"{NETWORK}/model.json"), "model.json is damaged"),
    ("description a list", "traceback", put(f"{NETWORK}/model.json", "[]"), "is no network"),
    ("unknown architecture", "unclear", network(architecture="resnet19"), "did you mean resnet18"),
    ("another schema", "unclear", network(schema=1), "schema 2"),
    ("a key is missing", "traceback",
     edit_json(f"{NETWORK}/model.json", lambda held: held.pop("crops")), "crops: Field required"),
]  # fmt: skip

CASES = (
    [
        Case(
            name=f"{what}: {name}",
            kind=kind,
            command=f"predict {{p}}/project.toml --model {{p}}/{folder}",
            prepare=prepare,
            says=told,
            keeps=("results/predict",),
        )
        for what, folder, rows in (
            ("forest", "results/train/rf/default", FORESTS),
            ("network", NETWORK, NETWORKS),
        )
        for name, kind, prepare, *told in rows
    ]
    + [
        Case(
            name=f"--model {model}",
            kind="unclear",
            command=f"predict {{p}}/project.toml --model {model}",
            says=("there is no trained model in",),
            keeps=("results/predict",),
        )
        for model in ("nowhere", "project.toml", "CP")
    ]
    + [
        Case(
            name="models add: a folder that holds no model is named as the user did",
            kind="unclear",
            command="models add x {p}/CP --models-dir {p}/models",
            says=("{p}/CP is not a StarDist model: it lacks config.json",),
            silent_on=(".incoming",),
            plate="raw",
        ),
        Case(
            name="forest: other exposure is told",
            kind="silent",
            command="predict {p}/project.toml",
            prepare=expects(intensity={"DAPI": [1e6, 2e6]}),
            says=("the median intensity of DAPI in nuclei is", "between 1e+06 and 2e+06"),
            status=0,
        ),
        Case(
            name="forest: a model of an earlier version works, and says so",
            kind="unclear",
            command="predict {p}/project.toml",
            prepare=forest(lambda held: held.pop("expects")),
            says=("the model comes from an earlier version", "cells: "),
            status=0,
        ),
        Case(
            name="forest: scaled by wells",
            kind="silent",
            command="predict {p}/project.toml",
            prepare=top(scaling="well"),
            says=('scaling = "well"', "composition cannot be told"),
        ),
    ]
)


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_case(case, run_case):
    run_case(case)


@pytest.mark.kind("silent")
def test_a_forest_says_what_it_was_trained_on(plate_of):
    """The values that cases change are those of the plate."""
    from nucprof.learn.forest.model import load_forest

    folder = plate_of("processed")
    expects = load_forest(folder / FOREST).expects
    assert expects.feature_patch_px == 60
    sizes = json.loads((folder / "results/segment/nuclear_size.json").read_text())
    assert expects.nuclear_diameter_px == pytest.approx(sizes["diameter_px"]["demo"], rel=0.2)
    assert set(expects.intensity) == {"DAPI", "FITC", "Cy3", "Cy5"}
    assert all(np.isfinite(limits).all() for limits in expects.intensity.values())


def cells(pixel_um: float | None, diameter: float, plate: str = "p", dapi: float = 500.0):
    """A feature table of nuclei of a size, with areas in µm² where the pixel size is known."""
    area = np.pi / 4 * diameter**2 * np.linspace(0.9, 1.1, 51)
    um2 = area * (pixel_um or np.nan) ** 2
    return pd.DataFrame(
        {
            "Metadata_Plate": plate,
            "Nuclei_AreaShape_Area": area,
            "Nuclei_AreaShape_Area_um2": um2,
            "Nuclei_Intensity_MeanIntensity_DAPI": np.linspace(0.5, 1.5, 51) * dapi,
        }
    )


TRAINED = Expectations(
    pixel_size_um=0.65, nuclear_diameter_px=20.0, intensity={"DAPI": (300.0, 900.0)}
)


@pytest.mark.kind("silent")
class TestExpectations:
    """A model trained on pixels of 0.65 µm and nuclei of 20 px."""

    def test_what_fits_is_not_told(self):
        assert check_cells(TRAINED, cells(0.65, 20.5)) == []

    @pytest.mark.parametrize("size", [0.325, 1.3, 0.5])
    def test_other_pixels_are_refused_by_name(self, size):
        with pytest.raises(ModelError, match=rf"plate p has pixels of {size} µm, .* of 0\.65 µm"):
            check_cells(TRAINED, cells(size, 20 * 0.65 / size))

    def test_pixels_that_differ_a_little_are_told(self):
        (told,) = check_cells(TRAINED, cells(0.68, 20))
        assert told == "plate p has pixels of 0.68 µm, the model was trained on pixels of 0.65 µm"

    @pytest.mark.parametrize("diameter", [10, 40])
    def test_without_a_pixel_size_the_nuclei_decide(self, diameter):
        with pytest.raises(ModelError, match=rf"diameter of {diameter} px, in training 20 px"):
            check_cells(TRAINED, cells(None, diameter))

    def test_other_nuclei_at_the_same_pixels_are_told(self):
        (told,) = check_cells(TRAINED, cells(0.65, 40))
        assert "nuclei have a diameter of 40 px, in training 20 px" in told

    @pytest.mark.parametrize("level", [20, 60_000])
    def test_other_intensities_are_told_by_channel(self, level):
        (told,) = check_cells(TRAINED, cells(0.65, 20, dapi=level))
        assert f"the median intensity of DAPI in nuclei is {level:.4g}" in told

    def test_each_plate_is_compared(self):
        both = pd.concat([cells(0.65, 20, "a"), cells(0.325, 40, "b")])
        with pytest.raises(ModelError, match=r"plate b has pixels of 0\.325"):
            check_cells(TRAINED, both)

    def test_plates_of_different_pixels_in_one_table_are_told(self):
        both = pd.concat([cells(0.65, 20, "a"), cells(0.325, 40, "b")])
        (told,) = differing_plates(both)
        assert "plates differ in the size of their pixels (a 0.65 µm, b 0.325 µm)" in told

    def test_plates_of_different_nuclei_without_pixel_sizes_are_told(self):
        both = pd.concat([cells(None, 20, "a"), cells(None, 40, "b")])
        (told,) = differing_plates(both)
        assert "plates differ in the size of their nuclei (a 20 px, b 40 px)" in told

    @pytest.mark.parametrize("sizes", [(0.65, 0.65), (0.65, 0.652), (None, None)])
    def test_alike_plates_are_not_told(self, sizes):
        both = pd.concat([cells(sizes[0], 20, "a"), cells(sizes[1], 21, "b")])
        assert differing_plates(both) == []

    @pytest.mark.parametrize("key", ["patch_size", "texture_background"])
    def test_features_measured_in_another_way_are_refused(self, key):
        trained = Expectations(feature_patch_px=60, texture_background="exclude")
        other = FeatureSettings(**{"patch_size": 120} if key == "patch_size" else {key: "include"})
        check_settings(trained, FeatureSettings())
        with pytest.raises(ModelError, match=rf"features\.{key}"):
            check_settings(trained, other)
