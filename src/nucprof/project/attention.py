"""Where the trained network looks in single cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nucprof.project.reader import ProjectResults

if TYPE_CHECKING:
    import numpy as np


def cell_attention(opened: ProjectResults, plate: str, key: str) -> np.ndarray | None:
    """The network's attention (LayerCAM) in a cell's crop, for the class that it predicts.

    Parameters
    ----------
    opened : ProjectResults
    plate, key : str
        The cell, e.g. ``rep1`` and ``B-02-01_0001``.

    Returns
    -------
    (S, S) float32 or None
        At least 0, over the whole crop, at the network's image size; 0 everywhere if nothing in the
        crop speaks for the class. None if no network has been trained.

    Raises
    ------
    DataError
        The cell has no crop.
    ModelError
        The network was trained on other crops.
    """
    from nucprof.learn.model_files import DESCRIPTION, scaled_by_plate

    project, files = opened.project, opened.files
    folder = files.folder("train", "cnn", project.gradcam.model)
    if not (folder / DESCRIPTION).is_file():
        return None
    import numpy as np
    import pandas as pd

    from nucprof.learn.cnn.crop_table import INDEX, crop_folder, network_inputs
    from nucprof.learn.cnn.gradcam import attention_maps
    from nucprof.learn.cnn.model import load_cnn
    from nucprof.learn.references import references_of
    from nucprof.plate.columns import KEY

    model = load_cnn(folder)
    inputs = network_inputs(
        model,
        pd.DataFrame([[plate, key]], columns=KEY),
        crop_folder(project, files) / INDEX,
        opened.crop_kind,
        references_of(project) if scaled_by_plate(folder) else None,
        device=project.execution.device,
        precision="full",
    )
    predicted = model.logits(inputs).argmax(axis=1)
    return np.asarray(attention_maps(model.network, inputs, np.array([0]), predicted)[0])
