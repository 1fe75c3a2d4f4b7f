"""One scale per plate: measured once, on fields of the whole plate, and kept."""

import numpy as np
import pytest
from scipy import ndimage as ndi

from nucprof.config import load_project
from nucprof.io.files import read_json
from nucprof.io.images import write_image
from nucprof.plate.sources import Source
from nucprof.run.pipeline import Run
from nucprof.segmentation import plate_scale
from nucprof.segmentation.plate_scale import measure_plate
from nucprof.segmentation.weights import canonical_diameter, resolve_model
from nucprof.stages import segment, stage

MODEL = resolve_model("nucprof-fluo", backend="stardist")
PROJECT = """
[project]
name = "scales"
{plates}
[channels]
cell_painting = ["DAPI"]
nuclei = "DAPI"
"""


def discs(diameter, seed, shape=(160, 190)):
    rng = np.random.default_rng(seed)
    image = np.zeros(shape)
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    step = 1.8 * diameter
    for cy in np.arange(step, shape[0] - step / 2, step):
        for cx in np.arange(step, shape[1] - step / 2, step):
            y, x = np.array([cy, cx]) + rng.uniform(-0.1, 0.1, 2) * diameter
            inside = (yy - y) ** 2 + (xx - x) ** 2 < (diameter / 2) ** 2
            image[inside] = rng.uniform(1500, 2500)
    image = ndi.gaussian_filter(image, 0.05 * diameter + 0.4)
    return np.clip(image + 200 + rng.normal(0, 10, shape), 0, 65535).astype(np.uint16)


def test_the_scale_brings_nuclei_to_the_size_that_the_network_knows(tmp_path):
    planes = {}
    for seed in range(3):
        path = tmp_path / f"B-02-{seed:02d}.tif"
        write_image(path, discs(13, seed)[None])
        planes[path.stem] = Source(path)
    (tmp_path / "cut.tif").write_bytes(b"II*\0")
    planes["Z-09-01"] = Source(tmp_path / "cut.tif")  # will fail by itself, not here
    found = measure_plate(MODEL, planes, pmin=1, pmax=99, threads=1)
    assert found["nuclear_diameter_px"] == pytest.approx(13, rel=0.2)
    assert found["canonical_diameter_px"] == canonical_diameter(MODEL)
    reached = found["scale"] * 13 / canonical_diameter(MODEL)
    assert 0.75 < reached < 1.3
    assert found["fields"] == sorted(planes)


@pytest.fixture
def project(tmp_path):
    """Two plates of twelve fields, listed; what they hold does not matter."""
    plates = ""
    for plate in ("rep1", "rep2"):
        plates += f'[[plates]]\nname = "{plate}"\ncell_painting = "{plate}"\n'
        for column in range(2, 14):
            write_image(tmp_path / plate / f"B-{column:02d}-01.tif", np.ones((1, 8, 9), np.uint8))
    (tmp_path / "project.toml").write_text(PROJECT.format(plates=plates), encoding="utf-8")
    Run(load_project(tmp_path / "project.toml")).run_stage(stage("rename"))
    return tmp_path / "project.toml"


@pytest.fixture
def measured(monkeypatch):
    """The plates measured, by the fields that were to choose from."""
    calls = []

    def measure(model, planes, **options):
        calls.append(sorted(planes))
        return {"scale": 1.5, "nuclear_diameter_px": 18.0, "fields": []}

    monkeypatch.setattr(plate_scale, "measure_plate", measure)
    return calls


def prepare(project, plates=("rep1", "rep2"), **flags):
    run = Run(load_project(project, {"segment": flags}))
    plan = segment.plan(run)
    jobs = [job for job in plan.jobs if job.plate in plates]
    segment.prepare(run, plan, jobs)
    return jobs


def test_every_plate_is_measured_once_on_all_its_fields(project, measured):
    every = [f"B-{column:02d}-01" for column in range(2, 14)]
    jobs = prepare(project, plates=("rep1",))
    assert measured == [every]
    run = Run(load_project(project))
    segment.prepare(run, segment.plan(run), jobs[3:4])
    assert len(measured) == 1
    jobs = prepare(project)
    assert len(measured) == 2  # the other plate
    for job in jobs:
        assert job.scale in job.inputs
        assert job.scale.name == f"scale-{job.plate}.json"
        assert read_json(job.scale)["scale"] == 1.5


def test_it_is_measured_again_when_the_network_sees_the_plate_differently(project, measured):
    prepare(project)
    prepare(project, pmin=3)
    assert len(measured) == 4
    prepare(project, pmin=3, prob_thresh=0.7)
    assert len(measured) == 4


@pytest.mark.parametrize("flags", [{"scale": 2}, {"backend": "watershed"}])
def test_nothing_is_measured_where_nothing_has_to_be(project, measured, flags):
    jobs = prepare(project, **flags)
    assert not measured
    assert all(job.scale is None for job in jobs)
