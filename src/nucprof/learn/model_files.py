"""Which files make up a trained model; importing this costs nothing."""

from __future__ import annotations

from pathlib import Path

from nucprof.errors import ModelError
from nucprof.io.files import read_json

FOREST = "model.skops"
DESCRIPTION, WEIGHTS = "model.json", "model.safetensors"


def scaled_by_plate(folder: Path) -> bool:
    """Whether a network scales crops by the reference wells of their plate."""
    path = folder / DESCRIPTION
    return path.is_file() and read_json(path).get("normalise") == "plate"


def model_files(folder: Path) -> tuple[Path, ...]:
    """The files of the model in a folder.

    Raises
    ------
    ModelError
        If the folder holds no model.
    """
    if (folder / FOREST).is_file():
        return (folder / FOREST,)
    if (folder / DESCRIPTION).is_file():
        return (folder / DESCRIPTION, folder / WEIGHTS)
    raise ModelError(
        f"predict.model: there is no trained model in {folder}; it is a folder that "
        "`nucprof train rf` or `nucprof train cnn` wrote, e.g. results/train/cnn/default"
    )


def predictions_file(folder: Path) -> Path | None:
    """The predictions of the model's evaluation, None where the model came without them."""
    path = folder / "predictions.csv"
    return path if path.is_file() else None


def is_forest(folder: Path) -> bool:
    """Whether a folder holds a forest."""
    return (folder / FOREST).is_file()
