"""What the device offers, and networks applied on it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nucprof.learn.cnn.inputs import InputPath


def memory_format(device: str) -> Any:
    """Channels last on a GPU, whose convolutions are faster so."""
    return torch.channels_last if device.startswith("cuda") else torch.contiguous_format


def autocast(device: str) -> AbstractContextManager[Any]:
    """Mixed precision in bfloat16 where the device has it; elsewhere nothing changes."""
    if device.startswith("cuda") and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


def predict_logits(
    network: Callable[[Tensor], Tensor] | nn.Module,
    inputs: InputPath,
    numbers: np.ndarray,
    *,
    batch_size: int = 256,
) -> np.ndarray:
    """Logits `(n, K)` float32 of the crops with these numbers, unaugmented, in their order."""
    if isinstance(network, nn.Module):
        network.eval()
    found: list[np.ndarray] = []
    with torch.inference_mode(), autocast(inputs.device):
        for _, crops in inputs.batches(numbers, batch_size):
            ready = crops.contiguous(memory_format=memory_format(inputs.device))
            found.append(network(ready).float().cpu().numpy())
    return np.concatenate(found)
