"""Maps: seeded, saved as plain arrays, made again and checked before new cells are placed."""

import subprocess
import sys

import numpy as np
import pytest

from nucprof.errors import DataError, ModelError
from nucprof.learn import embedding as embed
from nucprof.learn.embedding import fit_map, load_map, scale_by_plate


def groups(n=40, d=6, seed=0, apart=8.0):
    """Two groups of cells that lie apart in feature 0."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(2 * n, d))
    features[n:, 0] += apart
    return features, np.repeat([0, 1], n)


FEATURES, GROUP = groups()


def nearest_is_own(places, group):
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    return (group[distance.argmin(axis=1)] == group).mean()


def test_pca_equals_sklearns_up_to_sign():
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    fitted, places = fit_map(FEATURES, method="pca", seed=0)
    reference = PCA(2).fit(StandardScaler().fit_transform(FEATURES))
    expected = reference.transform(StandardScaler().fit_transform(FEATURES))
    signs = np.sign((places * expected).sum(axis=0))
    np.testing.assert_allclose(places * signs, expected, atol=1e-4)
    np.testing.assert_allclose(fitted.explained[:2], reference.explained_variance_ratio_, atol=1e-6)
    assert fitted.axis_names[0].startswith("PC 1 (")


def test_pca_is_saved_and_projects_new_cells(tmp_path):
    fitted, places = fit_map(FEATURES, method="pca", seed=0, metadata={"source": "features"})
    fitted.save(tmp_path / "map.npz")
    again = load_map(tmp_path / "map.npz")
    np.testing.assert_array_equal(again.project(FEATURES), places)
    assert again.metadata["source"] == "features"


def test_missing_values_take_the_mean_and_constants_say_nothing():
    holes = np.column_stack([FEATURES, np.full(len(FEATURES), 0.1)])
    holes[0, 1] = np.nan
    fitted, places = fit_map(holes, method="pca", seed=0)
    assert np.isfinite(places).all()
    assert np.isfinite(fitted.project(holes)).all()
    with pytest.raises(DataError, match="nothing to map"):
        fit_map(np.ones((30, 3)), method="pca", seed=0)


def test_too_few_cells():
    with pytest.raises(DataError, match="at least 20 cells, there are 5"):
        fit_map(FEATURES[:5], method="umap", seed=0)


def test_a_single_feature_has_a_map():
    _, places = fit_map(FEATURES[:, :1], method="pca", seed=0)
    assert places.shape == (80, 2)
    assert nearest_is_own(places, GROUP) > 0.9


@pytest.fixture(scope="module")
def umap_of_groups():
    return fit_map(FEATURES, method="umap", seed=3)


def test_umap_keeps_groups_together_and_repeats(umap_of_groups):
    _, places = umap_of_groups
    assert nearest_is_own(places, GROUP) > 0.95
    np.testing.assert_array_equal(fit_map(FEATURES, method="umap", seed=3)[1], places)


def test_umap_is_saved_without_pickle_and_made_again(umap_of_groups, tmp_path):
    fitted, places = umap_of_groups
    fitted.save(tmp_path / "map.npz")
    np.load(tmp_path / "map.npz", allow_pickle=False)["trained"]
    again = load_map(tmp_path / "map.npz")
    new, group = groups(n=10, seed=9)
    projected = again.project(new)
    np.testing.assert_allclose(projected, fitted.project(new), atol=1e-3)
    centres = [places[g == GROUP].mean(axis=0) for g in (0, 1)]
    closest = np.linalg.norm(projected[:, None] - np.array(centres), axis=2).argmin(axis=1)
    assert (closest == group).mean() > 0.9


def test_a_map_that_does_not_come_out_the_same_is_refused(umap_of_groups, tmp_path):
    umap_of_groups[0].save(tmp_path / "map.npz")
    again = load_map(tmp_path / "map.npz")
    again.coordinates = again.coordinates[::-1].copy()
    with pytest.raises(ModelError, match="does not make the saved map again"):
        again.project(FEATURES)


def test_more_cells_than_the_map_is_made_of_are_projected(monkeypatch):
    monkeypatch.setattr(embed, "FIT_CELLS", 60)
    fitted, places = fit_map(FEATURES, method="umap", seed=0)
    assert fitted.trained.shape[0] == 60
    assert np.isfinite(places).all()
    assert nearest_is_own(places, GROUP) > 0.9


def test_other_features_and_broken_files_are_refused(tmp_path):
    fitted, _ = fit_map(FEATURES, method="pca", seed=0)
    with pytest.raises(ModelError, match="made of 6 features per cell, these have 3"):
        fitted.project(FEATURES[:, :3])
    path = tmp_path / "map.npz"
    with pytest.raises(ModelError, match="no map"):
        load_map(path)
    np.savez(path, about=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ModelError, match="Is it a map of nucprof's"):
        load_map(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ModelError, match="Is it a map of nucprof's"):
        load_map(path)


def test_scaling_by_plate():
    features = np.array([[1.0, 5], [3, 5], [10, 7], [30, 7], [np.nan, 7]])
    scaled = scale_by_plate(features, np.array(["a", "a", "b", "b", "b"]))
    np.testing.assert_allclose(scaled[:4], [[-1, 0], [1, 0], [-1, 0], [1, 0]])
    assert np.isnan(scaled[4, 0])


def test_umap_does_not_bring_tensorflow_along():
    code = (
        "import sys, nucprof.learn.embedding as e; e._import_umap();"
        "sys.exit(any(m.startswith('tensorflow') for m in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
