"""A field as napari's layers: names, scale, classes, and the parts that belong together."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import nucprof
from nucprof.errors import UserError
from nucprof.project.view import field_view, fill, show


@pytest.fixture
def opened(processed):
    return nucprof.open_project(processed)


def by_name(view):
    return {options["name"]: (data, options, kind) for data, options, kind in view.layers}


def test_layers_are_named_coloured_and_scaled(opened):
    view = field_view(opened, "D-02-01")
    layers = by_name(view)
    assert list(layers) == [
        "CP DAPI", "CP FITC", "CP Cy3", "CP Cy5", "EdU_BrdU EdU", "EdU_BrdU BrdU",
        "registration before: EdU_BrdU DAPI", "registration after: EdU_BrdU DAPI",
        "nuclei: all segmented", "nuclei: kept", "nuclei: class",
    ]  # fmt: skip
    um = opened.pixel_size_um
    for data, options, _ in layers.values():
        assert data.shape == (150, 160)
        assert options["scale"] == ((um, um) if um else (1, 1))
        assert options["units"] == (("um", "um") if um else ("pixel", "pixel"))
    assert layers["CP DAPI"][1]["colormap"]["colors"][1] == (0, 0, 1)
    np.testing.assert_array_equal(layers["CP Cy5"][0], opened.image("demo", "D-02-01")[3])


def test_before_and_after_differ_by_the_registered_shift(opened):
    rows = opened.registration
    far = rows.loc[rows[["shift_y", "shift_x"]].abs().sum(axis=1).idxmax()]
    field = f"{far['well'][0]}-{far['well'][1:]}-{far['site']:02d}"
    layers = by_name(field_view(opened, field))
    before = layers["registration before: EdU_BrdU DAPI"][0]
    after = layers["registration after: EdU_BrdU DAPI"][0]
    y, x = round(far["shift_y"]), round(far["shift_x"])
    inside = np.s_[20:-20, 20:-20]

    def alike(image):
        return np.corrcoef(image[inside].ravel(), after[inside].ravel())[0, 1]

    # a point (y, x) of the Cell Painting image lies at (y, x) + shift in the round
    assert alike(np.roll(before, (-y, -x), (0, 1))) > 0.95
    assert alike(before) < 0.9


def test_a_field_that_was_not_aligned_is_shown_as_imaged(copied):
    opened = nucprof.open_project(copied)
    for path in (copied.parent / "results" / "aligned").rglob("D-02-01.tif"):
        path.unlink()
    layers = by_name(field_view(opened, "D-02-01"))
    raw = opened.image("demo", "D-02-01", "EdU_BrdU", aligned=False)
    np.testing.assert_array_equal(layers["EdU_BrdU EdU (not aligned)"][0], raw[1])
    assert "registration before: EdU_BrdU DAPI" in layers
    assert "registration after: EdU_BrdU DAPI" not in layers
    segmented = opened.mask("demo", "D-02-01", aligned=False)
    np.testing.assert_array_equal(layers["nuclei: kept"][0], segmented)


def test_features_are_those_of_the_label(opened):
    data, options, kind = by_name(field_view(opened, "D-02-01"))["nuclei: class"]
    assert kind == "labels"
    features = options["features"].set_index("index")
    assert set(features.index) == set(np.unique(data)) - {0}
    classes = opened.classes.set_index("Metadata_ROI_img_name")["true_condition"]
    forest = opened.predictions("rf").set_index("ROI_img_name")["predicted"]
    for label, row in features.iterrows():
        assert row["cell"] == f"D-02-01_{label:04d}"
        assert row["class"] == classes[row["cell"]]
        assert row["forest"] == forest.get(row["cell"], "")
    colours = {row["class"]: options["colormap"][label] for label, row in features.iterrows()}
    assert len(set(colours.values())) == len(colours)


def test_a_cell_is_framed_and_explained(opened):
    cell = int(np.unique(opened.mask("demo", "D-02-01"))[1])
    view = field_view(opened, "D-02-01", cell=cell)
    key = f"D-02-01_{cell:04d}"
    layers = by_name(view)
    (corners,), _, kind = layers[key]
    um = opened.pixel_size_um or 1
    assert kind == "shapes"
    assert np.ptp(corners, axis=0).tolist() == [24, 24]
    attention, placed, _ = next(item for name, item in layers.items() if name.startswith("atten"))
    assert attention.shape == (32, 32)
    # the map covers the frame: the outer edges of its corner pixels are the frame's corners
    side = np.array(placed["scale"])
    top_left = np.array(placed["translate"]) - side / 2
    np.testing.assert_allclose(top_left, um * corners.min(axis=0))
    np.testing.assert_allclose(32 * side, 24 * um)
    y, x = np.argwhere(opened.mask("demo", "D-02-01") == cell).mean(axis=0)
    assert view.centre == pytest.approx((y * um, x * um))


def test_what_is_not_there_is_said(opened):
    with pytest.raises(UserError, match=r"no plate has a field Z-01-01; fields are like B-02-01"):
        field_view(opened, "Z-01-01")
    with pytest.raises(UserError, match="plate demo has no cell D-02-01_9999"):
        field_view(opened, "D-02-01", cell=9999)
    dropped = opened.cells.query("status == 'dropped'").iloc[0]
    field, label = dropped["Metadata_ROI_img_name"].split("_")
    with pytest.raises(UserError, match=f"was dropped by {dropped['stage']}: {dropped['reason']}"):
        field_view(opened, field, cell=int(label))


def test_without_napari_a_message_names_the_extra(opened, monkeypatch):
    monkeypatch.setitem(sys.modules, "napari", None)
    with pytest.raises(UserError, match=r'pip install "nucprof\[napari\]"'):
        show(field_view(opened, "D-02-01"))


@pytest.mark.filterwarnings("ignore")  # napari's own
def test_napari_takes_the_layers(opened, monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    why = "the extra napari is not installed"
    components = pytest.importorskip("napari.components", reason=why)
    cell = int(np.unique(opened.mask("demo", "D-02-01"))[1])
    view = field_view(opened, "D-02-01", cell=cell)
    viewer = components.ViewerModel()
    fill(viewer, view)
    assert [layer.name for layer in viewer.layers] == [o["name"] for _, o, _ in view.layers]
    assert viewer.scale_bar.visible
    um = opened.pixel_size_um or 1
    assert viewer.camera.center[-2:] == pytest.approx(view.centre)
    classes = viewer.layers["nuclei: class"]
    assert tuple(classes.scale) == (um, um)
    y, x = np.argwhere(opened.mask("demo", "D-02-01") == cell)[0]
    status = classes.get_status((y * um, x * um), world=True)["coordinates"]
    assert f"cell: D-02-01_{cell:04d}" in status
    assert "class: " in status
    dapi = viewer.layers["CP DAPI"]
    np.testing.assert_allclose(dapi.colormap.map(np.array([1.0])), [[0, 0, 1, 1]])
    assert dapi.blending == "additive"
