"""Cells and their nuclei: which nucleus belongs to which cell, and what is cytoplasm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage.filters import threshold_otsu

from nucprof.errors import DataError, FieldError

#: A nucleus seen inside a cell by threshold must cover at least this share of the cell.
MIN_NUCLEUS_SHARE = 0.02
#: It must also rise this many robust deviations above the rest of the cell: noise, split at its own
#: mean, reaches 2.3.
MIN_NUCLEUS_CONTRAST = 3.0


@dataclass(frozen=True, eq=False)
class MatchedCells:
    """Cells with exactly one nucleus each, under the cell's label.

    Attributes
    ----------
    cells : (H, W), dtype of the cells
        Cells that have a nucleus; labels unchanged.
    nuclei : (H, W), same dtype
        The part of each cell's nucleus that lies inside the cell, under the cell's label.
    without_nucleus : (K,) int64
        Labels of cells without a nucleus (``no_nucleus``), ascending.
    without_cell : (M,) int64
        Labels of nuclei, as in the nuclei's own mask, without a cell (``no_cell``), ascending.
    nucleus_of : dict of int to int
        Cell label -> label of its nucleus in the nuclei's own mask; empty without that mask.
    """

    cells: NDArray
    nuclei: NDArray
    without_nucleus: NDArray[np.int64]
    without_cell: NDArray[np.int64]
    nucleus_of: dict[int, int]

    @property
    def cytoplasm(self) -> NDArray:
        """Cell minus nucleus, ``(H, W)``, under the cell's label."""
        return np.where(self.nuclei > 0, 0, self.cells).astype(self.cells.dtype)


def match_cells(
    cells: NDArray, nuclei: NDArray | None, nuclear_plane: NDArray | None = None
) -> MatchedCells:
    """Give every cell its nucleus.

    With a nuclei mask, a nucleus belongs to the cell that contains most of it, and a cell keeps the
    nucleus with most pixels inside it; its other nuclei are left over (``without_cell``). Without
    a nuclei mask, the nucleus is the largest connected part of the cell above Otsu's threshold,
    computed within the cell on the nuclear channel.

    Parameters
    ----------
    cells : (H, W) integer
        Gaps allowed.
    nuclei : (H, W) integer or None
        Labels independent of the cells' labels.
    nuclear_plane : (H, W) or None
        Nuclear stain; needed where `nuclei` is None.

    Raises
    ------
    FieldError
        The shapes differ.
    DataError
        Neither nuclei nor a nuclear plane are given.
    """
    if nuclei is None and nuclear_plane is None:
        raise DataError("cells need a nuclei mask or the nuclear channel to find their nuclei")
    other = nuclear_plane if nuclei is None else nuclei
    assert other is not None
    if cells.shape != other.shape:
        raise FieldError(
            f"the cell mask is {cells.shape}, its nuclei are {other.shape}: from different images"
        )
    nucleus_of: dict[int, int] = {}
    leftover = np.zeros(0, dtype=np.int64)
    if nuclei is None:
        inside = _nuclei_by_threshold(cells, other)
    else:
        inside, nucleus_of = _nuclei_by_overlap(cells, nuclei)
        leftover = np.setdiff1d(_ids(nuclei), list(nucleus_of.values()))
    present = _ids(inside)
    all_cells = _ids(cells)
    kept = np.isin(cells, present)
    return MatchedCells(
        cells=np.where(kept, cells, 0).astype(cells.dtype),
        nuclei=inside,
        without_nucleus=np.setdiff1d(all_cells, present),
        without_cell=leftover.astype(np.int64),
        nucleus_of=nucleus_of,
    )


def _ids(labels: NDArray) -> NDArray[np.int64]:
    ids = np.unique(labels)
    return ids[ids > 0].astype(np.int64)


def _nuclei_by_overlap(cells: NDArray, nuclei: NDArray) -> tuple[NDArray, dict[int, int]]:
    """Pair cells and nuclei one to one, by shared pixels."""
    both = (cells > 0) & (nuclei > 0)
    pairs, shared = np.unique(
        np.stack((cells[both].astype(np.int64), nuclei[both].astype(np.int64))),
        axis=1,
        return_counts=True,
    )
    # Most shared pixels first; ties go to the lower labels, so the result is unique.
    order = np.argsort(-shared, kind="stable")
    cell, nucleus = pairs[:, order]
    home = np.sort(np.unique(nucleus, return_index=True)[1])
    cell, nucleus = cell[home], nucleus[home]
    own = np.unique(cell, return_index=True)[1]
    nucleus_of = dict(zip(cell[own].tolist(), nucleus[own].tolist(), strict=True))

    names, position = np.unique(cells, return_inverse=True)
    wanted = np.array([nucleus_of.get(name, -1) for name in names.tolist()], dtype=np.int64)
    mine = wanted[position.reshape(cells.shape)] == nuclei
    return np.where(mine & both, cells, 0).astype(cells.dtype), nucleus_of


def _nuclei_by_threshold(cells: NDArray, plane: NDArray) -> NDArray:
    """Find in every cell the largest part above the cell's own Otsu threshold."""
    names, position = np.unique(cells, return_inverse=True)
    compact = position.reshape(cells.shape) + (1 if names.size and names[0] > 0 else 0)
    names = names[names > 0]
    smooth = ndi.gaussian_filter(plane.astype(np.float32), 1.0)
    inside = np.zeros_like(cells)
    for number, (name, box) in enumerate(
        zip(names, ndi.find_objects(compact), strict=True), start=1
    ):
        own = compact[box] == number
        cutoff = _nuclear_cutoff(smooth[box][own])
        if cutoff is None:
            continue
        parts, _ = ndi.label(own & (smooth[box] > cutoff))
        size = np.bincount(parts.ravel())
        size[0] = 0
        largest = int(size.argmax())
        if size[largest] >= MIN_NUCLEUS_SHARE * own.sum():
            inside[box][ndi.binary_fill_holes(parts == largest) & own] = name
    return inside


def _nuclear_cutoff(values: NDArray) -> float | None:
    """Otsu's threshold of the pixels of a cell; None if nothing stands out."""
    if values.min() == values.max():
        return None
    cutoff = float(threshold_otsu(values))
    low, high = values[values <= cutoff], values[values > cutoff]
    level = np.median(low)
    deviation = 1.4826 * np.median(np.abs(low - level))
    return cutoff if np.median(high) - level >= MIN_NUCLEUS_CONTRAST * deviation else None
