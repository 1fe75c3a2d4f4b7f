"""Reading the results of a project: tables, masks and crops, without running anything."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucprof.config import Project, load_project
from nucprof.config.by_mode import CropKind, crop_kind
from nucprof.errors import ResultMissing, UserError
from nucprof.io.files import read_json
from nucprof.io.results import Results
from nucprof.plate.keys import CP_ROUND, FieldKey
from nucprof.project.notebook import project_html
from nucprof.run.owner import refuse_another
from nucprof.run.state import RunState

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from PIL.Image import Image


# Folders with figures; those of images and crops may hold very many files.
_DRAWN = ("segment", "align", "gate", "train", "embed", "gradcam", "predict", "report")


def open_project(path: str | Path) -> ProjectResults:
    """Open a project for reading.

    Parameters
    ----------
    path : str or Path
        The project file.

    Returns
    -------
    ProjectResults
        Its results. They are read from disk on request.

    Raises
    ------
    ProjectError
        The project file is missing or wrong.
    UserError
        The results in its output folder are those of another project.
    """
    opened = ProjectResults(load_project(Path(path), check_folders=False))
    refuse_another(opened.project, opened.files)
    return opened


@dataclass(frozen=True)
class ProjectResults:
    """The results of a project.

    Every method raises :class:`~nucprof.errors.UserError` if its result does not exist yet, or is
    not as its stage wrote it; the message names the command that makes it.

    Attributes
    ----------
    project : Project
        The project file, with its defaults.
    """

    project: Project

    @cached_property
    def files(self) -> Results:
        """The path of every result."""
        return Results(self.project.project.output)

    @property
    def cells(self) -> pd.DataFrame:
        """The ledger: one row per segmented cell, with its status, stage and reason."""
        return self._table(self.files.cells, "segment")

    @property
    def images(self) -> pd.DataFrame:
        """Which file and plane holds which channel of which field."""
        return self._table(self.files.images, "rename")

    @property
    def registration(self) -> pd.DataFrame:
        """Shift and score of every field and ground-truth round."""
        return self._table(self.files.registration, "align")

    @property
    def classes(self) -> pd.DataFrame:
        """The true class of every cell, from the gate."""
        return self._table(self.files.classes, "gate")

    @property
    def embeddings(self) -> pd.DataFrame:
        """Features of every cell as the network sees them, with the cell's metadata."""
        return self._table(self.files.folder("embed", "embeddings.parquet"), "embed")

    def features(self, round_name: str = CP_ROUND) -> pd.DataFrame:
        """The handcrafted features of a round: ``CP``, or the name of a ground-truth round."""
        known = [CP_ROUND, *self.project.rounds]
        if round_name not in known:
            raise UserError(f"There is no round '{round_name}'; rounds are {', '.join(known)}.")
        return self._table(self.files.features(round_name), "features")

    def mask(
        self, plate: str, field: str, kind: str | None = None, *, aligned: bool = True
    ) -> np.ndarray:
        """The label image of a field, ``(H, W)`` unsigned integer, 0 is background.

        Parameters
        ----------
        plate, field : str
            E.g. ``rep1`` and ``B-02-01``.
        kind : str, optional
            ``nuclei`` or ``cells``; default: the classified objects.
        aligned : bool
            Only the cells that are visible in every ground-truth round, if there are any rounds.
        """
        from nucprof.io.images import read_labels

        name, chosen = str(FieldKey.parse(field)), kind or self.project.mask_kind
        if aligned and self.project.has_ground_truth:
            return read_labels(self.require(self.files.aligned_mask(plate, chosen, name), "align"))
        return read_labels(self.require(self.files.mask(plate, chosen, name), "segment"))

    def image(
        self, plate: str, field: str, round_name: str = CP_ROUND, *, aligned: bool = True
    ) -> np.ndarray:
        """The channels of a field in the order of the project file, ``(C, H, W)``.

        Ground-truth rounds are read as aligned to the Cell Painting frame, or, if not ``aligned``,
        as they were imaged.
        """
        from nucprof.io.images import read_channels, read_image

        name = str(FieldKey.parse(field))
        if round_name != CP_ROUND and aligned:
            path = self.files.aligned_image(plate, round_name, name)
            return read_image(self.require(path, "align"))
        channels = self.project.round_channels(round_name)
        return read_channels(self._state.images.sources(plate, name, round_name, channels))

    def fields(self, round_name: str = CP_ROUND) -> list[tuple[str, str]]:
        """Plate and field of every field imaged in a round."""
        return self._state.images.fields(round_name)

    @cached_property
    def crop_kind(self) -> CropKind:
        """Region, size and channels of the crops."""
        return crop_kind(self.project)

    @cached_property
    def pixel_size_um(self) -> float | None:
        """Side of a Cell Painting pixel in µm; None if the files do not give one size."""
        from nucprof.raw.index import pixel_size_of

        return pixel_size_of(self.images)

    @cached_property
    def crop_index(self) -> pd.DataFrame:
        """Every crop: the key of its cell, its stack, and its row there."""
        kind = self.crop_kind
        folder = self.files.crops(kind.region, kind.patch_size)
        return self._table(folder / "index.parquet", "crop")

    def crops(self, plate: str, field: str) -> tuple[np.ndarray, list[str]]:
        """The crops of a field and the keys of their cells.

        Returns
        -------
        crops : (N, C, H, W)
            In the images' dtype, channels in the order of the project file.
        keys : list of str
            ``ROI_img_name`` of every crop.
        """
        import numpy as np

        from nucprof.io.stacks import read_stack

        kind, name = self.crop_kind, str(FieldKey.parse(field))
        folder = self.files.crops(kind.region, kind.patch_size)
        index = self.crop_index
        own = index[index["stack"] == f"{plate}/{name}.tif"].sort_values("row")
        if not len(own):
            size = kind.patch_size
            return np.empty((0, len(kind.channels), size, size)), []
        stack = self.require(folder / plate / f"{name}.tif", "crop")
        return read_stack(stack), own["Metadata_ROI_img_name"].tolist()

    def metrics(self, method: str, name: str = "default") -> dict[str, Any]:
        """Metrics of a classifier: ``method`` is ``rf`` or ``cnn``."""
        path = self.files.folder("train", method, name, "metrics.json")
        return dict(read_json(self.require(path, f"train {method}")))

    def predictions(self, method: str, name: str = "default") -> pd.DataFrame:
        """The predictions of a classifier for the cells of unseen wells."""
        path = self.files.folder("train", method, name, "predictions.csv")
        return self._table(path, f"train {method}")

    def composition(self, name: str = "default") -> pd.DataFrame:
        """The composition of every well, as ``predict`` estimated it."""
        return self._table(self.files.folder("predict", name, "composition.csv"), "predict")

    @property
    def figures(self) -> list[str]:
        """The name of every figure, e.g. ``gate/scatter.png``."""
        return list(self._figures)

    def figure(self, name: str) -> Image:
        """A figure as a picture, which a notebook displays.

        Parameters
        ----------
        name : str
            One of :attr:`figures`.
        """
        import PIL.Image

        path = self._figures.get(name)
        if path is None:
            near = difflib.get_close_matches(name, self.figures, n=1)
            hint = f"did you mean '{near[0]}'?" if near else "see figures for those that there are."
            raise UserError(f"There is no figure '{name}'; {hint}")
        with PIL.Image.open(path) as picture:
            picture.load()
            return picture

    @property
    def _figures(self) -> dict[str, Path]:
        root = self.files.root
        found = sorted(path for folder in _DRAWN for path in (root / folder).rglob("*.png"))
        return {path.relative_to(root).as_posix(): path for path in found}

    @cached_property
    def _state(self) -> RunState:
        return RunState(self.project)

    def require(self, path: Path, command: str) -> Path:
        """A result's path.

        Raises
        ------
        ResultMissing
            It does not exist; the message names its command.
        UserError
            It is not as its stage wrote it.
        """
        if not path.is_file():
            raise ResultMissing(f"There is no {path}; run: nucprof {command} PROJECT")
        self._state.refuse_altered(command.replace(" ", "-"), [path])
        return path

    def _table(self, path: Path, command: str) -> pd.DataFrame:
        from nucprof.io.tables import read_table

        return read_table(self.require(path, command))

    def _repr_html_(self) -> str:
        """Display in a notebook: the stages, their counts and the main figures."""
        name, stages = self.project.project.name, self._state.manifest.stages
        return project_html(name, self.files.root, stages, self._figures)
