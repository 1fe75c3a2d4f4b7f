"""Time the network's data path: alone, the network alone, and both together.

Run ``python -m benchmarks.cnn --help``. Crops are random, held in memory as in training. Figures
are crops per second, the median of turns (on the CPU: per processor second of all threads):

- input: gather, normalise, resize, rotate, flip, brightness, contrast; no network;
- network: training steps on one batch that stays on the device;
- both: an epoch as `train cnn` does it;
- predict: as `predict` does it;
- published: the published scripts' way, one crop after the other through scikit-image-like
  transforms on one core (percentiles, resize, rotation, flip, brightness, contrast).

Asked for: input at least 5 times the network, and an epoch at most 1.15 times the same steps on the
cached batch.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from nucprof.learn.cnn.augment import crop_limits
from nucprof.learn.cnn.crop_data import CropsInMemory, batches
from nucprof.learn.cnn.device import (
    autocast,
    memory_format,
    precision_name,
    predict_logits,
    uses_bfloat16,
)
from nucprof.learn.cnn.inputs import InputPath
from nucprof.learn.cnn.network import build_network
from nucprof.machine import resolve_device


def published(crops: np.ndarray, size: int) -> None:
    """One crop at a time, on the CPU, in numpy and scikit-image."""
    from skimage.transform import resize, rotate

    rng = np.random.default_rng(0)
    for crop in crops:
        low, high = np.percentile(crop, [0.1, 99.9], axis=(1, 2), keepdims=True)
        scaled = np.clip((crop - low) / (high - low), 0, 1)
        large = resize(np.moveaxis(scaled, 0, -1), (size, size))
        turned = rotate(large, rng.uniform(0, 360), mode="reflect")
        if rng.random() < 0.5:
            turned = turned[:, ::-1]
        bright = turned * rng.uniform(0.8, 1.2)
        _ = (bright - bright.mean()) * rng.uniform(0.8, 1.2) + bright.mean()


class Trainer:
    """Steps of a network, as in training."""

    def __init__(self, architecture: str, inputs: InputPath, compiled: bool) -> None:
        self.inputs = inputs
        network = build_network(architecture, inputs.crops.shape[1], 2).to(inputs.device)
        self.network = network.to(memory_format=memory_format(inputs)).train()
        self.forward = torch.compile(self.network) if compiled else self.network
        self.optimizer = torch.optim.Adam(self.network.parameters(), 1e-4)

    def step(self, crops: torch.Tensor) -> None:
        """One step; both classes by turns."""
        self.network.train()
        targets = torch.arange(len(crops), device=self.inputs.device) % 2
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.inputs):
            logits = self.forward(crops.contiguous(memory_format=memory_format(self.inputs)))
            loss = F.cross_entropy(logits.float(), targets)
        loss.backward()
        self.optimizer.step()


def crops_per_second(
    work: dict[str, Callable[[], None]], n: int, device: str, repeats: int
) -> dict[str, float]:
    """Crops per second of each, the median of turns taken one after the other.

    On the CPU these are processor seconds of all threads: the machine may be shared.
    """
    clock = time.perf_counter if device.startswith("cuda") else time.process_time
    found: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repeats):
        for name, call in work.items():
            started = clock()
            call()
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            found[name].append(n / (clock() - started))
    return {name: statistics.median(rates) for name, rates in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=["auto", "full"], default="auto")
    parser.add_argument("--architecture", default="resnet18")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--crops", type=int, default=1000)
    parser.add_argument("--patch-size", type=int, default=60)
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of the CPU; default all cores")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--no-published", action="store_true", help="leave the slow way out")
    args = parser.parse_args()

    device = resolve_device(args.device)
    if args.threads:
        torch.set_num_threads(args.threads)
    rng = np.random.default_rng(0)
    shape = (args.crops, args.channels, args.patch_size, args.patch_size)
    crops = CropsInMemory(rng.integers(0, 65536, size=shape, dtype=np.uint16))
    started = time.process_time()
    limits = crop_limits(crops, device)
    once = args.crops / (time.process_time() - started)
    bfloat16 = uses_bfloat16(device, args.precision)
    inputs = InputPath(crops, limits, args.image_size, device, bfloat16=bfloat16)
    numbers = np.arange(args.crops)
    trainer = Trainer(args.architecture, inputs, args.compile)
    (cached,) = (crops for _, crops in inputs.batches(numbers[: args.batch_size], args.batch_size))
    sizes = [len(part) for part in batches(numbers, args.batch_size)]

    def feed() -> None:
        for _ in inputs.batches(numbers, args.batch_size, torch.Generator().manual_seed(0)):
            pass

    def learn_cached() -> None:
        for size in sizes:
            trainer.step(cached[:size])

    def learn() -> None:
        generator = torch.Generator().manual_seed(0)
        for _, batch in inputs.batches(numbers, args.batch_size, generator):
            trainer.step(batch)

    def predict() -> None:
        predict_logits(trainer.network, inputs, numbers)

    work = {"input": feed, "network": learn_cached, "both": learn, "predict": predict}
    for warm in work.values():
        warm()
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    print(
        f"{name}, {torch.get_num_threads()} thread(s), torch {torch.__version__}, "
        f"{precision_name(bfloat16)}"
    )
    print(f"{args.architecture}, {args.image_size} px, batch {args.batch_size}, crops {shape}")
    print(f"limits, once per training: {once:,.0f} crops/s")
    rates = crops_per_second(work, args.crops, device, args.repeats)
    for name, rate in rates.items():
        print(f"{name}: {rate:,.0f} crops/s")
    print(f"input / network: {rates['input'] / rates['network']:.1f} (asked: at least 5)")
    print(f"epoch / cached batch: {rates['network'] / rates['both']:.3f} (asked: at most 1.15)")
    if not args.no_published:
        few = crops.array[:100]
        slow = crops_per_second(
            {"published": lambda: published(few, args.image_size)}, len(few), "cpu", 1
        )
        print(f"published way, one core: {slow['published']:,.0f} crops/s")


if __name__ == "__main__":
    main()
