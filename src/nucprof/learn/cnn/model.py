"""The network as files: safetensors weights and a JSON that says what they are for; no pickle."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nucprof.config.by_mode import CropKind
from nucprof.errors import ModelError
from nucprof.io.files import atomic, read_json, write_json
from nucprof.learn.calibrate import calibrated
from nucprof.learn.cnn.augment import Normalise, crop_limits
from nucprof.learn.cnn.crop_data import Crops
from nucprof.learn.cnn.device import autocast, memory_format, predict_logits
from nucprof.learn.cnn.inputs import InputPath
from nucprof.learn.cnn.network import build_network, head_of
from nucprof.learn.cnn.references import ReferenceCrops, reference_limits
from nucprof.learn.expectations import Expectations
from nucprof.learn.model_files import DESCRIPTION, WEIGHTS
from nucprof.learn.model_schema import NetworkFile, described

SCHEMA = 2
"""2: real pixels alone give the percentiles, of reference wells where they are a plate's."""


@dataclass
class CnnModel:
    """A trained network and all that is needed to apply it to new crops."""

    network: nn.Module
    architecture: str
    classes: list[str]
    crops: CropKind
    image_size: int
    normalise: Normalise
    temperature: float
    prior: np.ndarray
    """Shares `(K,)` of the classes at which the calibrated probabilities hold."""
    cultures: list[str] = field(default_factory=list)
    """Cultures of the reference wells that limits of plates come from; empty for those of crops."""
    metadata: dict[str, Any] = field(default_factory=dict)
    expects: Expectations | None = None
    """The images it was trained on; None for a model of an earlier version."""

    def check_fits(self, crops: CropKind) -> list[int]:
        """Where the model's channels are among the crops' channels.

        Raises
        ------
        ModelError
            Naming what differs: a missing channel, the region, the size, the masking.
        """
        missing = [name for name in self.crops.channels if name not in crops.channels]
        if missing:
            raise ModelError(
                f"the model was trained on the channel(s) {', '.join(self.crops.channels)}; these "
                f"crops have {', '.join(crops.channels)}: {', '.join(missing)} is missing"
            )
        for key in ("region", "patch_size", "masked"):
            wanted, found = getattr(self.crops, key), getattr(crops, key)
            if wanted != found:
                raise ModelError(
                    f"the model was trained on crops of {key} {wanted}, these are of {found}; "
                    f"set crop.{key} to {json.dumps(wanted)} and run `nucprof crop`"
                )
        return [crops.channels.index(name) for name in self.crops.channels]

    def inputs(
        self,
        crops: Crops,
        plates: np.ndarray,
        device: str,
        reference: ReferenceCrops | None = None,
        *,
        bfloat16: bool = False,
    ) -> InputPath:
        """Network inputs of crops `(N, C, H, W)` whose channels are the model's, in its order.

        Parameters
        ----------
        crops
            The cells' crops.
        plates
            `(N,)` their plates.
        device
            Torch's name of a device.
        reference
            Crops of reference wells, by which a network with plate-wide normalisation is scaled.
        bfloat16
            Whether the network multiplies in bfloat16.

        Raises
        ------
        DataError
            If plates have no reference wells of the cultures that the model was scaled by.
        """
        if self.normalise == "crop":
            limits = crop_limits(crops, device)
        else:
            limits, _ = reference_limits(reference, plates, self.cultures)
        return InputPath(crops, limits, self.image_size, device, bfloat16=bfloat16)

    def probabilities(self, inputs: InputPath) -> np.ndarray:
        """Calibrated class probabilities `(N, K)` of all crops."""
        return calibrated(self.logits(inputs), self.temperature)

    def calibrate_evaluation(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated, of the probabilities that `predictions.csv` holds: they are so already."""
        return probabilities

    def logits(self, inputs: InputPath, *, batch_size: int = 256) -> np.ndarray:
        """Logits `(N, K)` of all crops."""
        self.network.to(inputs.device).to(memory_format=memory_format(inputs))
        everything = np.arange(inputs.crops.shape[0])
        return predict_logits(self.network, inputs, everything, batch_size=batch_size)

    def embed(self, inputs: InputPath, *, batch_size: int = 256) -> np.ndarray:
        """Features of all crops, `(N, D)` float32: what goes into the last linear layer."""
        self.network.to(inputs.device).to(memory_format=memory_format(inputs)).eval()
        caught: list[np.ndarray] = []

        def catch(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            caught.append(given[0].detach().float().cpu().numpy())

        hook = head_of(self.network).register_forward_pre_hook(catch)
        try:
            with torch.inference_mode(), autocast(inputs):
                for _, crops in inputs.batches(np.arange(inputs.crops.shape[0]), batch_size):
                    self.network(crops.contiguous(memory_format=memory_format(inputs)))
        finally:
            hook.remove()
        return np.concatenate(caught)

    def save(self, folder: Path) -> list[Path]:
        """Write `model.safetensors` and `model.json`; the latter names the former by its hash."""
        weights, description = folder / WEIGHTS, folder / DESCRIPTION
        tensors = {
            name: value.detach().cpu().contiguous().clone()
            for name, value in self.network.state_dict().items()
        }
        with atomic(weights) as temporary:
            save_file(tensors, temporary)
        about = {
            "schema": SCHEMA,
            "kind": "cnn",
            "architecture": self.architecture,
            "classes": self.classes,
            "crops": asdict(self.crops),
            "image_size": self.image_size,
            "normalise": self.normalise,
            "temperature": self.temperature,
            "prior": self.prior.tolist(),
            "cultures": self.cultures,
            "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
            "metadata": self.metadata,
            "expects": self.expects.model_dump(mode="json") if self.expects else None,
        }
        write_json(description, about)
        return [weights, description]


def load_cnn(folder: Path) -> CnnModel:
    """Read a network written by :meth:`CnnModel.save`, onto the CPU.

    Raises
    ------
    ModelError
        If files are missing, broken, or do not belong together.
    """
    weights, description = folder / WEIGHTS, folder / DESCRIPTION
    for path in (weights, description):
        if not path.is_file():
            raise ModelError(f"there is no {path}; train a network with `nucprof train cnn`")
    about = read_json(description)
    if not isinstance(about, dict) or about.get("schema") != SCHEMA:
        raise ModelError(
            f"{description} is no network of nucprof's (schema {SCHEMA}); train it again with "
            "`nucprof train cnn`"
        )
    held = described(description, about, NetworkFile)
    if hashlib.sha256(weights.read_bytes()).hexdigest() != held.weights_sha256:
        raise ModelError(f"{weights} and {description} do not belong together; train again")
    crops = held.crops
    model = CnnModel(
        build_network(held.architecture, len(crops.channels), len(held.classes)),
        held.architecture,
        held.classes,
        CropKind(tuple(crops.channels), crops.region, crops.patch_size, crops.masked),
        held.image_size,
        "plate" if held.normalise == "plate" else "crop",
        held.temperature,
        np.asarray(held.prior),
        held.cultures,
        held.metadata,
        held.expects,
    )
    try:
        model.network.load_state_dict(load_file(weights))
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder} holds no complete network ({error}); train again") from error
    for name, value in model.network.state_dict().items():
        if not torch.isfinite(value).all():
            raise ModelError(f"{weights}: {name} has values that are not finite; train again")
    model.network.eval()
    return model
