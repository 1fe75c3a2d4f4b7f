"""Every kind of image that is written, read by the rules of ImageJ: names of channels, and scale.

ImageJ takes the number of channels and frames, the slices' labels and the unit from its own tags,
and the size of a pixel from the resolution: 1 / XResolution, in the unit (without ImageJ's tags, in
cm where ResolutionUnit says so).
"""

from __future__ import annotations

from pathlib import Path

import pytest
import tifffile

import nucprof
from nucprof.config import load_project
from nucprof.demo.plate import write_demo
from nucprof.io.images import read_image, write_image
from nucprof.project.view import field_view
from nucprof.run.pipeline import Run
from nucprof.stages import stage

UM = 0.325
CP, GT = ["DAPI", "FITC", "Cy3", "Cy5"], ["DAPI", "EdU", "BrdU"]


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plate whose images have a pixel size, up to the crops, each also as a file of its own."""
    root = tmp_path_factory.mktemp("fiji")
    wells = {"astro": ("B02",), "neuro": ("C02",), "co-culture": ("D02",)}
    demo = write_demo(root / "plate", wells=wells, shape=(150, 160), cells=12, max_shift_px=6)
    for folder, channels in (("CP", CP), ("GT", GT)):
        for path in (root / "plate" / folder).iterdir():
            write_image(path, read_image(path), channels, UM)
    text = demo.project.read_text(encoding="utf-8")
    settings = '[segment]\nbackend = "watershed"\n[crop]\npatch_size = 24\nexport_tiff = true\n'
    demo.project.write_text(f"{text}\n{settings}[execution]\nworkers = 1\n", encoding="utf-8")
    run = Run(load_project(demo.project))
    for name in ("rename", "segment", "align", "crop"):
        assert run.run_stage(stage(name)).status == "done"
    return demo.project


def as_imagej(path: Path) -> dict:
    """Channels, frames, labels of the slices, and size of a pixel in µm, as ImageJ reads them."""
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        own = file.imagej_metadata or {}
        pixels, per = tags["XResolution"].value
        assert tags["YResolution"].value == (pixels, per)
        unit = own.get("unit") or {2: "inch", 3: "cm"}.get(tags["ResolutionUnit"].value)
        labels = own.get("Labels", [])
        found = {
            "channels": own.get("channels", 1),
            "frames": own.get("frames", 1),
            "labels": [labels] if isinstance(labels, str) else labels,
            "um": per / pixels * {"um": 1, "cm": 1e4}[unit],
            "slices": len(file.pages) if len(file.pages) > 1 else own.get("images", 1),
        }
    return found


def only(plate: Path, pattern: str) -> list[Path]:
    found = sorted(plate.parent.glob(pattern))
    assert found, pattern
    return found


@pytest.mark.parametrize(
    ("pattern", "channels"),
    [
        ("CP/*.tif", CP),
        ("GT/*.tif", GT),
        ("results/aligned/demo/GT_*/*.tif", GT),
        ("results/crops/nucleocentric_24/demo/*/*.tif", CP),
    ],
)
def test_images_have_named_channels_and_a_scale(plate, pattern, channels):
    for path in only(plate, pattern):
        found = as_imagej(path)
        assert found["channels"] == len(channels)
        assert found["slices"] == len(channels)
        assert found["labels"] == channels
        assert found["um"] == pytest.approx(UM, rel=1e-4)


def test_stacks_of_crops_have_a_frame_per_cell(plate):
    for path in only(plate, "results/crops/nucleocentric_24/demo/*.tif"):
        found = as_imagej(path)
        cells = len(list(path.with_suffix("").glob("*.tif")))
        assert (found["channels"], found["frames"]) == (4, cells)
        assert found["labels"] == CP * cells
        assert found["um"] == pytest.approx(UM, rel=1e-4)


@pytest.mark.parametrize("pattern", ["masks/demo/*/*.tif", "aligned/demo/masks/*/*.tif"])
def test_masks_have_a_scale(plate, pattern):
    for path in only(plate, f"results/{pattern}"):
        found = as_imagej(path)
        assert (found["channels"], found["slices"]) == (1, 1)
        assert found["um"] == pytest.approx(UM, rel=1e-4)


def test_no_image_is_forgotten_here(plate):
    tested = ("results/masks", "results/aligned", "results/crops")
    written = only(plate, "results/**/*.tif*")
    assert all(path.relative_to(plate.parent).as_posix().startswith(tested) for path in written)


def test_napari_gets_the_scale_too(plate):
    opened = nucprof.open_project(plate)
    assert opened.pixel_size_um == pytest.approx(UM, rel=1e-4)
    view = field_view(opened, "B-02-01")
    assert view.unit == "um"
    for _, options, _ in view.layers:
        assert options["scale"] == pytest.approx((UM, UM), rel=1e-4)
        assert options["units"] == ("um", "um")
