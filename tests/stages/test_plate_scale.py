"""One scale per plate: measured once, on fields of the whole plate, and kept."""

import dataclasses
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from scipy import ndimage as ndi

from nucprof.config import load_project
from nucprof.core.scale import FieldSize
from nucprof.io.files import read_json
from nucprof.io.images import write_image
from nucprof.plate.sources import Source
from nucprof.run.pipeline import Run
from nucprof.segmentation.scale_file import (
    Measurement,
    PlateToMeasure,
    ensure_scales,
    warn_of_scale,
)
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


@pytest.fixture(scope="module")
def worker():
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield lambda function, items: list(pool.map(function, items))


def to_measure(tmp_path, planes):
    measurement = Measurement("hash", "DAPI", 1, 99)
    return PlateToMeasure(
        tmp_path / "scale-rep1.json", measurement, MODEL, "cpu", "float32", planes
    )


def test_the_scale_brings_nuclei_to_the_size_that_the_network_knows(tmp_path, worker):
    planes = {}
    for seed in range(3):
        path = tmp_path / f"B-02-{seed:02d}.tif"
        write_image(path, discs(13, seed)[None])
        planes[path.stem] = Source(path, 0)
    (tmp_path / "cut.tif").write_bytes(b"II*\0")
    planes["Z-09-01"] = Source(tmp_path / "cut.tif", 0)  # will fail by itself, not here
    plate = to_measure(tmp_path, planes)
    ensure_scales([plate], worker)
    found = read_json(plate.path)
    assert found["nuclear_diameter_px"] == pytest.approx(13, rel=0.2)
    assert found["canonical_diameter_px"] == canonical_diameter(MODEL)
    reached = found["scale"] * 13 / canonical_diameter(MODEL)
    assert 0.75 < reached < 1.3
    assert sorted(found["fields"]) == sorted(planes)
    assert found["fields"]["Z-09-01"]["nuclei"] == 0
    assert warn_of_scale("rep1", plate.path) == []


def test_a_plate_without_nuclei_is_taken_as_it_is_and_says_so(tmp_path, worker):
    planes = {}
    for seed in range(2):
        path = tmp_path / f"B-02-{seed:02d}.tif"
        noise = np.random.default_rng(seed).normal(300, 12, (150, 170)).astype(np.uint16)
        write_image(path, noise[None])
        planes[path.stem] = Source(path, 0)
    plate = to_measure(tmp_path, planes)
    ensure_scales([plate], worker)
    assert read_json(plate.path)["scale"] == 1
    (warning,) = warn_of_scale("rep1", plate.path)
    assert "rep1" in warning
    assert "B-02-00, B-02-01" in warning
    assert "--scale" in warning


def test_fields_that_disagree_are_named(tmp_path):
    sizes = iter([FieldSize(8, 5), FieldSize(20, 5), FieldSize(50, 5), FieldSize(130, 5)])
    planes = {f"B-0{k}-01": Source(tmp_path / "x.tif", 0) for k in range(1, 5)}
    plate = to_measure(tmp_path, planes)
    ensure_scales([plate], lambda _, items: [next(sizes) for _ in items])
    assert read_json(plate.path)["scale"] == 1
    (warning,) = warn_of_scale("rep1", plate.path)
    assert "B-01-01 8 px, B-02-01 20 px" in warning


def test_the_fields_of_all_plates_are_measured_at_once(tmp_path):
    calls = []

    def spread(_, items):
        calls.append(len(items))
        return [FieldSize(16.5, 30)] * len(items)

    plates = []
    for name in ("a", "b", "c"):
        planes = {f"B-0{k}-01": Source(tmp_path / "x.tif", 0) for k in range(1, 4)}
        plate = to_measure(tmp_path, planes)
        plates.append(dataclasses.replace(plate, path=tmp_path / f"scale-{name}.json"))
    ensure_scales(plates, spread)
    assert calls == [9]
    assert all(read_json(plate.path)["scale"] == 2 for plate in plates)
    ensure_scales(plates, spread)
    assert calls == [9]


def sized(*sizes):
    """Measure nothing: fields have these diameters, call by call."""
    left = iter(sizes)
    return lambda _, items: [FieldSize(next(left), 30)] * len(items)


def forbidden(function, items):
    raise AssertionError("measured again")


def three_fields(tmp_path, content):
    planes = {}
    for k in range(1, 4):
        path = tmp_path / f"B-0{k}-01.tif"
        path.write_bytes(content * 500)
        planes[path.stem] = Source(path, 0)
    return to_measure(tmp_path, planes)


def test_other_images_under_the_same_names_are_measured_anew(tmp_path):
    # E.g. a plate that was imaged again with another objective.
    plate = three_fields(tmp_path, b"20x ")
    ensure_scales([plate], sized(16.5))
    assert read_json(plate.path)["scale"] == 2
    ensure_scales([three_fields(tmp_path, b"10x ")], sized(8.25))
    assert read_json(plate.path)["scale"] == 4


def test_another_channel_of_the_same_file_is_measured_anew(tmp_path):
    plate = three_fields(tmp_path, b"abc ")
    ensure_scales([plate], sized(16.5))
    other = {name: dataclasses.replace(s, plane=1) for name, s in plate.planes.items()}
    ensure_scales([dataclasses.replace(plate, planes=other)], sized(8.25))
    assert read_json(plate.path)["scale"] == 4


def test_one_field_that_was_imaged_again_does_not_segment_the_whole_plate_anew(tmp_path):
    plate = three_fields(tmp_path, b"abc ")
    ensure_scales([plate], sized(16.5))
    (tmp_path / "B-02-01.tif").write_bytes(b"new!" * 500)
    ensure_scales([plate], forbidden)
    two = {name: plate.planes[name] for name in ("B-01-01", "B-02-01")}  # half is not most
    ensure_scales([dataclasses.replace(plate, planes=two)], forbidden)
    # Nor do fields that come later, nor a copy whose files have other times.
    late = {**plate.planes, "C-01-01": Source(tmp_path / "C-01-01.tif", 0)}
    os.utime(tmp_path / "B-01-01.tif")
    ensure_scales([dataclasses.replace(plate, planes=late)], forbidden)


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
    """The plates measured, by the number of fields that were chosen."""
    calls = []

    def spread(self, function, items):
        calls.append([one.source.path.parent.name for one in items])
        return [FieldSize(22.0, 40)] * len(items)

    monkeypatch.setattr(Run, "spread", spread)
    return calls


def prepare(project, plates=("rep1", "rep2"), **flags):
    run = Run(load_project(project, {"segment": flags}))
    plan = segment.plan(run)
    jobs = [job for job in plan.jobs if job.plate in plates]
    segment.prepare(run, plan, jobs)
    return jobs


def test_every_plate_is_measured_once_on_a_sample_of_all_its_fields(project, measured):
    jobs = prepare(project, plates=("rep1",))
    assert measured == [["rep1"] * 8]
    run = Run(load_project(project))
    segment.prepare(run, segment.plan(run), jobs[3:4])
    assert len(measured) == 1
    jobs = prepare(project)
    assert measured[1:] == [["rep2"] * 8]
    for job in jobs:
        assert job.scale in job.inputs
        assert job.scale.name == f"scale-{job.plate}.json"
        assert read_json(job.scale)["scale"] == 1.5
        assert len(read_json(job.scale)["fields"]) == 8


def test_it_is_measured_again_when_the_network_sees_the_plate_differently(project, measured):
    prepare(project)
    prepare(project, pmin=3)
    assert len(measured) == 2
    prepare(project, pmin=3, prob_thresh=0.7)
    assert len(measured) == 2


@pytest.mark.parametrize("flags", [{"scale": 2}, {"backend": "watershed"}])
def test_nothing_is_measured_where_nothing_has_to_be(project, measured, flags):
    jobs = prepare(project, **flags)
    assert not measured
    assert all(job.scale is None for job in jobs)
