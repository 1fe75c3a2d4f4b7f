"""From crops on disk or in memory to batches on the device, without the network waiting."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from nucprof.learn.cnn.augment import Augmentation, from_numpy, network_input
from nucprof.learn.cnn.crop_data import Crops, CropsInMemory, batches
from nucprof.machine import cores

DEVICE_SHARE = 0.3
"""Share of the free memory of a GPU that the crops may take to live there."""


class InputPath:
    """Makes network inputs of chosen crops.

    Crops in memory that fit into a share of the GPU's free memory are put there once; otherwise the
    next batch is gathered and sent by a thread while the network works on this one.

    Parameters
    ----------
    crops
        The crops.
    limits
        `(N, C, 2)` float32, what becomes 0 and 1 in each crop and channel.
    size
        Side of the network's input in pixels.
    device
        Torch's name of a device.
    bfloat16
        Whether the network that gets them multiplies in bfloat16; the inputs are float32.

    Notes
    -----
    On a CPU, torch is set to one thread per core (:func:`~nucprof.machine.cores`), whatever
    ``OMP_NUM_THREADS`` says. Its sums depend on the number of threads, so that weights,
    probabilities and embeddings would differ between two runs on the same machine.
    """

    def __init__(
        self, crops: Crops, limits: np.ndarray, size: int, device: str, *, bfloat16: bool = False
    ) -> None:
        if device == "cpu":
            torch.set_num_threads(cores())
        self.crops, self.size, self.device, self.bfloat16 = crops, size, device, bfloat16
        self.limits = torch.from_numpy(np.ascontiguousarray(limits)).to(device)
        self._resident = _resident(crops, device)

    def prepare(self, numbers: np.ndarray, augmentation: Augmentation | None = None) -> Tensor:
        """Network inputs of the crops with these numbers, `(n, C, size, size)` on the device."""
        return self._finish(numbers, self._fetch(numbers), augmentation)

    def batches(
        self, numbers: np.ndarray, batch_size: int, generator: torch.Generator | None = None
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Batches of inputs in the given order, augmented where a generator is given."""
        parts = list(batches(numbers, batch_size))
        channels = self.crops.shape[1]
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self._fetch, parts[0]) if parts else None
            for number, part in enumerate(parts):
                assert waiting is not None
                raw = waiting.result()
                if number + 1 < len(parts):
                    waiting = pool.submit(self._fetch, parts[number + 1])
                drawn = (
                    None if generator is None else Augmentation.draw(len(part), channels, generator)
                )
                yield part, self._finish(part, raw, drawn)

    def _fetch(self, numbers: np.ndarray) -> Tensor:
        if self._resident is not None:
            return self._resident[torch.from_numpy(numbers).to(self.device)]
        raw = from_numpy(self.crops.rows(numbers))
        if self.device.startswith("cuda"):
            return raw.pin_memory().to(self.device, non_blocking=True)
        return raw.to(self.device)

    def _finish(
        self, numbers: np.ndarray, raw: Tensor, augmentation: Augmentation | None
    ) -> Tensor:
        limits = self.limits[torch.from_numpy(numbers).to(self.device)]
        return network_input(raw, limits, self.size, augmentation)


def _resident(crops: Crops, device: str) -> Tensor | None:
    if not (device.startswith("cuda") and isinstance(crops, CropsInMemory)):
        return None
    free, _ = torch.cuda.mem_get_info(device)
    if crops.array.nbytes > DEVICE_SHARE * free:
        return None
    return from_numpy(crops.array).to(device)
