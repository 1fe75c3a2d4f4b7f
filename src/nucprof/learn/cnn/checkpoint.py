"""The state of a training run on disk, so that it can go on after a kill; no pickle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from nucprof.errors import ModelError
from nucprof.io.files import atomic


@dataclass
class Checkpoint:
    """Live and best weights, the optimizer's state, and the run's numbers."""

    network: dict[str, Tensor]
    best: dict[str, Tensor]
    optimizer: dict[str, Any]
    scalars: dict[str, Any]


def write_checkpoint(path: Path, state: Checkpoint, definition: str) -> None:
    """Write one safetensors file: tensors by name, all else as JSON in its header."""
    tensors = {f"network/{k}": v for k, v in state.network.items()}
    tensors |= {f"best/{k}": v for k, v in state.best.items()}
    steps: dict[str, dict[str, Any]] = {}
    for index, values in state.optimizer["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{index}/{name}"] = value.detach().cpu()
            else:
                steps.setdefault(str(index), {})[name] = value
    header = {
        "definition": definition,
        "scalars": state.scalars,
        "groups": state.optimizer["param_groups"],
        "steps": steps,
    }
    # Weights that share memory cannot be stored as such: each is made its own.
    own = {name: value.contiguous().clone() for name, value in tensors.items()}
    with atomic(path) as temporary:
        save_file(own, temporary, metadata={"nucprof": json.dumps(header)})


def read_checkpoint(path: Path, definition: str) -> Checkpoint | None:
    """The state, or None where there is none of this definition; a broken file is an error."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["nucprof"])
            if header["definition"] != definition:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise ModelError(f"the checkpoint {path} cannot be read ({error})") from error
    state: dict[int, dict[str, Any]] = {int(k): dict(v) for k, v in header["steps"].items()}
    for name, value in tensors.items():
        if name.startswith("optimizer/"):
            _, index, key = name.split("/", 2)
            state.setdefault(int(index), {})[key] = value
    groups = header["groups"]
    for group in groups:
        group["betas"] = tuple(group["betas"])
    return Checkpoint(
        _under("network/", tensors),
        _under("best/", tensors),
        {"state": state, "param_groups": groups},
        header["scalars"],
    )


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
