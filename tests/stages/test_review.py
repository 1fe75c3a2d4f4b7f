"""Review pages of projects of all kinds: what they hold, and what they say where they cannot."""

from __future__ import annotations

import base64
import json
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import nucprof
from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app
from nucprof.config import load_project
from nucprof.errors import UserError
from nucprof.io.images import write_image
from nucprof.project.review import write_review
from nucprof.run.pipeline import Run
from nucprof.stages import stage


def held(path: Path) -> dict:
    """The data of a page."""
    text = path.read_text(encoding="utf-8")
    (data,) = re.findall(r'<script type="application/json" id="viewer-data">(.*?)</script>', text)
    return json.loads(data)


def page_of(project: Path, queue: str, **more) -> dict:
    opened = nucprof.open_project(project)
    write_review(opened, project, queue=queue, **({"count": 50} | more))
    return held(opened.files.review(queue))


def tiles(cell: dict, size: int) -> np.ndarray:
    """The picture of a cell as ``(C + 1, S, S)``."""
    with Image.open(BytesIO(base64.b64decode(cell["picture"].partition(",")[2]))) as picture:
        return np.asarray(picture).reshape(-1, size, size)


@pytest.fixture
def painted(masked_plate, paint):
    """Two wells of two squares each, without ground truth; square 7 of B02 is cut by the edge."""
    (masked_plate.root / "layout.csv").write_text("well,culture\nB02,astro\nC02,=neuro\n")
    masked_plate.layout = "layout.csv"
    masked_plate.settings = "clear_border = false\n[crop]\npatch_size = 16\n"
    labels = paint((60, 70), {3: (10, 10, 8, 8), 7: (52, 40, 8, 10)})
    for field in ("B-02-01", "C-02-01"):
        dna = 100 + 900 * (labels > 0)
        image = np.stack([dna, np.full_like(dna, 50) + (labels == 3) * 200]).astype(np.uint16)
        masked_plate.add(field, image, labels)
    masked_plate.run("rename", "segment", "crop", "features")
    return masked_plate


def test_without_ground_truth_the_class_is_the_wells(painted):
    data = page_of(painted.project, "class:=neuro")
    assert {cell["label"] for cell in data["cells"]} == {"=neuro"}
    assert [own["name"] for own in data["classes"]] == ["=neuro", "astro"]
    assert [channel["name"] for channel in data["channels"]] == ["DNA", "GFP"]
    assert all(cell["markers"] == {} and cell["said"] == "" for cell in data["cells"])


def test_pictures_show_channels_and_the_cells_own_mask(painted):
    data = page_of(painted.project, "random")
    assert data["size"] == 16
    cells = {cell["roi"]: tiles(cell, 16) for cell in data["cells"]}
    assert len(cells) == 4
    dna, gfp, mask = cells["B-02-01_0003"]
    # a square of 8 px around the centre of a crop of 16
    expected = np.zeros((16, 16), bool)
    expected[4:12, 4:12] = True
    np.testing.assert_array_equal(mask > 127, expected)
    assert dna[5:11, 5:11].min() > 200 > 60 > dna[0:3, 0:3].max()
    assert gfp[5:11, 5:11].min() > 200
    dna, gfp, mask = cells["B-02-01_0007"]
    assert gfp[:, 5:11].max() < 60, "the other cell's channel is dark on the same scale"
    # the box reaches 4 rows beyond the image, where the crop repeats its edge: not on the page
    assert dna[4:11, 5:11].min() > 200
    assert dna[13:].max() < 20
    np.testing.assert_array_equal((mask > 127).any(axis=1), [False] * 4 + [True] * 8 + [False] * 4)


def test_corrections_count_in_trainings_of_monocultures(painted):
    path = painted.root / "corrections.csv"
    path.write_text(
        "plate,ROI_img_name,true_condition,who\np,B-02-01_0003,'=neuro,Ann\n", encoding="utf-8"
    )
    painted.settings += '[gate]\ncorrections = "corrections.csv"\n'
    data = page_of(painted.project, "random")
    assert "B-02-01_0003" not in {cell["roi"] for cell in data["cells"]}
    assert data["before"][0]["true_condition"] == "=neuro"
    again = page_of(painted.project, "random", who="Bob")
    assert "B-02-01_0003" in {cell["roi"] for cell in again["cells"]}
    assert len(page_of(painted.project, "p/B-02-01_0003")["cells"]) == 1


def test_what_a_queue_needs_is_said(painted, capsys):
    project = painted.project
    for queue, told in (
        ("disagree", "needs a trained classifier: run nucprof train rf"),
        ("class:wolf", "no cell to review is of this class"),
        ("B-02-01_0099", "there is no such cell"),
        ("doubts", "there is no such queue"),
    ):
        assert run_app(build_app(), ["review", str(project), "--queue", queue]) == 2
        assert told in " ".join(capsys.readouterr().err.split())
    assert run_app(build_app(), ["review", str(project), "--n", "0"]) == 2
    status = run_app(build_app(), ["review", str(project), "--queue", "random", "--n", "2"])
    out = " ".join(capsys.readouterr().out.split())
    assert status == 0
    assert "2 of 4 cells of the queue 'random', from 2 wells" in out


def test_without_crops_a_message_names_the_command(painted):
    for path in (painted.root / "results" / "crops").rglob("index.parquet"):
        path.unlink()
    with pytest.raises(UserError, match="run: nucprof crop PROJECT"):
        page_of(painted.project, "random")


def test_plates_with_the_same_keys_stay_apart(painted):
    project = painted.project
    for path in (painted.root / "CP").iterdir():
        bright = np.full((2, 60, 70), 3000, np.uint16)
        write_image(painted.root / "CP2" / path.name, bright)
    more = '[[plates]]\nname = "q"\ncell_painting = "CP2"\nlayout = "layout.csv"\n[channels]'
    text = project.read_text(encoding="utf-8")
    project.write_text(text.replace("[channels]", more), encoding="utf-8")
    run = Run(load_project(project))
    for name in ("rename", "segment", "crop", "features"):
        assert run.run_stage(stage(name)).status == "done"
    data = page_of(project, "B-02-01_0003")
    assert [cell["plate"] for cell in data["cells"]] == ["p", "q"]
    data = page_of(project, "random")
    assert len(data["cells"]) == 8


def test_every_cell_of_the_demo_has_its_markers_and_opinions(processed, tmp_path):
    opened = nucprof.open_project(processed)
    target = tmp_path / "page.html"
    write_review(opened, processed, queue="disagree", count=500, output=target)
    data = held(target)
    markers = pd.read_parquet(processed.parent / "results" / "features" / "GT_EdU_BrdU.parquet")
    markers = markers.set_index("Metadata_ROI_img_name")
    for cell in data["cells"]:
        expected = markers.loc[cell["roi"], "Nuclei_Intensity_MeanIntensity_EdU"]
        assert cell["markers"]["EdU"] == pytest.approx(expected)
        assert cell["said"].startswith("forest: ")
    assert len(data["cells"]) == len(opened.predictions("rf"))
