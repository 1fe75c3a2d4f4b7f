"""doctor: what it finds in a project's images and layouts before anything runs."""

from __future__ import annotations

import numpy as np
import pytest

from nucprof.config import load_project
from nucprof.io.images import write_image
from nucprof.project import doctor
from nucprof.project.doctor import conclude
from nucprof.project.doctor_images import Check, examine_images, saturated

SIDE = 64


def nuclei(seed, dtype="uint16"):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    plane = rng.normal(100, 4, (SIDE, SIDE))
    for cy, cx in ((15, 15), (15, 45), (45, 20), (44, 50)):
        plane += 100 * ((y - cy) ** 2 + (x - cx) ** 2 < 30)
    return plane.astype(dtype)


def noise(seed):
    return np.random.default_rng(seed).normal(100, 4, (SIDE, SIDE)).astype(np.uint16)


class Plate:
    def __init__(self, root):
        self.root = root
        self.layout = "well,culture\nB02,astro\nB03,co-culture\n"

    def images(self, folder, planes, um=0.5, wells=("B02", "B03")):
        for well in wells:
            write_image(self.root / folder / f"{well}.tif", np.stack(planes), (), um)

    def found(self, mark=None):
        (self.root / "layout.csv").write_text(self.layout)
        path = self.root / "project.toml"
        path.write_text(
            '[project]\nname = "p"\n[[plates]]\nname = "p"\ncell_painting = "CP"\n'
            'layout = "layout.csv"\n[plates.ground_truth]\nGT = "GT"\n'
            '[channels]\ncell_painting = ["DNA", "x"]\nnuclei = "DNA"\n'
            '[channels.ground_truth]\nGT = ["EdU"]\n'
        )
        checks = examine_images(load_project(path)).checks
        return [check.text for check in checks if mark in (None, check.mark)]


@pytest.fixture
def plate(tmp_path):
    plate = Plate(tmp_path)
    plate.images("CP", [nuclei(1), noise(2)])
    plate.images("GT", [nuclei(3)])
    return plate


def one(texts, *words):
    """The only text with these words."""
    (found,) = [text for text in texts if all(word in text for word in words)]
    return found


def test_a_plate_that_is_ready(plate):
    assert plate.found("warn") == plate.found("FAIL") == plate.found("note") == []
    assert "2 fields, 2 files" in one(plate.found("ok"), "round CP")
    assert "2 x 64 x 64 uint16, 0.5 µm" in one(plate.found("ok"), "round CP")
    assert "A = astro (1 well)" in one(plate.found("ok"), "layout.csv")


def test_pixels_of_another_size(plate):
    plate.images("GT", [nuclei(3)], um=0.65)
    one(plate.found("warn"), "round GT", "pixels of 0.65 µm, but 0.5 µm in plate p, round CP")


def test_saturated_channels(plate):
    bright = nuclei(1)
    bright[:20, :20] = 4095
    plate.images("CP", [bright, noise(2)])
    one(plate.found("warn"), "channel DNA is saturated in 9.8% of the pixels")


def test_a_nuclear_channel_without_nuclei(plate):
    plate.images("CP", [noise(2), nuclei(1)])
    one(plate.found("warn"), "the nuclear channel DNA shows no nuclei")


def test_images_of_different_size_and_depth(plate):
    write_image(plate.root / "CP" / "B03.tif", np.stack([nuclei(1, "uint8")[:50]] * 2))
    one(plate.found("warn"), "images of different sizes: 50 x 64, 64 x 64")
    one(plate.found("warn"), "images of different depths: uint16, uint8")


def test_another_number_of_channels(plate):
    plate.images("CP", [nuclei(1)] * 3)
    one(plate.found("FAIL"), "holds 3 planes, but the project lists 2 channels")


def test_a_file_that_cannot_be_read(plate):
    (plate.root / "CP" / "B03.tif").write_bytes(b"II*\0")
    one(plate.found("warn"), "field B-03-01 left out")


def test_a_field_without_partner(plate):
    (plate.root / "GT" / "B03.tif").unlink()
    one(plate.found("warn"), "1 fields have no image in GT")


def test_spellings_and_wells_of_the_layout(plate):
    plate.layout = "well,culture\nB02,astro\nB04,Astro\nC01,Mixed\n"
    one(plate.found("warn"), "'Astro' (1 well): did you mean 'astro' (1 well)?")
    drawn = one(plate.found("ok"), "layout.csv")
    assert "small letter: no images (2 wells)" in drawn
    assert "?: images, but no culture in the layout (1 well)" in drawn


def test_no_mixed_culture(plate):
    plate.layout = "well,culture\nB02,astro\nB03,neuro\n"
    one(plate.found("note"), "no culture is called 'co-culture'")


def test_the_layout_of_another_plate(plate):
    plate.layout = "well,culture\nE01,astro\nF04,co-culture\n"
    one(plate.found("FAIL"), "layout.csv: no well with images (B02, B03) has a culture")


def test_a_wrong_layout(plate):
    plate.layout = "hello,world\n"
    one(plate.found("FAIL"), "layout.csv", "A layout is a map of the plate")


@pytest.mark.parametrize(
    ("dtype", "highest", "expected"),
    [("uint8", 255, 0.25), ("uint16", 4095, 0.25), ("uint16", 65535, 0.25), ("uint16", 4000, 0.0),
     ("float32", 255, 0.0)],
)  # fmt: skip
def test_saturation_by_hand(dtype, highest, expected):
    plane = np.full((4, 4), 10, dtype)
    plane[:2, :2] = highest
    assert saturated(plane) == expected


def test_the_last_lines(tmp_path):
    path = tmp_path / "p.toml"
    good = Check("ok", "fine")
    assert conclude([good], path) == [f"Ready. Next: nucprof run-all {path}"]
    assert conclude([good, Check("warn", "a"), Check("FAIL", "b")], path) == [
        "To do:", "  1. a", "  2. b",
    ]  # fmt: skip


def test_it_finds_the_project_file_like_the_other_commands(plate, capsys, monkeypatch):
    from nucprof.cli.app import build_app
    from nucprof.cli.boundary import run_app
    from nucprof.project import doctor

    plate.found()
    monkeypatch.chdir(plate.root)
    monkeypatch.setattr(doctor, "_libraries", lambda: iter(()))
    run_app(build_app(), ["doctor"])
    assert "project.toml is valid" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("installed", "mark", "text"),
    [
        ({"tensorflow": "2.21.0"}, "ok", "tensorflow 2.21.0"),
        ({"tensorflow-cpu": "2.21.0"}, "ok", "tensorflow-cpu 2.21.0"),  # an install without CUDA
        ({}, "note", "tensorflow is not installed: torch runs StarDist"),
    ],
)
def test_a_build_without_gpu_is_an_installation(monkeypatch, installed, mark, text):
    def version(name):
        if name.startswith("tensorflow"):
            if name not in installed:
                raise doctor.metadata.PackageNotFoundError(name)
            return installed[name]
        return "1.0"

    monkeypatch.setattr(doctor.metadata, "version", version)
    found = [c for c in doctor._libraries() if c.text.startswith("tensorflow")]
    assert [(c.mark, c.text) for c in found] == [(mark, text)]
