"""Writing the synthetic plate as a microscope would: files, layout, and a project file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage as ndi

from nucprof.demo.cells import CHANNELS, CLASSES, MARKERS, draw, place
from nucprof.errors import UserError
from nucprof.io.files import write_text
from nucprof.io.images import write_image, write_labels
from nucprof.io.tables import write_table
from nucprof.plate.keys import FieldKey, WellKey

WELLS: Mapping[str, tuple[str, ...]] = {
    "astro": ("B02", "B03", "B04"),
    "neuro": ("C02", "C03", "C04"),
    # 15 wells: two of them are for validation
    "co-culture": tuple(f"{row}{column:02d}" for row in "DEF" for column in range(2, 7)),
}
_BACKGROUND = 300.0
_GAIN = 0.6  # grey levels of shot noise per square root of a grey level

PROJECT = """\
# The demo plate: two cell types, in monoculture and mixed, imaged in two rounds.
# All other keys have their default; see nucprof.toml.example.

[project]
name = "demo"
output = "results"

[[plates]]
name = "demo"
cell_painting = "CP"
layout = "layout.xlsx"
[plates.ground_truth]
EdU_BrdU = "GT"

[channels]
cell_painting = ["DAPI", "FITC", "Cy3", "Cy5"]
nuclei = "DAPI"
[channels.ground_truth]
EdU_BrdU = ["DAPI", "EdU", "BrdU"]

# A network small enough to be trained in a few minutes without a GPU.
[train.cnn]
architecture = "resnet18"
image_size = 48
epochs = 8
batch_size = 25
learning_rate = 5e-4
"""


@dataclass(frozen=True)
class Demo:
    """Where the plate was written, and its truth."""

    folder: Path
    shifts: pd.DataFrame
    cells: pd.DataFrame

    @property
    def project(self) -> Path:
        """The project file."""
        return self.folder / "project.toml"


def write_demo(
    folder: Path,
    *,
    seed: int = 0,
    wells: Mapping[str, Sequence[str]] = WELLS,
    sites: int = 1,
    shape: tuple[int, int] = (320, 340),
    cells: int = 45,
    max_shift_px: float = 18.0,
) -> Demo:
    """Write a two-round plate, its layout, project file and truth.

    Parameters
    ----------
    folder : Path
        An empty or new folder.
    seed : int
        The same seed gives the same plate.
    wells : mapping
        Culture -> wells; ``co-culture`` holds both cell types.
    sites : int
        Fields per well.
    shape : tuple of int
        Height and width of a Cell Painting field, pixels.
    cells : int
        Cells per field, at most.
    max_shift_px : float
        The ground-truth round lies up to this far away, along both axes.

    Raises
    ------
    UserError
        The folder is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty; name a new folder for the demo plate.")
    shifts, rows = [], []
    sequence = 0
    for culture, names in wells.items():
        for name in names:
            for site in range(1, sites + 1):
                well = WellKey.parse(name)
                key = FieldKey(well.row, well.column, site)
                rng = np.random.default_rng([seed, sequence])
                shift, truth = _write_field(
                    folder, rng, key, culture, sequence, shape, cells, max_shift_px
                )
                shifts.append({"field": str(key), "shift_y": shift[0], "shift_x": shift[1]})
                rows += truth
                sequence += 1
    demo = Demo(folder, pd.DataFrame(shifts), pd.DataFrame(rows))
    _write_layout(folder / "layout.xlsx", wells)
    write_table(folder / "truth" / "shifts.csv", demo.shifts)
    write_table(folder / "truth" / "cells.csv", demo.cells)
    write_text(demo.project, PROJECT)
    return demo


def _write_field(
    folder: Path,
    rng: np.random.Generator,
    key: FieldKey,
    culture: str,
    sequence: int,
    shape: tuple[int, int],
    count: int,
    max_shift_px: float,
) -> tuple[np.ndarray, list[dict[str, object]]]:
    """Draw one scene larger than the field, and cut both rounds out of it."""
    margin = int(np.ceil(max_shift_px)) + 2
    scene = (shape[0] + 2 * margin, shape[1] + 2 * margin)
    share = scene[0] * scene[1] / (shape[0] * shape[1])
    kinds = CLASSES if culture not in CLASSES else (culture,)
    drawn = place(rng, scene, round(count * share), kinds)
    painting, markers, labels = draw(rng, drawn, scene)
    frame = (slice(margin, margin + shape[0]), slice(margin, margin + shape[1]))
    shift = rng.uniform(-max_shift_px, max_shift_px, size=2).round(2)
    second = np.stack([painting[0] * 0.7, *markers])
    # A nucleus at (y, x) in CP lies at (y, x) + shift in the ground-truth round.
    moved = ndi.shift(second, (0, *shift), order=1, mode="nearest")
    name = f"Well{key.well}_Point{key.well}_{key.site:04d}_Channel{{}}_Seq{sequence:04d}.tif"
    write_image(
        folder / "CP" / name.format(",".join(CHANNELS)),
        _camera(rng, painting[(slice(None), *frame)]),
        CHANNELS,
    )
    write_image(
        folder / "GT" / name.format(",".join(("DAPI", *MARKERS))),
        _camera(rng, moved[(slice(None), *frame)]),
        ("DAPI", *MARKERS),
    )
    write_labels(folder / "truth" / "nuclei" / f"{key}.tif", labels[frame])
    inside = np.unique(labels[frame])
    cells = [
        {
            "field": str(key),
            "label": number,
            "class": cell.kind,
            "y": round(cell.y - margin, 2),
            "x": round(cell.x - margin, 2),
            "EdU": cell.positive[0],
            "BrdU": cell.positive[1],
        }
        for number, cell in enumerate(drawn, start=1)
        if number in inside
    ]
    return shift, cells


def _camera(rng: np.random.Generator, signal: np.ndarray) -> np.ndarray:
    """Blur, background with a gradient, shot and read noise: ``(C, H, W)`` uint16."""
    height, width = signal.shape[1:]
    slope = (
        1 + 0.15 * np.linspace(-1, 1, width)[None, :] + 0.1 * np.linspace(-1, 1, height)[:, None]
    )
    light = ndi.gaussian_filter(signal, (0, 0.9, 0.9)) + _BACKGROUND * slope
    noisy = light + rng.normal(size=light.shape) * (_GAIN * np.sqrt(light) + 8)
    image: np.ndarray = np.clip(np.rint(noisy), 0, 65535).astype(np.uint16)
    return image


def _write_layout(path: Path, wells: Mapping[str, Sequence[str]]) -> None:
    cultures = {WellKey.parse(name): culture for culture, names in wells.items() for name in names}
    rows = sorted({well.row for well in cultures})
    columns = sorted({well.column for well in cultures})
    grid = pd.DataFrame(
        [[cultures.get(WellKey(row, column)) for column in columns] for row in rows],
        index=rows,
        columns=columns,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    grid.to_excel(path, sheet_name="Culture")
