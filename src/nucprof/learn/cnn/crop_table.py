"""Which crop is which cell's: the index of the stacks, joined by key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nucprof.config import Project
from nucprof.config.by_mode import CropKind, crop_kind
from nucprof.config.models import Precision
from nucprof.errors import DataError, UserError
from nucprof.io.results import Results
from nucprof.learn.model_files import DESCRIPTION
from nucprof.learn.references import References, reference_cells

if TYPE_CHECKING:
    import pandas as pd

    from nucprof.learn.cnn.crop_data import Crops
    from nucprof.learn.cnn.inputs import InputPath
    from nucprof.learn.cnn.model import CnnModel
    from nucprof.learn.cnn.references import ReferenceCrops

INDEX = "index.parquet"


def crop_folder(project: Project, results: Results) -> Path:
    """The folder of the project's crops."""
    kind = crop_kind(project)
    return results.crops(kind.region, kind.patch_size)


def crop_files(project: Project, results: Results) -> tuple[Path, ...]:
    """The index and every stack that it names; the index alone where it does not exist yet."""
    from nucprof.io.tables import read_table

    folder = crop_folder(project, results)
    index = folder / INDEX
    try:
        stacks = read_table(index, ["stack"])["stack"].unique()
    except UserError:  # not there yet, or damaged: `crop` writes it before anything reads it
        return (index,)
    return (index, *(folder / name for name in sorted(stacks)))


def trained_network(results: Results, name: str) -> Path:
    """The folder of a trained network; raises :class:`UserError` where there is none."""
    folder = results.folder("train", "cnn", name)
    if not (folder / DESCRIPTION).is_file():
        named = "" if name == "default" else f" --name {name}"
        raise UserError(
            f"there is no trained network {folder}; run: nucprof train cnn PROJECT{named} "
            "(or nucprof run-all PROJECT)."
        )
    return folder


def open_cells_crops(
    cells: pd.DataFrame, index: Path, channels: list[int], *, masked: bool
) -> Crops:
    """Open the crops of these cells, crop i being row i's.

    Parameters
    ----------
    cells
        Any table with plate and cell key.
    index
        `index.parquet`; the stacks lie beside it.
    channels
        Channels by position, in the order wanted.
    masked
        The crops are 0 outside their cell.

    Raises
    ------
    DataError
        If a cell has no crop.
    """
    import numpy as np

    from nucprof.io.tables import read_table
    from nucprof.learn.cnn.crop_data import RealPixels, open_crops
    from nucprof.plate.columns import KEY, REAL_BOX

    table = read_table(index, [*KEY, "stack", "row", *REAL_BOX])
    found = cells[KEY].merge(table, on=KEY, how="left", validate="one_to_one")
    missing = found["stack"].isna()
    if missing.any():
        plate, cell = found.loc[missing, KEY].iloc[0]
        raise DataError(
            f"{int(missing.sum())} cells have no crop, e.g. {cell} of plate {plate}; "
            "run: nucprof crop PROJECT --force"
        )
    names, stack_of = np.unique(found["stack"].to_numpy(dtype=str), return_inverse=True)
    rows = found["row"].to_numpy(dtype=np.int64)
    real = RealPixels(found[REAL_BOX].to_numpy(dtype=np.int64), masked)
    paths = [index.parent / name for name in names]
    return open_crops(paths, stack_of, rows, channels, real=real)


def open_reference_crops(
    references: References | None, index: Path, channels: list[int], *, masked: bool
) -> ReferenceCrops | None:
    """Open crops of reference wells; None where none are asked for, or none is there.

    Parameters
    ----------
    references
        Says which wells are reference wells.
    index, channels, masked
        As for :func:`open_cells_crops`.
    """
    from nucprof.io.tables import read_table
    from nucprof.learn.cnn.references import ReferenceCrops, thinned
    from nucprof.plate.columns import KEY, WELL

    if references is None:
        return None
    cells = reference_cells(read_table(index, [*KEY, WELL]), references.wells)
    if not len(cells):
        return None
    chosen = thinned(cells)
    return ReferenceCrops(chosen, open_cells_crops(chosen, index, channels, masked=masked))


def network_inputs(
    model: CnnModel,
    cells: pd.DataFrame,
    index: Path,
    kind: CropKind,
    references: References | None,
    *,
    device: str,
    precision: Precision,
) -> InputPath:
    """A trained network's inputs of these cells, input i being row i's.

    Parameters
    ----------
    model
        The network.
    cells
        Any table with plate and cell key.
    index
        `index.parquet`; the stacks lie beside it.
    kind
        What the crops show.
    references
        Says which wells are reference wells; used by a network that is scaled by plate.
    device, precision
        `execution.device` and `execution.precision`.

    Raises
    ------
    DataError
        A cell has no crop, or a plate lacks the reference wells that the network needs.
    ModelError
        The network was trained on other crops.
    """
    from nucprof.learn.cnn.device import uses_bfloat16
    from nucprof.machine import resolve_device
    from nucprof.plate.columns import PLATE

    channels = model.check_fits(kind)
    crops = open_cells_crops(cells, index, channels, masked=kind.masked)
    wells = references if model.normalise == "plate" else None
    reference = open_reference_crops(wells, index, channels, masked=kind.masked)
    device = resolve_device(device)
    return model.inputs(
        crops,
        cells[PLATE].to_numpy(dtype=str),
        device,
        reference,
        bfloat16=uses_bfloat16(device, precision),
    )
