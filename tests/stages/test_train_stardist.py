"""The training script: what it never opens, that it goes on after a stop, that its model loads."""

import csv
import json
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from tifffile import imwrite

TOOLS = Path(__file__).parents[2] / "tools"
SMALL = ["--filters", "4", "--features", "8", "--patch", "64", "--batch", "4", "--every", "2"]

TURNED_AS_DRAWN = """
import itertools, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
import train_stardist as t

labels = np.zeros((65, 65), np.int32)
yy, xx = np.mgrid[:65, :65]
labels[((yy - 25) / 9) ** 2 + ((xx - 30) / 14) ** 2 < 1] = 1
labels[((yy - 45) / 6) ** 2 + ((xx - 18) / 5) ** 2 < 1] = 2
image = np.random.default_rng(0).random((65, 65)).astype(np.float32)
field = t.make_field("f", image, labels)
sampler = t.Sampler([field], 64, 32, 2, 0, hard=0.0)
patch = image, *sampler.targets(labels[1:, 1:])
for how in itertools.product((False, True), repeat=3):
    turned = labels.T if how[0] else labels
    turned = turned[-2::-1] if how[1] else turned[1:]
    turned = np.ascontiguousarray(turned[:, -2::-1] if how[2] else turned[:, 1:])
    _, prob, dist = t.turn(patch, how)
    expected = sampler.targets(turned)
    np.testing.assert_allclose(prob, expected[0], atol=1e-5)
    np.testing.assert_allclose(dist, expected[1], atol=1e-3)
"""


def names(remainder, number):
    """File names whose CRC-32 leaves a remainder by 10."""
    every = (f"image{i}.tif" for i in range(1000))
    return [n for n in every if zlib.crc32(n.encode()) % 10 == remainder][:number]


@pytest.fixture
def data(tmp_path):
    """Six small images to train and validate on, and a held-out one that cannot be read."""
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[:80, :90]
    for name in names(5, 4) + names(1, 2):
        labels = np.zeros((80, 90), np.uint16)
        for label, (y, x) in enumerate(rng.uniform(15, 70, (4, 2)), start=1):
            labels[(yy - y) ** 2 + (xx - x) ** 2 < 64] = label
        image = (labels > 0) * 120 + rng.integers(0, 40, labels.shape)
        imwrite(folder / "images" / name, image.astype(np.uint8))
        imwrite(folder / "masks" / name, labels)
    for part in ("images", "masks"):
        (folder / part / names(0, 1)[0]).write_text("held out: not to be opened")
    return folder


def table(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def run(*args):
    return subprocess.run(
        [sys.executable, *map(str, args)], capture_output=True, text=True, check=True
    )


@pytest.mark.slow
def test_training_goes_on_and_its_model_is_packed(data, tmp_path):
    out = tmp_path / "run"
    run(TOOLS / "train_stardist.py", data, out, "--steps", 2, *SMALL)
    run(TOOLS / "train_stardist.py", data, out, "--steps", 4, *SMALL)
    rows = table(out / "log.csv")
    assert [int(float(row["step"])) for row in rows] == [2, 4]
    assert all(np.isfinite(float(row["val_loss"])) for row in rows)
    parts = {row["name"]: row["part"] for row in table(out / "split.csv")}
    assert parts[names(0, 1)[0]] == "held_out"
    assert sorted(parts.values()) == ["held_out", *["training"] * 4, *["validation"] * 2]

    packed = tmp_path / "packed"
    run(TOOLS / "pack_stardist.py", data, out, packed, "--weights", "weights_now.h5")
    assert json.loads((packed / "thresholds.json").read_text()).keys() == {"prob", "nms"}
    code = (
        "import sys, numpy as np; from pathlib import Path;"
        "from nucprof.segmentation.stardist import StarDistBackend;"
        "print(StarDistBackend(Path(sys.argv[1])).segment(np.eye(50)).shape)"
    )
    assert run("-c", code, packed).stdout.strip() == "(50, 50)"


def test_a_turned_patch_has_the_targets_of_its_turned_labels():
    run("-c", TURNED_AS_DRAWN, TOOLS)
