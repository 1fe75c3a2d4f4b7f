"""Choose the thresholds of a trained StarDist network and pack it as a model folder.

    python tools/pack_stardist.py DATA RUN OUT

RUN is the folder that ``train_stardist.py`` wrote, OUT the folder to make. Both thresholds, and
the nuclear diameter to which images are brought, are those with the best F1 at an overlap of 0.5
(a nucleus missed is a cell lost, an outline a pixel off is not), pooled over all nuclei of the
validation part; the held-out part is not opened. The kept weights (``weights_best.h5``, by
validation loss) and the last ones (``weights_now.h5``) compete in the same way, and with ``--blend
MODEL`` the mean of the last ones and those of the model from which the run started.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from train_stardist import CANONICAL_PX, Field, load_fields

PROB = (0.50, 0.55, 0.60, 0.65, 0.70, 0.75)
NMS = (0.2, 0.3, 0.4)
OVERLAPS = (0.5, 0.6, 0.7, 0.8, 0.9)


def scores(
    folder: Path, fields: list[Field], canonical: float, precision: str
) -> dict[tuple[float, float], tuple[float, float]]:
    """F1 at 0.5 and mean F1 by pair of thresholds, each image brought to one nuclear diameter."""
    from stardist.matching import matching

    from nucprof.core.normalize import percentile_normalize
    from nucprof.segmentation.stardist import StarDistBackend

    counts = {(p, n): np.zeros((len(OVERLAPS), 3)) for p in PROB for n in NMS}
    for field in fields:
        backend = StarDistBackend(
            folder,
            scale=canonical / field.diameter,
            prob_thresh=min(PROB),
            precision=precision,
        )
        # One prediction serves all thresholds.
        unit = percentile_normalize(field.image, 1.0, 99.0)
        probs, dists, centres, back = backend.candidates(unit)
        for prob, nms in counts:
            backend.nms_thresh = nms
            keep = probs > prob
            found = backend.draw(probs[keep], dists[keep], centres[keep], back, unit.shape)
            rows = matching(field.labels, found.labels, thresh=OVERLAPS)
            counts[prob, nms] += [[r.tp, r.fp, r.fn] for r in rows]
    tables = {key: c.T for key, c in counts.items()}
    f1 = {key: 2 * t / (2 * t + p + n) for key, (t, p, n) in tables.items()}
    return {key: (float(values[0]), float(values.mean())) for key, values in f1.items()}


def blend(run: Path, other: Path) -> str:
    """Write the mean of a run's last weights and those of a model of the same shape.

    Wortsman et al., "Robust fine-tuning of zero-shot models" (2022).
    """
    import h5py

    shutil.copyfile(run / "weights_now.h5", run / "weights_blend.h5")
    with (
        h5py.File(run / "weights_blend.h5", "r+") as out,
        h5py.File(other / "weights_best.h5") as old,
    ):

        def average(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset) and item.dtype.kind == "f":
                item[...] = 0.5 * (item[...] + old[name][...])

        out.visititems(average)
    return "weights_blend.h5"


def lay_out(run: Path, weights: str, out: Path, prob: float, nms: float, canonical: float) -> None:
    """Write a model folder from a run and one of its weight files."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "training.json", "log.csv", "split.csv"):
        shutil.copyfile(run / name, out / name)
    shutil.copyfile(run / weights, out / "weights_best.h5")
    (out / "thresholds.json").write_text(json.dumps({"prob": prob, "nms": nms}) + "\n")
    about = {"canonical_diameter_px": canonical}
    (out / "nucprof.json").write_text(json.dumps(about) + "\n")


def main() -> None:
    """Read the command line, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", nargs="+", default=["weights_best.h5", "weights_now.h5"])
    parser.add_argument("--blend", type=Path, help="a model whose weights are averaged in as well")
    parser.add_argument(
        "--canonical",
        type=float,
        nargs="+",
        default=[CANONICAL_PX, 33.0, 38.0],
        help="nuclear diameters, in pixels, to which images are brought",
    )
    parser.add_argument("--precision", default="float32", help="or bfloat16")
    args = parser.parse_args()
    if args.blend is not None:
        args.weights = [*args.weights, blend(args.run, args.blend)]
    fields = load_fields(args.data, "validation")
    best = ((0.0, 0.0), "", 0.0, (0.0, 0.0))
    with tempfile.TemporaryDirectory() as scratch:
        for weights in args.weights:
            trial = Path(scratch) / weights.removesuffix(".h5")
            lay_out(args.run, weights, trial, 0.5, 0.4, CANONICAL_PX)
            for canonical in args.canonical:
                found = scores(trial, fields, canonical, args.precision)
                for (prob, nms), value in found.items():
                    print(
                        f"{weights} {canonical:g} px, prob {prob:.2f}, nms {nms:.1f}: "
                        f"F1 at 0.5 {value[0]:.4f}, mean {value[1]:.4f}",
                        flush=True,
                    )
                    best = max(best, (value, weights, canonical, (prob, nms)))
    value, weights, canonical, (prob, nms) = best
    print(f"chosen: {weights}, {canonical:g} px, prob {prob}, nms {nms}: F1 at 0.5 {value[0]:.4f}")
    lay_out(args.run, weights, args.out, prob, nms, canonical)


if __name__ == "__main__":
    main()
