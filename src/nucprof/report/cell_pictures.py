"""Pictures of single cells for pages: all channels of all rounds, and the cell's outline.

A cell's picture is one grey JPEG, a tile per channel below each other and the cell's mask last. The
page makes composites and outlines of it, so that channels can be hidden and brightened there.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from nucprof.config import Project
from nucprof.config.by_mode import CropKind, crop_kind
from nucprof.core.crops import box_start, extract_crops
from nucprof.core.labels import ObjectIndex
from nucprof.errors import UserError
from nucprof.io.formats.imagej import channel_colours
from nucprof.io.images import read_image, read_labels
from nucprof.io.results import Results
from nucprof.io.tables import read_table
from nucprof.learn.cnn.crop_data import map_stack
from nucprof.learn.cnn.crop_table import INDEX
from nucprof.plate.columns import CELL, PLATE
from nucprof.plate.keys import CP_ROUND, parse_cell_key

#: Percentiles of a plate's crops that are black and white.
LIMITS = (1.0, 99.8)
QUALITY = 85
#: Pure blue is too dark to see.
_BLUE = "#4d79ff"


@dataclass(frozen=True)
class Channel:
    """A channel on a page: its name, round and colour (``#rrggbb``), and if it is the nuclei's."""

    name: str
    round: str
    colour: str
    nuclear: bool = False


@dataclass(frozen=True)
class CellFiles:
    """Where the pixels of a project's cells are.

    Attributes
    ----------
    crops : CropKind
        Region, size and channels of the crops.
    rounds : dict
        Ground-truth round -> its channels that are shown, by their position in the image.
    mask_kind : str
        ``nuclei`` or ``cells``: what is outlined.
    aligned : bool
        Whether masks are those after alignment.
    nuclei : str
        The nuclear channel.
    """

    results: Results
    crops: CropKind
    rounds: dict[str, dict[str, int]]
    mask_kind: str
    aligned: bool
    nuclei: str

    @classmethod
    def of(cls, project: Project) -> CellFiles:
        """The files of a project; the nuclear stain is shown once."""
        kind = crop_kind(project)
        rounds = {
            name: {
                channel: place
                for place, channel in enumerate(project.round_channels(name))
                if channel != project.channels.nuclei
            }
            for name in project.rounds
        }
        return cls(
            results=Results(project.project.output),
            crops=kind,
            rounds=rounds,
            mask_kind="cells" if kind.region == "cell" else "nuclei",
            aligned=project.has_ground_truth,
            nuclei=project.channels.nuclei,
        )

    @property
    def channels(self) -> list[Channel]:
        """The channels of a picture, in its order."""
        found = []
        for of, names in ((CP_ROUND, self.crops.channels), *self.rounds.items()):
            # colours start anew in every round: markers are told apart best
            for name, (red, green, blue) in zip(names, channel_colours(list(names)), strict=True):
                pure = f"#{255 * red:02x}{255 * green:02x}{255 * blue:02x}"
                colour = _BLUE if (red, green, blue) == (0, 0, 1) else pure
                found.append(Channel(name, of, colour, of == CP_ROUND and name == self.nuclei))
        return found

    def index(self) -> pd.DataFrame:
        """Which crop is which cell's; raises :class:`UserError` before ``crop`` has run."""
        if not self.index_file.is_file():
            raise UserError(f"there are no crops ({self.index_file}); run: nucprof crop PROJECT")
        return read_table(self.index_file)

    @property
    def index_file(self) -> Path:
        """The file of :meth:`index`."""
        return self._folder / INDEX

    @property
    def _folder(self) -> Path:
        return self.results.crops(self.crops.region, self.crops.patch_size)

    def stack(self, plate: str, name: str) -> Path:
        """The crops of a field."""
        return self._folder / plate / f"{name}.tif"

    def _mask(self, plate: str, name: str) -> Path:
        folder = self.results.aligned_mask if self.aligned else self.results.mask
        return folder(plate, self.mask_kind, name)


@dataclass(frozen=True)
class Pixels:
    """The pixels of a cell: planes ``(C, S, S)``, mask ``(S, S)`` bool, centre ``(y, x)`` px.

    Planes are 0 where the crop reaches beyond the image.
    """

    plate: str
    key: str
    planes: np.ndarray
    mask: np.ndarray
    centre: tuple[float, float] = field(default=(0.0, 0.0))


def read_pixels(files: CellFiles, cells: pd.DataFrame) -> list[Pixels]:
    """Read the pixels of cells, in their order; every field is opened once.

    Parameters
    ----------
    files
        Where the pixels are.
    cells
        `Metadata_Plate`, `Metadata_ROI_img_name`.

    Raises
    ------
    UserError
        A cell has no crop.
    """
    index = files.index().set_index([PLATE, CELL])["row"]
    wanted = list(cells[[PLATE, CELL]].itertuples(index=False, name=None))
    missing = [key for key in wanted if key not in index.index]
    if missing:
        raise UserError(
            f"cell {missing[0][1]} of plate {missing[0][0]} has no crop; run: nucprof crop PROJECT"
        )
    fields: dict[tuple[str, str], list[str]] = {}
    for plate, key in wanted:
        fields.setdefault((plate, str(parse_cell_key(key)[0])), []).append(key)
    found = {
        (cell.plate, cell.key): cell
        for (plate, name), keys in fields.items()
        for cell in _read_field(files, plate, name, keys, index.loc[[(plate, k) for k in keys]])
    }
    return [found[key] for key in wanted]


def _read_field(
    files: CellFiles, plate: str, name: str, keys: list[str], rows: pd.Series
) -> Iterator[Pixels]:
    size = files.crops.patch_size
    stack = map_stack(files.stack(plate, name))
    planes = [np.array(stack[rows.to_numpy()])]
    del stack
    labels = read_labels(files._mask(plate, name))
    objects = ObjectIndex.of(labels)
    ids = np.array([parse_cell_key(key)[1] for key in keys])
    centres = objects.centroids[np.searchsorted(objects.ids, ids)]
    for of, channels in files.rounds.items():
        path = files.results.aligned_image(plate, of, name)
        # A plate need not have every round.
        image = (
            read_image(path)[list(channels.values())]
            if path.is_file()
            else np.zeros((len(channels), *labels.shape), np.uint8)
        )
        planes.append(extract_crops(image, None, ids, centres, size, masked=False)[0])
    masks = extract_crops(labels[None], None, ids, centres, size, masked=False)[0][:, 0]
    real = _within(box_start(centres, size), size, labels.shape)
    inside = real & (masks == ids[:, None, None])
    joined = np.concatenate([part.astype(np.float32) for part in planes], axis=1)
    joined *= real[:, None]  # a crop repeats the image's edge, which would look like structure
    for key, own, mask, centre in zip(keys, joined, inside, centres, strict=True):
        yield Pixels(plate, key, own, mask, (float(centre[0]), float(centre[1])))


def _within(starts: np.ndarray, size: int, shape: Sequence[int]) -> np.ndarray:
    """Which pixels of crops lie in an image of this shape, ``(N, size, size)`` bool."""
    rows, columns = starts[:, :1] + np.arange(size), starts[:, 1:] + np.arange(size)
    real_y, real_x = (rows >= 0) & (rows < shape[0]), (columns >= 0) & (columns < shape[1])
    return np.asarray(real_y[:, :, None] & real_x[:, None, :])


def encode(cells: Sequence[Pixels]) -> list[bytes]:
    """One JPEG per cell, ``S`` wide and ``(C + 1) S`` high.

    Each channel is scaled by the same limits for all cells of a plate, so that cells can be
    compared. Pixels outside a masked crop do not count.
    """
    limits: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for plate in dict.fromkeys(cell.plate for cell in cells):
        planes = np.stack([cell.planes for cell in cells if cell.plate == plate])
        real = [own[own != 0] for own in planes.swapaxes(0, 1)]
        pairs = [np.percentile(own, LIMITS) if len(own) else (0.0, 1.0) for own in real]
        low, high = np.array(pairs, dtype=float).T
        limits[plate] = low[:, None, None], np.maximum(high - low, 1e-6)[:, None, None]
    return [_jpeg(cell, *limits[cell.plate]) for cell in cells]


def _jpeg(cell: Pixels, low: np.ndarray, span: np.ndarray) -> bytes:
    grey = np.clip((cell.planes - low) / span, 0, 1)
    tiles = [*(255 * grey).round().astype(np.uint8), 255 * cell.mask.astype(np.uint8)]
    target = io.BytesIO()
    Image.fromarray(np.concatenate(tiles)).save(target, "JPEG", quality=QUALITY)
    return target.getvalue()
