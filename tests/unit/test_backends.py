"""Which backend and model the settings mean, and what each backend is told."""

from pathlib import Path

import numpy as np
import pytest

from nucprof.config.segmenters import SegmentSettings, own_settings, unused_keys
from nucprof.errors import ModelError, ProjectError
from nucprof.segmentation import choose, weights
from nucprof.segmentation.backends.base import Planes, Request


@pytest.mark.parametrize(
    ("given", "gpu", "backend", "model"),
    [
        ({}, False, "stardist", "nucprof-fluo"),
        ({}, True, "stardist", "nucprof-fluo"),
        ({"mode": "cells"}, True, "cellpose", "cpsam"),
        ({"mode": "cells"}, False, "propagate", "nucprof-fluo"),
        ({"mode": "cells", "backend": "cellpose"}, False, "cellpose", "cpsam"),
        ({"mode": "cells", "backend": "propagate"}, True, "propagate", "nucprof-fluo"),
        ({"backend": "cellpose", "model": "cpsam_v2"}, False, "cellpose", "cpsam_v2"),
        ({"backend": "watershed"}, True, "watershed", None),
        ({"backend": "labels", "mode": "cells"}, True, "labels", None),
    ],
)
def test_defaults_by_mode_and_machine(given, gpu, backend, model, monkeypatch):
    monkeypatch.setattr(choose, "resolve_device", lambda device: "cuda:0" if gpu else "cpu")
    settings = SegmentSettings(**given)
    segmenter = choose.choose_segmenter(settings, "auto")
    own = own_settings(settings, segmenter.settings)
    assert (segmenter.name, choose.model_name(segmenter, own)) == (backend, model)


def test_the_device_asked_for_decides_and_not_the_machine(monkeypatch):
    monkeypatch.setattr(choose, "resolve_device", lambda device: "cuda:0")
    assert choose.choose_segmenter(SegmentSettings(mode="cells"), "cpu").name == "propagate"


@pytest.mark.parametrize(
    ("mode", "backend"),
    [("cells", "stardist"), ("cells", "watershed"), ("nuclei", "propagate")],
)
def test_backend_that_does_not_find_what_is_asked(mode, backend):
    with pytest.raises(ProjectError, match=f'"{backend}" does not find {mode}'):
        choose.choose_segmenter(SegmentSettings(mode=mode, backend=backend), "cpu")


@pytest.fixture
def nothing_here(tmp_path, monkeypatch):
    """No model but the bundled one; fetching is recorded."""
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "cellpose"))
    fetched = []

    def fetch(name, models_dir=None):
        fetched.append((name, models_dir))
        return Path("fetched") / name

    monkeypatch.setattr(weights, "fetch", fetch)
    return tmp_path / "models", fetched


def find(models_dir, **given):
    settings = SegmentSettings(**given)
    segmenter = choose.choose_segmenter(settings, "cpu")
    return choose.find_model(segmenter, own_settings(settings, segmenter.settings), models_dir)


def test_bundled_model_needs_no_download(nothing_here):
    folder, fetched = nothing_here
    assert find(folder).name == "nucprof-fluo"
    assert find(folder, backend="watershed") is None
    assert not fetched


def test_a_missing_model_is_fetched_only_where_allowed(nothing_here):
    folder, fetched = nothing_here
    with pytest.raises(ModelError, match="nucprof models fetch 2D_versatile_fluo"):
        find(folder, model="2D_versatile_fluo")
    assert not fetched
    assert find(folder, model="2D_versatile_fluo", download=True).name == "2D_versatile_fluo"
    assert find(folder, backend="cellpose", download=True).name == "cpsam"
    assert fetched == [("2D_versatile_fluo", folder), ("cpsam", folder)]


def test_what_cannot_fit_or_is_not_known_is_not_fetched(nothing_here):
    folder, fetched = nothing_here
    with pytest.raises(ModelError, match="for backend 'cellpose'"):
        find(folder, backend="stardist", model="cpsam", download=True)
    with pytest.raises(ModelError, match="my-own"):
        find(folder, model="my-own", download=True)
    assert not fetched


class CellposeDouble:
    def __init__(self, model, **options):
        self.model, self.options, self.seen = model, options, []

    def segment(self, plane, nuclei=None):
        self.seen.append((plane, nuclei))
        return np.ones(plane.shape, np.int32)


def load_cellpose(monkeypatch, **given):
    from nucprof.segmentation import cellpose

    monkeypatch.setattr(cellpose, "CellposeBackend", CellposeDouble)
    monkeypatch.setattr(choose, "_LOADED", {})
    return load("cellpose", Path("w"), "cuda:1", **given)


def load(backend, model, device, **given):
    settings = SegmentSettings(backend=backend, **given)
    own = own_settings(settings, choose.segmenters()[backend].settings)
    return choose.load(backend, Request(own, settings.mode, model, 1.0, device, 1))


def test_cellpose_is_told_every_setting(monkeypatch):
    given = {
        "diameter": 41.0, "flow_threshold": 0.6, "cellprob_threshold": -1.0, "pmin": 2.0,
        "pmax": 98.0, "augment": True, "batch_size": 5,
    }  # fmt: skip
    backend = load_cellpose(monkeypatch, **given)
    assert backend.network.model == Path("w")
    assert backend.network.options == {**given, "device": "cuda:1", "threads": 1}


@pytest.mark.parametrize(
    ("given", "diameter"),
    [({}, None), ({"scale": 2.0}, 15.0), ({"scale": 2.0, "diameter": 50.0}, 50.0)],
)
def test_a_scale_is_cellposes_diameter(monkeypatch, given, diameter):
    assert load_cellpose(monkeypatch, **given).network.options["diameter"] == diameter


def test_cellpose_sees_the_planes_of_its_mode(monkeypatch):
    planes = Planes(np.zeros((3, 4)), np.ones((3, 4)))
    cells = load_cellpose(monkeypatch, mode="cells")
    found = cells.segment(planes)
    assert found.nuclei is None
    assert found.labels("cells").shape == (3, 4)
    ((cyto, nuclei),) = cells.network.seen
    assert cyto is planes.cyto
    assert nuclei is planes.nuclei
    alone = load_cellpose(monkeypatch)
    assert alone.segment(Planes(planes.nuclei)).cells is None
    assert alone.network.seen[0][1] is None


def test_one_backend_is_held_at_a_time(monkeypatch):
    first = load_cellpose(monkeypatch, diameter=20.0)
    held = dict(choose._LOADED)
    assert load("cellpose", Path("w"), "cuda:1", diameter=20.0) is first
    assert held == choose._LOADED
    load("cellpose", Path("v"), "cuda:1", diameter=20.0)
    assert list(choose._LOADED.values()) != [first]
    assert len(choose._LOADED) == 1


def test_watershed_is_told_its_threshold_and_diameter():
    dots = np.zeros((120, 120), np.uint16)
    for y in (20, 60, 100):
        for x in (20, 60, 100):
            dots[y - 6 : y + 7, x - 6 : x + 7] = 200
    dots += np.arange(0, 480, 4, dtype=np.uint16)  # light that rises farther than any nucleus
    dots += np.random.default_rng(0).integers(0, 20, dots.shape, dtype=np.uint16)
    sizes = {}
    for threshold in ("otsu", "local"):
        backend = load("watershed", None, "cpu", threshold=threshold, diameter=13)
        labels = backend.segment(Planes(dots)).labels("nuclei")
        areas = np.bincount(labels.ravel())
        sizes[threshold] = areas[labels[20::40, 20::40]].ravel()
    np.testing.assert_allclose(sizes["local"], 13 * 13, rtol=0.25)
    assert sizes["otsu"].max() > 1000  # half of the image is above one threshold


def test_keys_of_other_backends_are_told():
    settings = SegmentSettings(backend="watershed", batch_size=3, diameter=20, pmin=1)
    own = choose.segmenters()["watershed"].settings
    assert unused_keys(settings, own) == ["batch_size"]  # pmin is left at its default
