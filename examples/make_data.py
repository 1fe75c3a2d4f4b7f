"""Write the small synthetic plates of the examples into ``data/``, beside this file.

``python make_data.py``; replaces what it wrote before.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import tifffile

from nucprof.demo.plate import Demo, write_demo
from nucprof.plate.keys import FieldKey

DATA = Path(__file__).parent / "data"
NAMES = ("blue", "green", "mCherry", "far")


def main() -> None:
    """Two replicates, and the first of them in other forms."""
    shutil.rmtree(DATA, ignore_errors=True)
    first = write_plate(DATA / "rep1", seed=0)
    write_plate(DATA / "rep2", seed=1)
    write_monoculture_layout(DATA / "monocultures.csv")
    write_masks(first, DATA / "masks")
    write_stacks(first, DATA / "stacks")
    write_own_names(first, DATA / "own-names")


def write_plate(folder: Path, seed: int) -> Demo:
    """Two wells of each culture, three mixed ones, in two rounds."""
    wells = {
        "astro": ("B02", "B03"),
        "neuro": ("C02", "C03"),
        "co-culture": ("D02", "D03", "D04"),
    }
    plate = write_demo(folder, seed=seed, wells=wells, shape=(190, 200), cells=20, max_shift_px=6)
    plate.project.unlink()  # each example has its own
    return plate


def write_monoculture_layout(path: Path) -> None:
    """A layout that names the pure wells only: the mixed ones have no class to learn."""
    wells = [("B02", "astro"), ("B03", "astro"), ("C02", "neuro"), ("C03", "neuro")]
    path.write_text("well,culture\n" + "".join(f"{w},{c}\n" for w, c in wells), encoding="utf-8")


def write_masks(plate: Demo, folder: Path) -> None:
    """Masks as another program would make them: one label image per field, with its name."""
    shutil.copytree(plate.folder / "truth" / "nuclei", folder)


def painted(plate: Demo) -> dict[FieldKey, Path]:
    """The Cell Painting image of each field."""
    files = sorted((plate.folder / "CP").glob("*.tif"))
    return {FieldKey.parse(f"{f.name[4]}-{f.name[5:7]}-01"): f for f in files}


def write_stacks(plate: Demo, folder: Path) -> None:
    """Three focal planes per field, the outer ones darker, as ImageJ hyperstacks (Z, C, Y, X)."""
    folder.mkdir(parents=True)
    for key, path in painted(plate).items():
        image = tifffile.imread(path)
        stack = np.stack([(image * light).astype(image.dtype) for light in (0.6, 1.0, 0.7)])
        tifffile.imwrite(folder / f"{key}.tif", stack, imagej=True, metadata={"axes": "ZCYX"})


def write_own_names(plate: Demo, folder: Path) -> None:
    """One file per channel, named as no microscope does."""
    folder.mkdir(parents=True)
    for key, path in painted(plate).items():
        for name, channel in zip(NAMES, tifffile.imread(path), strict=True):
            file = f"scan3 {key.row}-{key.column} pos{key.site:02d} {name}.tif"
            tifffile.imwrite(folder / file, channel)


if __name__ == "__main__":
    main()
