"""The pictures that the Grad-CAM stage draws of single cells and of class means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nucprof.figures import crops
from nucprof.figures.crops import Cell, composite
from nucprof.io.files import atomic

if TYPE_CHECKING:
    import pandas as pd

    from nucprof.config.models import GradcamSettings
    from nucprof.learn.cnn.inputs import InputPath
    from nucprof.learn.cnn.model import CnnModel


class Pictures:
    """The figures of one run.

    Parameters
    ----------
    folder, settings
        Where to save, and `[gradcam]`.
    model, inputs
        The network and its inputs, one per row of `tested`.
    tested
        The tested cells, with class, prediction and confidence.
    numbers
        `(n,)` sorted rows of `tested` that have maps.
    maps, nuclei
        `(n, S, S)` attention (0 everywhere: no evidence) and `(n, H, W)` nuclei of these.
    pixel_um
        Size of an image's pixel in µm, None where unknown.
    """

    def __init__(
        self, folder: Path, settings: GradcamSettings, model: CnnModel, inputs: InputPath,
        tested: pd.DataFrame, numbers: np.ndarray, maps: np.ndarray, nuclei: np.ndarray,
        pixel_um: float | None,
    ) -> None:  # fmt: skip
        self.folder, self.settings = folder, settings
        self.model, self.inputs, self.tested, self.numbers = model, inputs, tested, numbers
        self.maps, self.nuclei = maps, nuclei
        # The network's input is the crop resized.
        enlarged = model.image_size / model.crops.patch_size
        self.pixel_um = None if pixel_um is None else pixel_um / enlarged

    def draw(self, mapped: np.ndarray, shown: np.ndarray) -> None:
        """Draw the chosen cells (`shown`), the class means (`mapped`) and the galleries."""
        if len(shown):
            rows = np.searchsorted(self.numbers, shown)
            masks = np.stack([self._enlarged(self.nuclei[row]) for row in rows])
            with atomic(self.folder / "crops.png") as path:
                crops.attention_panels(
                    path, self._cells(shown), self.maps[rows], masks, self.model.crops.channels,
                    title=f"LayerCAM of {self.settings.choose} cells of unseen wells",
                    pixel_um=self.pixel_um,
                )  # fmt: skip
        else:
            self._galleries("crops.png", {}, f"No {self.settings.choose} cells to show")
        with atomic(self.folder / "mean.png") as path:
            crops.mean_maps(path, self._means(mapped), title="Mean attention by predicted class")
        truth, guess = self.tested["true_condition"], self.tested["predicted"]
        right = {
            name: np.flatnonzero((truth == name) & (guess == name)) for name in self.model.classes
        }
        wrong = {
            f"{a}\ncalled {b}": np.flatnonzero((truth == a) & (guess == b))
            for a in self.model.classes
            for b in self.model.classes
            if a != b
        }
        self._galleries("gallery.png", right, "Cells of unseen wells, rightly classified")
        self._galleries("mistakes.png", wrong, "Cells of unseen wells, misclassified")

    def _galleries(self, name: str, groups: dict[str, np.ndarray], title: str) -> None:

        some: dict[str, Sequence[Cell]] = {
            group: self._cells(rows[: self.settings.per_class])
            for group, rows in groups.items()
            if len(rows)
        }
        with atomic(self.folder / name) as path:
            crops.gallery(path, some, title=title, pixel_um=self.pixel_um)

    def _cells(self, numbers: np.ndarray) -> list[Cell]:

        pictures = self.inputs.prepare(numbers).cpu().numpy()
        cells = self.tested.iloc[numbers]
        return [
            Cell(picture, f"{row.ROI_img_name}\n{row.true_condition}\n"
                 f"{row.predicted} {row.confidence:.0%}")
            for picture, row in zip(pictures, cells.itertuples(), strict=True)
        ]  # fmt: skip

    def _means(self, mapped: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray, int]]:
        """Of the cells whose map shows any evidence."""
        guess = self.tested["predicted"].to_numpy()
        mapped = mapped[self.maps[self.numbers.searchsorted(mapped)].any(axis=(1, 2))]
        found = {}
        for name in self.model.classes:
            own = mapped[guess[mapped] == name]
            if len(own):
                rows = self.numbers.searchsorted(own)
                mean = self.inputs.prepare(own).mean(dim=0).cpu().numpy()
                found[name] = (self.maps[rows].mean(axis=0), composite(mean), len(own))
        return found

    def _enlarged(self, mask: np.ndarray) -> np.ndarray:
        from nucprof.learn.cnn.gradcam import resize_mask

        return resize_mask(mask, self.model.image_size)
