"""Pictures of the Grad-CAM stage: single cells and class means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nucprof.core.crops import resize_mask
from nucprof.figures import crops
from nucprof.figures.crops import Cell, composite
from nucprof.io.files import atomic

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The figures of one run.

    Parameters
    ----------
    folder
        Where to save.
    choose, per_class
        Which cells are shown, and how many of each class.
    classes, channels
        Of the network.
    enlarged
        Side of the network's input by the side of a crop.
    prepare
        Network inputs `(n, C, S, S)` of rows of `tested`.
    tested
        The tested cells, with class, prediction and confidence.
    numbers
        `(n,)` sorted rows of `tested` that have maps.
    maps, nuclei
        `(n, S, S)` attention (0 everywhere: no evidence) and `(n, H, W)` nuclei of these.
    pixel_um
        Size of an image's pixel in µm, None where unknown.
    """

    folder: Path
    choose: str
    per_class: int
    classes: Sequence[str]
    channels: Sequence[str]
    enlarged: float
    prepare: Callable[[np.ndarray], np.ndarray]
    tested: pd.DataFrame
    numbers: np.ndarray
    maps: np.ndarray
    nuclei: np.ndarray
    pixel_um: float | None

    @property
    def _input_pixel_um(self) -> float | None:
        return None if self.pixel_um is None else self.pixel_um / self.enlarged

    def draw(self, mapped: np.ndarray, shown: np.ndarray) -> None:
        """Draw the chosen cells (`shown`), the class means (`mapped`) and the galleries."""
        if len(shown):
            rows = np.searchsorted(self.numbers, shown)
            masks = np.stack([self._enlarged(self.nuclei[row]) for row in rows])
            with atomic(self.folder / "crops.png") as path:
                crops.attention_panels(
                    path, self._cells(shown), self.maps[rows], masks, self.channels,
                    title=f"LayerCAM of {self.choose} cells of unseen wells",
                    pixel_um=self._input_pixel_um,
                )  # fmt: skip
        else:
            self._galleries("crops.png", {}, f"No {self.choose} cells to show")
        with atomic(self.folder / "mean.png") as path:
            crops.mean_maps(path, self._means(mapped), title="Mean attention by predicted class")
        truth, guess = self.tested["true_condition"], self.tested["predicted"]
        right = {name: np.flatnonzero((truth == name) & (guess == name)) for name in self.classes}
        wrong = {
            f"{a}\ncalled {b}": np.flatnonzero((truth == a) & (guess == b))
            for a in self.classes
            for b in self.classes
            if a != b
        }
        self._galleries("gallery.png", right, "Cells of unseen wells, rightly classified")
        self._galleries("mistakes.png", wrong, "Cells of unseen wells, misclassified")

    def _galleries(self, name: str, groups: dict[str, np.ndarray], title: str) -> None:
        some: dict[str, Sequence[Cell]] = {
            group: self._cells(rows[: self.per_class])
            for group, rows in groups.items()
            if len(rows)
        }
        with atomic(self.folder / name) as path:
            crops.gallery(path, some, title=title, pixel_um=self._input_pixel_um)

    def _cells(self, numbers: np.ndarray) -> list[Cell]:
        pictures = self.prepare(numbers)
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
        for name in self.classes:
            own = mapped[guess[mapped] == name]
            if len(own):
                rows = self.numbers.searchsorted(own)
                mean = self.prepare(own).mean(axis=0)
                found[name] = (self.maps[rows].mean(axis=0), composite(mean), len(own))
        return found

    def _enlarged(self, mask: np.ndarray) -> np.ndarray:
        return resize_mask(mask, self.maps.shape[-1])
