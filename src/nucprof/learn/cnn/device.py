"""What the device offers, and networks applied on it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nucprof.config.models import Precision
from nucprof.learn.cnn.inputs import InputPath
from nucprof.machine import multiplies_bfloat16


def uses_bfloat16(device: str, precision: Precision) -> bool:
    """Whether networks multiply in bfloat16 on this device; weights and losses stay float32.

    Parameters
    ----------
    device
        Torch's name of a device.
    precision
        ``auto``: where the device multiplies faster so (a recent NVIDIA GPU, a CPU with AMX).
        ``full``: never.
    """
    if precision == "full":
        return False
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    return device == "cpu" and multiplies_bfloat16()


def precision_name(bfloat16: bool) -> str:
    """The number format of the multiplications, as metrics and records name it."""
    return "bfloat16" if bfloat16 else "float32"


def memory_format(inputs: InputPath) -> Any:
    """Channels last on a GPU and in bfloat16, where convolutions are faster in this order."""
    if inputs.device.startswith("cuda") or inputs.bfloat16:
        return torch.channels_last
    return torch.contiguous_format


def autocast(inputs: InputPath) -> AbstractContextManager[Any]:
    """Mixed precision if the inputs are for a network in bfloat16; else nothing changes."""
    if inputs.bfloat16:
        return torch.autocast(torch.device(inputs.device).type, dtype=torch.bfloat16)
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
    with torch.inference_mode(), autocast(inputs):
        for _, crops in inputs.batches(numbers, batch_size):
            ready = crops.contiguous(memory_format=memory_format(inputs))
            found.append(network(ready).float().cpu().numpy())
    return np.concatenate(found)
