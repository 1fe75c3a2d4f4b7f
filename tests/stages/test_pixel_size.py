"""Rounds of different pixel size: the ground truth is brought to Cell Painting's pixels."""

from __future__ import annotations

import numpy as np
import pytest

from nucprof.config import load_project
from nucprof.core.resample import resample
from nucprof.demo.plate import write_demo
from nucprof.io.images import describe, read_image, write_image
from nucprof.io.tables import read_table
from nucprof.run.pipeline import Run
from nucprof.stages import stage

UM = 0.325
SMALL = {"shape": (240, 260), "cells": 40, "wells": {"astro": ["B02"], "neuro": ["C03"]}}


def rewrite(folder, zoom, um):
    for path in sorted(folder.glob("*.tif")):
        info, image = describe(path), read_image(path)
        write_image(path, resample(image, zoom) if zoom != 1 else image, info.names, um)


@pytest.mark.parametrize("zoom", [1.0, 0.5, 1.25])
def test_shifts_are_found_whatever_the_pixels(tmp_path, zoom):
    demo = write_demo(tmp_path / "d", **SMALL)
    rewrite(tmp_path / "d" / "CP", 1.0, UM)
    rewrite(tmp_path / "d" / "GT", zoom, UM / zoom)
    more = '\n[segment]\nbackend = "watershed"\n[execution]\nworkers = 1\n'
    demo.project.write_text(demo.project.read_text() + more)
    for name in ("rename", "segment", "align", "features"):
        result = Run(load_project(demo.project)).run_stage(stage(name))
        assert result.status == "done"
        if name == "rename":
            told = [text for text in result.summary.warnings if "are resampled to" in text]
            assert len(told) == (zoom != 1)
    found = read_table(tmp_path / "d" / "results" / "registration.csv")
    truth = demo.shifts.sort_values("field")
    measured = found.sort_values("well")[["shift_y", "shift_x"]].to_numpy()
    np.testing.assert_allclose(measured, truth[["shift_y", "shift_x"]].to_numpy(), atol=0.5)
    aligned = next((tmp_path / "d" / "results" / "aligned").rglob("GT_*/*.tif"))
    info = describe(aligned)
    assert (info.height, info.width) == SMALL["shape"]
    assert info.pixel_size_um == pytest.approx(UM)
    assert info.names == ("DAPI", "EdU", "BrdU")
    table = read_table(tmp_path / "d" / "results" / "features" / "GT_EdU_BrdU.parquet")
    area = table["Nuclei_AreaShape_Area"] * UM**2
    np.testing.assert_allclose(table["Nuclei_AreaShape_Area_um2"], area, rtol=1e-6)
    mask = next((tmp_path / "d" / "results" / "masks").rglob("*.tif"))
    assert describe(mask).pixel_size_um == pytest.approx(UM)
