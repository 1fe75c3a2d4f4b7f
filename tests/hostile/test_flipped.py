"""Bytes flipped at random in every format that is read: the same content, or one message.

Formats whose bytes are all checked by a sum (PNG, xlsx, Parquet, compressed archives) must never
give another content; in others, flipped pixels or letters are content.
"""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
import tifffile
from nd2_writer import write_nd2
from PIL import Image

from nucprof.config import load_project
from nucprof.errors import NucprofError
from nucprof.io.arrays import read_arrays, write_arrays
from nucprof.io.images import read_image, read_labels, write_image, write_labels
from nucprof.io.layouts import read_layout
from nucprof.io.stacks import read_stack, write_stack
from nucprof.io.tables import read_table, write_table
from nucprof.learn.cnn.crop_data import map_stack
from nucprof.run import journal
from nucprof.run.manifest import Manifest
from nucprof.run.places import Places
from nucprof.stages import stage

pytestmark = pytest.mark.kind("traceback")
TRIES = 25
RNG = np.random.default_rng(7)
IMAGE = RNG.integers(0, 4000, (3, 24, 30)).astype(np.uint16)
LABELS = np.kron(np.arange(12, dtype=np.uint16).reshape(3, 4), np.ones((8, 8), np.uint16))
TABLE = pd.DataFrame({"plate": ["p"] * 50, "value": RNG.random(50)})
LAYOUT = [[None, 1, 2], ["A", "astro", "neuro"], ["B", "astro", "co-culture"]]


def tiff(path, **how):
    tifffile.imwrite(path, IMAGE, photometric="minisblack", **how)


def png(path):
    Image.fromarray(IMAGE[0]).save(path)


def book(path):
    held = openpyxl.Workbook()
    held.active.title = "Culture"
    for row in LAYOUT:
        held.active.append(row)
    held.save(path)


def csv_layout(path):
    path.write_text("well,culture\n" + "".join(f"A{n:02d},astro\n" for n in range(1, 13)))


def crops(path):
    write_stack(path, np.stack([IMAGE, IMAGE + 1]), ["a", "b", "c"])


def forest_scores(path):
    from nucprof.learn.forest.model import load_forest

    return load_forest(path).features


def network(path):
    from nucprof.learn.cnn.model import load_cnn

    return {k: v.numpy() for k, v in load_cnn(path.parent).network.state_dict().items()}


#: name of the file -> how it is written, how it is read, and whether its bytes are summed.
FORMATS = {
    "plain.tif": (lambda p: tiff(p, metadata=None), read_image, False),
    "strips.tif": (lambda p: tiff(p, metadata=None, rowsperstrip=5), read_image, False),
    "tiled.tif": (lambda p: tiff(p, metadata=None, tile=(16, 16)), read_image, False),
    "packed.tif": (lambda p: tiff(p, metadata=None, compression="zlib"), read_image, False),
    "lzw.tif": (lambda p: tiff(p, metadata=None, compression="lzw"), read_image, False),
    "big.tif": (lambda p: tiff(p, metadata=None, bigtiff=True), read_image, False),
    "image.ome.tif": (lambda p: tiff(p, metadata={"axes": "CYX"}, ome=True), read_image, False),
    "imagej.tif": (lambda p: write_image(p, IMAGE, ["a", "b", "c"], 0.5), read_image, False),
    "labels.tif": (lambda p: write_labels(p, LABELS), read_labels, False),
    "field.nd2": (lambda p: write_nd2(p, IMAGE[:, None], "CZYX"), lambda p: read_image(p), False),
    "field.png": (png, read_image, True),
    "layout.xlsx": (book, lambda p: read_layout(p).cultures, True),
    "layout.csv": (csv_layout, lambda p: read_layout(p).cultures, False),
    "table.csv": (lambda p: write_table(p, TABLE), read_table, False),
    "table.parquet": (lambda p: write_table(p, TABLE), read_table, False),
    "arrays.npz": (lambda p: write_arrays(p, {"a": IMAGE}), lambda p: read_arrays(p, ["a"]), True),
    "crops.tif": (crops, read_stack, False),
    "mapped.tif": (crops, map_stack, False),
}
RESULTS = {
    "project.toml": (load_project, False),
    "results/manifest.json": (Manifest.read, False),
    "results/train/rf/default/model.skops": (forest_scores, False),
    "results/train/cnn/default/model.safetensors": (network, True),
    "results/cells.parquet": (read_table, False),
    "results/features/CP.parquet": (read_table, False),
}


def same(one, other) -> bool:
    if isinstance(one, pd.DataFrame):
        return one.equals(other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(np.array_equal(one, other))


def flip(path: Path, read, *, summed: bool, tries: int = TRIES) -> None:
    """Flip bytes, and cut: what is read must be right, or refused by an error of ours."""
    whole, right = path.read_bytes(), read(path)
    rng = np.random.default_rng(zlib.crc32(path.name.encode()))
    for n in range(tries):
        broken = bytearray(whole)
        if n % 5 == 4:
            broken = broken[: int(rng.integers(0, len(whole)))]
        else:  # headers are at the beginning and the end
            span = len(whole) if n % 5 else min(400, len(whole))
            for at in rng.integers(0, span, 1 + n % 3):
                broken[at if n % 2 else -1 - at] ^= int(rng.integers(1, 256))
        path.write_bytes(broken)
        found, said = right, path.name
        try:
            found = read(path)
        except NucprofError as error:
            said = str(error)
        assert path.name in said
        assert not summed or same(right, found), f"try {n}: another content"
    path.write_bytes(whole)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file(tmp_path, name):
    write, read, summed = FORMATS[name]
    write(tmp_path / name)
    flip(tmp_path / name, read, summed=summed)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", RESULTS)
def test_damaged_results(processed, tmp_path, name):
    read, summed = RESULTS[name]
    path = tmp_path / Path(name).name
    shutil.copyfile(processed.parent / name, path)
    if path.suffix == ".safetensors":
        shutil.copyfile(
            processed.parent / name.replace(path.name, "model.json"), tmp_path / "model.json"
        )
    if name == "project.toml":
        for folder in ("CP", "GT"):
            (tmp_path / folder).mkdir()
        shutil.copyfile(processed.parent / "layout.xlsx", tmp_path / "layout.xlsx")
    flip(path, read, summed=summed)


@pytest.mark.parametrize("of", ["segment", "align", "crop"])
def test_a_damaged_journal_loses_lines_and_invents_none(processed, tmp_path, of):
    path = tmp_path / f"{of}.jsonl"
    whole = (processed.parent / "results" / "journal" / path.name).read_bytes()
    places = Places(processed.parent, processed.parent / "results")
    path.write_bytes(whole)
    right = journal.read(path, stage(of).record, places).entries
    rng = np.random.default_rng(3)
    for _ in range(TRIES):
        broken = bytearray(whole)
        broken[int(rng.integers(0, len(whole)))] ^= int(rng.integers(1, 128))
        path.write_bytes(broken)
        found = journal.read(path, stage(of).record, places).entries
        assert len(found) >= len(right) - 2  # a broken line end joins two lines
        changed = [key for key in found if found[key] != right.get(key)]
        assert len(changed) <= 1
