"""`nucprof export`: every format is read back by the program that it is for."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pandas as pd
import pytest
from openpyxl import load_workbook

from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app
from nucprof.errors import UserError
from nucprof.io.images import write_image
from nucprof.project.export import FORMATS, export
from nucprof.project.export.tables import FeatureName, cell_table
from nucprof.project.reader import open_project

KEY = ["Metadata_Plate", "Metadata_ROI_img_name"]


@pytest.fixture(scope="module")
def opened(processed):
    return open_project(processed)


def run(processed, to, out):
    assert run_app(build_app(), ["export", str(processed), "--to", to, "--out", str(out)]) == 0
    return out


class TestTables:
    def test_one_row_per_cell_with_all_rounds_and_classes(self, opened):
        table = cell_table(opened)
        cells, painted, truth = table.cells, opened.features(), opened.features("EdU_BrdU")
        assert len(cells) == len(painted)
        edu = "Nuclei_Intensity_MeanIntensity_EdU"
        expected = truth.set_index(KEY)[edu].reindex(pd.MultiIndex.from_frame(painted[KEY]))
        np.testing.assert_array_equal(cells[edu], expected)
        assert table.rounds[edu] == "EdU_BrdU"
        # what both rounds measure keeps the name of Cell Painting's, the other gets the round's
        for round_name, measured in (("CP", painted), ("EdU_BrdU", truth)):
            name = "Nuclei_Intensity_MeanIntensity_DAPI"
            here = name if round_name == "CP" else f"{name}_EdU_BrdU"
            ordered = measured.set_index(KEY)[name].reindex(pd.MultiIndex.from_frame(cells[KEY]))
            np.testing.assert_array_equal(cells[here], ordered)
        true = opened.classes.set_index(KEY)["true_condition"]
        assert (cells.set_index(KEY)["Metadata_true_condition"] == true).all()
        assert {"Metadata_predicted", "Metadata_predicted_p_astro"} <= set(table.metadata)
        assert not set(table.features) & set(table.metadata)

    def test_names_of_features(self):
        name = FeatureName.parse("Patch_Intensity_MeanIntensity_Alexa_488")
        assert name == FeatureName("Patch", "Intensity", "MeanIntensity", "Alexa_488")
        assert FeatureName.parse("Nuclei_AreaShape_Area").channel == ""


def test_csv(processed, opened, tmp_path):
    folder = run(processed, "csv", tmp_path / "tables")
    names = {path.stem for path in folder.iterdir()}
    assert names >= {"cells", "features_CP", "features_GT_EdU_BrdU", "classes", "composition"}
    keyed = {p.stem: set(pd.read_csv(p, nrows=1)) for p in folder.iterdir()}
    old = {"plate", "well", "site", "ROI_img_name"}
    assert not [name for name, columns in keyed.items() if columns & old]
    assert all("Metadata_Plate" in columns for columns in keyed.values())
    assert {"Metadata_Well", "culture"} <= keyed["composition"]
    read = pd.read_csv(folder / "features_CP.csv")
    pd.testing.assert_frame_equal(read, opened.features(), check_dtype=False, rtol=1e-6)


def test_xlsx(processed, opened, tmp_path):
    path = run(processed, "xlsx", tmp_path / "results.xlsx")
    sheets = pd.read_excel(path, sheet_name=None)
    assert list(sheets) == ["wells", "cells", "composition", "metrics", "settings"]
    wells, ledger = sheets["wells"], opened.cells
    assert wells["segmented"].sum() == len(ledger)
    assert wells["kept"].sum() == (ledger["status"] == "kept").sum()
    dropped = wells[[c for c in wells if c.startswith("dropped: ")]].sum().sum()
    assert wells["segmented"].sum() == wells["kept"].sum() + dropped
    true = opened.classes.groupby(["Metadata_Well", "true_condition"]).size()
    by_well = wells.set_index("Metadata_Well")
    assert all(by_well.loc[well, f"true: {name}"] == n for (well, name), n in true.items())
    cultures = {"B": "astro", "C": "neuro", "D": "co-culture"}
    assert by_well["Metadata_Target"].to_dict() == {
        well: cultures[well[0]] for well in by_well.index
    }
    assert len(sheets["cells"]) == len(opened.features())
    assert "segment.backend" in set(sheets["settings"]["setting"])
    metrics = sheets["metrics"].set_index(["classifier", "metric"])["value"]
    for name, known in (
        ("rf", opened.metrics("rf")),
        ("rf, split", opened.metrics("rf")["split"]),
        ("cnn", opened.metrics("cnn")),
    ):
        assert metrics[name, "f1_macro"] == pytest.approx(known["f1_macro"])
        if known["f1_macro_ci"]:
            limits = [metrics[name, f"f1_macro_ci {side}"] for side in ("low", "high")]
            assert limits == pytest.approx(known["f1_macro_ci"])
    assert ("rf", "f1_macro_ci low") in metrics
    book = load_workbook(path)
    assert {sheet.freeze_panes for sheet in book} == {"A2"}
    names = sheets["settings"]["setting"]
    assert book["settings"].column_dimensions["A"].width > names.str.len().max()
    confidence = list(sheets["cells"]).index("Metadata_confidence") + 1
    cell = book["cells"].cell(2, confidence)
    assert (cell.data_type, cell.number_format) == ("n", "0.000")
    assert cell.value == sheets["cells"]["Metadata_confidence"][0]


def test_pycytominer(processed, opened, tmp_path):
    pytest.importorskip("pycytominer", reason="pycytominer (extra 'test') is not installed")
    import pycytominer
    from pycytominer.cyto_utils import infer_cp_features

    path = run(processed, "pycytominer", tmp_path / "profiles.parquet")
    profiles = pd.read_parquet(path)
    features = infer_cp_features(profiles, compartments=["Nuclei", "Patch"])
    assert set(features) == {c for c in opened.features() if not c.startswith("Metadata_")}
    assert any(name.startswith("Patch_") for name in features)
    platemap = pd.DataFrame({"well_position": ["B02", "C02"], "dose": [1.0, 2.0]})
    annotated = pycytominer.annotate(
        profiles, platemap, join_on=["Metadata_well_position", "Metadata_Well"]
    )
    assert set(annotated.loc[annotated["Metadata_Well"] == "B02", "Metadata_dose"]) == {1.0}
    wells = pycytominer.aggregate(
        profiles, strata=["Metadata_Plate", "Metadata_Well"], features=features
    )
    expected = profiles.groupby("Metadata_Well")["Patch_Intensity_MeanIntensity_DAPI"].median()
    found = wells.set_index("Metadata_Well")["Patch_Intensity_MeanIntensity_DAPI"]
    np.testing.assert_allclose(found, expected)
    normalised = pycytominer.normalize(
        profiles, features=features, samples="Metadata_Target == 'astro'"
    )
    astro = normalised[normalised["Metadata_Target"] == "astro"]
    assert abs(astro["Nuclei_AreaShape_Area"].mean()) < 1e-6
    selected = pycytominer.feature_select(
        normalised, features=features, operation=["variance_threshold", "drop_na_columns"]
    )
    assert 0 < len([c for c in selected if c in features]) <= len(features)


def test_h5ad(processed, opened, tmp_path):
    pytest.importorskip("anndata", reason="the extra 'h5ad' is not installed")
    import anndata

    data = anndata.read_h5ad(run(processed, "h5ad", tmp_path / "cells.h5ad"))
    features = opened.features()
    assert data.n_obs == len(features)
    assert data.obs_names[0] == "/".join(features.loc[0, KEY])
    area = data[:, "Nuclei_AreaShape_Area"].X.ravel()
    np.testing.assert_allclose(area, features["Nuclei_AreaShape_Area"])
    named = data.var.loc["Patch_Intensity_MeanIntensity_Cy3"]
    assert list(named) == ["CP", "Patch", "Intensity", "MeanIntensity", "Cy3"]
    again = data.var.loc["Nuclei_Intensity_MeanIntensity_DAPI_EdU_BrdU"]
    assert (again["round"], again["channel"]) == ("EdU_BrdU", "DAPI")
    np.testing.assert_allclose(data.obsm["spatial"][:, 0], features["Metadata_Center_X"])
    vectors = opened.embeddings.set_index(KEY).filter(like="Embedding_")
    order = pd.MultiIndex.from_frame(data.obs[KEY].astype(str))
    np.testing.assert_allclose(data.obsm["X_embedding"], vectors.reindex(order), rtol=1e-6)
    assert data.obsm["X_pca"].shape == (data.n_obs, 2)  # the map of this project
    about = data.uns["nucprof"]
    assert json.loads(about["settings"])["segment"]["backend"] == "watershed"


def test_h5ad_in_scanpy(processed, tmp_path):
    scanpy = pytest.importorskip("scanpy", reason="scanpy is not installed")
    data = scanpy.read_h5ad(run(processed, "h5ad", tmp_path / "cells.h5ad"))
    complete = data[:, ~np.isnan(data.X).any(axis=0)].copy()
    scanpy.pp.scale(complete)
    scanpy.pp.pca(complete, n_comps=3, key_added="again")
    assert complete.obsm["again"].shape == (data.n_obs, 3)
    frame = scanpy.get.obs_df(data, ["Metadata_Target", "Nuclei_AreaShape_Area"])
    assert frame["Nuclei_AreaShape_Area"].gt(0).all()


@pytest.fixture(scope="module")
def folder(processed, tmp_path_factory):
    """The plates of the project as OME-Zarr."""
    pytest.importorskip("ngio", reason="the extra 'ome-zarr' is not installed")
    return run(processed, "ome-zarr", tmp_path_factory.mktemp("zarr") / "plates")


#: Blue for the nuclear stain, then the colours that all pictures use in turn.
COLOURS = {
    "CP": ["0000FF", "00FF00", "FF0000", "FF00FF"],
    "EdU_BrdU": ["0000FF", "00FF00", "FF0000"],
}


class TestOmeZarr:
    def test_it_is_valid(self, folder):
        import zarr

        models = pytest.importorskip("ome_zarr_models.v05.hcs")
        plate = models.HCS.from_zarr(zarr.open_group(folder / "demo.zarr", mode="r"))
        names = [(a.id, a.name) for a in plate.ome_attributes.plate.acquisitions]
        assert names == [(0, "CP"), (1, "EdU_BrdU")]

    def test_images_and_labels(self, folder, opened):
        import ngio

        plate = ngio.open_ome_zarr_plate(folder / "demo.zarr")
        assert sorted(plate.wells_paths()) == ["B/02", "B/03", "C/02", "C/03", "D/02", "D/03",
                                               "D/04"]  # fmt: skip
        for path, round_name in (("1a0", "CP"), ("1a1", "EdU_BrdU")):
            image = ngio.open_ome_zarr_container(folder / "demo.zarr" / "B" / "02" / path)
            found = image.get_image().get_as_numpy()
            np.testing.assert_array_equal(found, opened.image("demo", "B-02-01", round_name))
            channels = opened.project.round_channels(round_name)
            assert image.get_image().channel_labels == channels
            colours = image.get_image().channels_meta.channels
            assert [c.channel_visualisation.color for c in colours] == COLOURS[round_name]
        painted = ngio.open_ome_zarr_container(folder / "demo.zarr" / "B" / "02" / "1a0")
        mask = painted.get_label("nuclei").get_as_numpy()
        np.testing.assert_array_equal(mask, opened.mask("demo", "B-02-01"))

    def test_a_second_reader(self, folder, opened):
        io = pytest.importorskip("ome_zarr.io", reason="ome-zarr is not installed")
        from ome_zarr.reader import Reader

        place = folder / "demo.zarr" / "D" / "02" / "1a0"
        nodes = list(Reader(io.parse_url(str(place)))())
        np.testing.assert_array_equal(nodes[0].data[0], opened.image("demo", "D-02-01"))
        np.testing.assert_array_equal(nodes[-1].data[0], opened.mask("demo", "D-02-01"))

    def test_no_pixel_size_is_no_micrometre(self, folder):
        text = (folder / "demo.zarr" / "B" / "02" / "1a0" / "zarr.json").read_text()
        assert "micrometer" not in text


def test_ome_zarr_with_a_pixel_size(masked_plate, paint):
    ngio = pytest.importorskip("ngio", reason="the extra 'ome-zarr' is not installed")
    labels = paint((30, 40), {1: (5, 5, 9, 9)})
    image = np.stack([labels * 500 + 50, labels + 50]).astype(np.uint16)
    masked_plate.add("B-02-01", image, labels.astype(np.uint16))
    write_image(masked_plate.root / "CP" / "B-02-01.tif", image, ("DNA", "GFP"), 0.65)
    masked_plate.run("rename", "segment")
    export(masked_plate.project, "ome-zarr")
    place = masked_plate.root / "results" / "export" / "ome-zarr" / "p.zarr" / "B" / "02" / "1a0"
    container = ngio.open_ome_zarr_container(place)
    for held in (container.get_image(), container.get_label("nuclei")):
        assert (held.pixel_size.y, held.pixel_size.x) == pytest.approx((0.65, 0.65))
    assert "micrometer" in (place / "zarr.json").read_text()


def test_crops_in_a_plain_torch_dataset(processed, opened, tmp_path):
    import torch

    path = run(processed, "crops", tmp_path / "crops.h5")

    class Crops(torch.utils.data.Dataset):
        def __init__(self):
            self.file = h5py.File(path)

        def __len__(self):
            return len(self.file["crops"])

        def __getitem__(self, row):
            name = self.file["cells/Metadata_ROI_img_name"].asstr()[row]
            return torch.from_numpy(self.file["crops"][row].astype(np.float32)), name

    held = Crops()
    crops, names = next(iter(torch.utils.data.DataLoader(held, batch_size=5)))
    expected, keys = opened.crops("demo", "B-02-01")
    assert list(names) == keys[:5]
    np.testing.assert_array_equal(crops.numpy(), expected[:5].astype(np.float32))
    about = held.file["crops"].attrs
    assert list(about["channels"]) == ["DAPI", "FITC", "Cy3", "Cy5"]
    true = dict(zip(*(opened.classes[c] for c in ("ROI_img_name", "true_condition")), strict=True))
    told = held.file["cells/Metadata_true_condition"].asstr()[:]
    all_names = held.file["cells/Metadata_ROI_img_name"].asstr()[:]
    assert [true.get(name, "") for name in all_names] == list(told)
    held.file.close()


def test_wells_without_remaining_cells_keep_their_culture(masked_plate, paint):
    masked_plate.layout = "layout.csv"
    (masked_plate.root / "layout.csv").write_text("well,culture\nB02,astro\nB03,neuro\n")
    for key, box in (("B-02-01", (5, 5, 9, 9)), ("B-03-01", (0, 0, 9, 9))):  # the other is cut
        labels = paint((30, 30), {1: box})
        image = np.stack([labels * 500 + 50, labels + 50]).astype(np.uint16)
        masked_plate.add(key, image, labels.astype(np.uint16))
    masked_plate.run("features")
    export(masked_plate.project, "xlsx")
    wells = pd.read_excel(masked_plate.root / "results" / "export" / "results.xlsx")
    assert wells["Metadata_Target"].tolist() == ["astro", "neuro"]
    assert wells["kept"].tolist() == [1, 0]


class TestRefusals:
    def test_an_unknown_format(self, processed):
        with pytest.raises(UserError, match="formats are csv, xlsx, h5ad, pycytominer"):
            export(processed, "mat")

    @pytest.mark.parametrize("to", ["h5ad", "ome-zarr"])
    def test_a_missing_extra_is_one_message(self, processed, to, monkeypatch, tmp_path):
        from nucprof.project import export as module

        monkeypatch.setattr(module.util, "find_spec", lambda name: None)
        extra = FORMATS[to].extra
        with pytest.raises(UserError, match=rf'pip install "nucprof\[{extra}\]"'):
            export(processed, to, tmp_path / "x")

    def test_nothing_is_overwritten(self, processed, tmp_path):
        (tmp_path / "mine.h5").write_text("mine")
        with pytest.raises(UserError, match="exists; choose another name"):
            export(processed, "crops", tmp_path / "mine.h5")

    @pytest.mark.parametrize(
        ("to", "told"),
        [("pycytominer", "nucprof features"), ("crops", "nucprof crop"), ("xlsx", "segment")],
    )
    def test_a_stage_that_has_not_run(self, masked_plate, to, told):
        masked_plate.add("B-02-01", np.ones((2, 8, 9), np.uint16))
        with pytest.raises(UserError, match=told):
            export(masked_plate.project, to)


def test_a_table_that_is_refused_leaves_no_half_of_the_tables(copied, tmp_path):
    table = next((copied.parent / "results").rglob("composition.csv"))  # the last of the tables
    table.write_text(table.read_text().replace("0.", "1.", 1))
    with pytest.raises(UserError, match="composition"):
        export(copied, "csv", tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


def test_the_default_place_is_written_again(copied):
    for _ in range(2):
        (*_, line) = export(copied, "crops")
    path = copied.parent / "results" / "export" / "demo-crops.h5"
    assert line == f"Wrote {path}"
    assert path.is_file()
