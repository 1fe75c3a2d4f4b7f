"""What this machine offers to this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util

from nucprof.errors import UserError


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_share() -> int:
    """Threads that this worker process may use: its share of the cores, 1 where nobody said."""
    return int(os.environ.get("OMP_NUM_THREADS", "1").split(",")[0])


@contextmanager
def one_order_of_sums() -> Iterator[None]:
    """Multiply matrices with one thread inside the block.

    Several threads add up in an order that depends on their number, so that results would differ
    in the last digits between machines, and between one worker and two.
    """
    # Loaded first: a library that is loaded inside the block would not be limited.
    import numpy  # noqa: F401
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


def available_memory() -> int:
    """Bytes of memory that could be taken now without swapping."""
    import psutil  # slow to import, and `nucprof --help` does not need it

    return int(psutil.virtual_memory().available)


def has_tensorflow() -> bool:
    """Whether TensorFlow is installed; without it, torch runs StarDist on the CPU too."""
    return util.find_spec("tensorflow") is not None


def resolve_device(setting: str) -> str:
    """Torch's name of the device that `execution.device` asks for.

    `auto` takes a GPU where there is one (CUDA, then Apple's), else the CPU.

    Raises
    ------
    UserError
        If the device asked for is not here, naming those that are.
    """
    import torch

    here = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    here += ["mps"] if torch.backends.mps.is_available() else []
    if setting == "auto":
        return here[0] if here else "cpu"
    wanted = "cuda:0" if setting == "cuda" else setting
    if wanted != "cpu" and wanted not in here:
        raise UserError(
            f"execution.device = {setting!r}: this machine offers {', '.join(['cpu', *here])}; "
            "use one of these, or auto"
        )
    return wanted


def multiplies_bfloat16() -> bool:
    """Whether this CPU multiplies matrices in bfloat16 (AMX): about twice as fast as in float32."""
    from llvmlite.binding import get_host_cpu_features

    return bool(get_host_cpu_features().get("amx-bf16", False))
