"""A small co-culture plate on which every stage has run."""

from __future__ import annotations

import re
from pathlib import Path
from unittest.mock import patch

from nucprof.config import load_project
from nucprof.demo.plate import write_demo
from nucprof.run.pipeline import Run

EVERY_STAGE = """
[segment]
backend = "watershed"
[crop]
patch_size = 24
[gradcam]
per_class = 2
[embed]
method = "pca"
[predict]
model = "results/train/rf/default"
[execution]
workers = 1
device = "cpu"
"""
# the smallest network there is: tests copy the plate
NETWORK = """\
[train.cnn]
architecture = "shufflenet_v2_x0_5"
image_size = 32
epochs = 1
batch_size = 16
"""
#: Hundreds of forests on permuted labels would take most of the time.
ARRANGEMENTS = 3


def make_processed(folder: Path) -> None:
    """Write a plate and run every stage on it."""
    wells = {"astro": ("B02", "B03"), "neuro": ("C02", "C03"), "co-culture": ("D02", "D03", "D04")}
    plate = write_demo(folder, wells=wells, shape=(150, 160), cells=14, max_shift_px=6)
    text = plate.project.read_text(encoding="utf-8")
    text = re.sub(r"\[train\.cnn\][^\[]*", NETWORK, text) + EVERY_STAGE
    plate.project.write_text(text, encoding="utf-8")
    with patch("nucprof.learn.forest.chance.ARRANGEMENTS", ARRANGEMENTS):
        results = Run(load_project(plate.project)).run_all()
    assert {result.status for result in results} == {"done"}
