"""Turned rounds of real cells, to the gate: ``python -m benchmarks.alignment_coculture DATA``.

DATA is the two-round co-culture made of BBBC013, whose shifts and classes are known.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile
from scipy import ndimage as ndi

from nucprof.config import load_project
from nucprof.core.similarity import Similarity
from nucprof.io.images import read_image, read_labels
from nucprof.run.pipeline import Run
from nucprof.stages import stage

PROJECT = """\
[project]
name = "coculture"
[[plates]]
name = "p"
cell_painting = "CP"
layout = "layout.xlsx"
[plates.ground_truth]
GT = "GT"
[channels]
cell_painting = ["DNA", "GFP"]
nuclei = "DNA"
[channels.ground_truth]
GT = ["DNA", "untreated", "treated"]
[segment]
backend = "watershed"
[execution]
workers = 1
"""


TURNS = ((0, 1), (0.5, 1), (1, 1), (3, 1), (6, 1), (0, 1.02))


def write_turned(data: Path, folder: Path, angle: float, scale: float) -> Path:
    """Write the plate with every round turned about its centre; the path of its project file."""
    shutil.copytree(data / "CP", folder / "CP")
    shutil.copy(data / "layout.xlsx", folder)
    (folder / "GT").mkdir()
    for path in (data / "GT").iterdir():
        image = read_image(path)
        if angle or scale != 1:
            turn = Similarity.of(image.shape[1:], (0.0, 0.0), angle, scale)
            back = np.linalg.inv(turn.matrix)
            offset = np.array(turn.centre) - back @ turn.centre
            planes = [
                ndi.affine_transform(p.astype(float), back, offset, order=3, mode="reflect")
                for p in image
            ]
            image = np.rint(planes).clip(0, np.iinfo(image.dtype).max).astype(image.dtype)
        written = {"metadata": {"axes": "CYX"}, "photometric": "minisblack"}
        tifffile.imwrite(folder / "GT" / path.name, image, **written)
    project = folder / "project.toml"
    project.write_text(PROJECT, encoding="utf-8")
    return project


def measure(data: Path, project: Path) -> str:
    """Run a plate to its gate; a row of the table."""
    run = Run(load_project(project))
    for name in ("rename", "segment", "align", "features", "gate"):
        run.run_stage(stage(name))
    table = pd.read_csv(run.results.registration)
    good = table[table.status != "failed"]
    gated = pd.read_csv(run.results.folder("gate", "GT_data.csv"))
    decided = np.mean(gated.true_condition != "undefined")
    shifts = json.loads((data / "truth" / "shifts.json").read_text(encoding="utf-8"))
    true = np.array([shifts[f"{r.well[0]}-{r.well[1:]}-{r.site:02d}"] for r in good.itertuples()])
    away = np.hypot(*(good[["shift_y", "shift_x"]].to_numpy() - true).T)
    return (
        f"{len(good)} of {len(table)} | {len(gated)} | {decided:.3f} | "
        f"{_right(gated, run, data):.4f} | {good.angle.min():.3f} to {good.angle.max():.3f} | "
        f"{good['scale'].min():.4f} to {good['scale'].max():.4f} | {away.max():.3f}"
    )


def _right(gated: Any, run: Any, data: Path) -> float:
    """Share of the decided cells that are of the class most of their pixels belong to."""
    from nucprof.io.images import read_image

    names = ("untreated", "treated")
    right = decided = 0
    for field, rows in gated.groupby(gated.Metadata_ROI_img_name.str.rsplit("_", n=1).str[0]):
        mask = read_labels(run.results.mask("p", "nuclei", field))
        truth = read_image(data / "truth" / f"{field}_class.tif").squeeze()
        for name, called in zip(rows.Metadata_ROI_img_name, rows.true_condition, strict=True):
            if called != "undefined":
                under = truth[mask == int(name.rsplit("_", 1)[1])]
                right += names[int(np.bincount(under).argmax())] == called
                decided += 1
    return right / max(1, decided)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    print(
        "| degrees | magnification | accepted | cells kept | decided | of these right |"
        " angles found | magnifications | shift from the unturned one, at most (px) |\n"
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    for angle, scale in TURNS:
        with tempfile.TemporaryDirectory() as folder:
            project = write_turned(data, Path(folder), angle, scale)
            print(f"| {angle} | {scale} | {measure(data, project)} |", flush=True)


if __name__ == "__main__":
    main()
