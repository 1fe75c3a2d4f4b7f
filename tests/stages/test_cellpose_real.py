"""The real Cellpose library with a network made on the spot, saved to a file and loaded from it.

Its encoder is random; its last layer points every pixel at the centre of its own 8 x 8 token, so
that what must be found is known: a lattice of squares.
"""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
import numpy as np
import torch
from scipy.ndimage import find_objects

torch.set_num_threads(1)
torch.manual_seed(0)
from cellpose.vit import CPSAM

file = sys.argv[1]
net = CPSAM(dtype=torch.float32)
inwards = torch.sign(3.5 - torch.arange(8.0))
net.out.weight.data[:] = 0
net.out.bias.data[:] = torch.stack([
    inwards[:, None].expand(8, 8), inwards[None, :].expand(8, 8), torch.full((8, 8), 5.0)
]).ravel()
net.save_model(file)
del net

from pathlib import Path
from nucprof.segmentation.cellpose import CellposeBackend

backend = CellposeBackend(Path(file), device="cpu", batch_size=1, flow_threshold=0.0)
held = torch.load(file, mmap=True, weights_only=True)
loaded = backend.network.net.state_dict()
rng = np.random.default_rng(0)
nuclei = rng.integers(100, 4000, (61, 83)).astype(np.uint16)
labels = backend.segment(nuclei.astype(np.float32) ** 0.5, nuclei)
print(json.dumps({
    "same": all(torch.equal(held[name], loaded[name]) for name in loaded),
    "weights": len(loaded),
    "dtype": str(labels.dtype),
    "shape": labels.shape,
    "areas": np.bincount(labels.ravel())[1:].tolist(),
    "boxes": [[s.stop - s.start for s in box] for box in find_objects(labels)],
    "tensorflow": "tensorflow" in sys.modules,
}))
"""


@pytest.mark.slow
def test_network_from_a_file_segments_an_image(tmp_path):
    file = tmp_path / "network"
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        # A download would fail: there is no such proxy.
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "CELLPOSE_LOCAL_MODELS_PATH": str(tmp_path / "nothing"),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(file)],
            capture_output=True,
            text=True,
            env=environment,
            timeout=550,
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        assert file.stat().st_size > 1.1e9
    finally:
        file.unlink(missing_ok=True)
    assert found["same"]
    assert found["weights"] > 300
    assert found["dtype"] == "int32"
    assert found["shape"] == [61, 83]
    # 61 x 83 pixels hold 6 x 9 whole tokens or one more each way; those cut at the edge vary.
    whole = [box for box, area in zip(found["boxes"], found["areas"], strict=True) if area == 64]
    assert 6 * 9 <= len(whole) <= 7 * 10
    assert all(box == [8, 8] for box in whole)
    assert max(found["areas"]) == 64
    assert not found["tensorflow"]
    assert not (tmp_path / "nothing").exists()
