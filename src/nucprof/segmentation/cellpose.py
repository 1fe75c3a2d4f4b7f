"""Cells or nuclei by Cellpose-SAM: a transformer predicts flows that lead each pixel to its cell.

The weights are always an existing file: for an unknown name, cellpose 4 loads its default model
instead and reports this only in its log. Nothing here uses the network.

Pachitariu, Rariden and Stringer, "Cellpose-SAM: superhuman generalization for cellular
segmentation" (2025).
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nucprof.core.normalize import percentile_normalize
from nucprof.errors import DataError, ModelError
from nucprof.machine import resolve_device

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

Labels = npt.NDArray[np.int32]


class CellposeBackend:
    """Segment with one Cellpose model.

    Parameters
    ----------
    model
        The file of the weights.
    diameter
        Typical diameter of an object in pixels: images are resized so that it becomes 30. None:
        images are not resized.
    flow_threshold
        Objects whose flows differ more than this from those of their mask are dropped; 0 keeps all.
    cellprob_threshold
        Pixels above it (a logit) belong to objects.
    pmin, pmax
        Percentiles of each plane that become 0 and 1.
    augment
        Average over overlapping, flipped tiles.
    batch_size
        Tiles per step, halved when the device runs out of memory.
    device
        ``auto``, or torch's name of a device.
    threads
        CPU threads; on a CPU the last digits of the flows may depend on it.

    Raises
    ------
    ModelError
        If the file is no Cellpose 4 model, or the library did not load exactly this file.
    UserError
        If the device is not there.
    """

    def __init__(
        self,
        model: Path,
        *,
        diameter: float | None = None,
        flow_threshold: float = 0.4,
        cellprob_threshold: float = 0.0,
        pmin: float = 1.0,
        pmax: float = 99.0,
        augment: bool = False,
        batch_size: int = 8,
        device: str = "auto",
        threads: int = 1,
    ) -> None:
        import torch

        torch.set_num_threads(threads)
        self.diameter, self.augment = diameter, augment
        self.flow_threshold, self.cellprob_threshold = flow_threshold, cellprob_threshold
        self.pmin, self.pmax = pmin, pmax
        self.batch_size = batch_size
        self.device = torch.device(resolve_device(device))
        self.network = _load(Path(model).resolve(), self.device)

    def segment(
        self, plane: npt.NDArray[np.generic], nuclei: npt.NDArray[np.generic] | None = None
    ) -> Labels:
        """Segment one field.

        Parameters
        ----------
        plane
            ``(H, W)`` of any real dtype: the cytoplasm, or the nuclei where these are segmented.
        nuclei
            ``(H, W)``: the nuclear plane, in addition to the cytoplasm.

        Returns
        -------
        ``(H, W)`` int32, 0 = background, objects 1..n; all 0 for a constant image.

        Raises
        ------
        DataError
            If the planes differ in shape.
        ModelError
            If the memory of the device does not hold a single tile.
        """
        planes = [plane] if nuclei is None else [plane, nuclei]
        if len({p.shape for p in planes}) != 1:
            raise DataError(f"the planes differ in shape: {[p.shape for p in planes]}")
        # As the library normalises, but that gives empty images for a few bright objects.
        unit = np.stack([percentile_normalize(p, self.pmin, self.pmax) for p in planes], axis=-1)
        if unit.size == 0 or not unit.any():
            return np.zeros(plane.shape, np.int32)
        masks = self._eval(unit)
        return np.asarray(masks, dtype=np.int32).reshape(plane.shape)

    def _eval(self, image: npt.NDArray[np.float32]) -> npt.NDArray[np.generic]:
        """Run the library on ``(H, W, C)``; fewer tiles a step when the device is out of memory."""
        import torch

        while True:
            try:
                # A plain False would become the library's default for all later calls.
                masks, _, _ = self.network.eval(
                    image,
                    channel_axis=-1,
                    normalize={"normalize": False},
                    diameter=self.diameter,
                    flow_threshold=self.flow_threshold,
                    cellprob_threshold=self.cellprob_threshold,
                    augment=self.augment,
                    batch_size=self.batch_size,
                )
                return np.asarray(masks)
            except RuntimeError as error:  # raised by torch, and by other devices
                if "out of memory" not in str(error).lower():
                    raise
                if self.batch_size <= 1:
                    raise ModelError(
                        f"out of memory on {self.device} with one tile a step already: free the "
                        'device, use fewer workers, or run on the CPU (execution.device = "cpu")'
                    ) from error
            self.batch_size //= 2
            log.warning("out of memory: continuing with batches of %d tiles", self.batch_size)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()


def _has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 natively."""
    import torch

    if device.type != "cuda":
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


def _load(file: Path, device: torch.device) -> Any:
    """Construct the library's model from a file, and make sure that it is that file's."""
    held = _read_names(file)
    from cellpose import models

    try:
        model = models.CellposeModel(
            pretrained_model=str(file), device=device, use_bfloat16=_has_bfloat16(device)
        )
    except NameError as error:  # the library imports its second backbone only where it is installed
        raise ModelError(
            f"{file} needs a backbone that is not installed ({error}); cellpose asks for: pip "
            "install git+https://github.com/facebookresearch/dinov3"
        ) from error
    except (ValueError, RuntimeError, KeyError, pickle.UnpicklingError) as error:
        raise ModelError(f"{file} is not a Cellpose 4 model: {error}") from error
    loaded = Path(str(model.pretrained_model)).resolve()
    if loaded != file:
        raise ModelError(
            f"cellpose loaded {loaded} in place of {file}; nucprof does not accept that"
        )
    # The library accepts a file that lacks weights, and leaves these random.
    absent = sorted(set(model.net.state_dict()) - held)
    if absent:
        raise ModelError(
            f"{file} is not a whole Cellpose 4 model: {len(absent)} weights are missing, "
            f"e.g. {absent[0]}"
        )
    return model


def _read_names(file: Path) -> set[str]:
    """Names of the weights in a file, read without the weights and without running code."""
    import torch

    hint = "give the file of a Cellpose 4 model, e.g. one from 'nucprof models fetch cpsam'"
    if not file.is_file():
        raise ModelError(f"there is no file {file}: {hint}")
    try:
        weights = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
    except (RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{file} is not a Cellpose 4 model ({reason}): {hint}") from error
    if not isinstance(weights, Mapping) or "W2" not in weights:
        raise ModelError(
            f"{file} is not a Cellpose 4 model (Cellpose 1 to 3 models do not run here): {hint}"
        )
    return set(weights)
