"""Which of the objects found in a field stay, and why the others leave."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nucprof.core.cells import match_cells
from nucprof.core.labels import ObjectIndex, keep_labels, touches_border

NONE = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of a field.

    Attributes
    ----------
    masks : dict of str to (H, W)
        Label image by kind (``nuclei``, in cell mode also ``cells``) of the objects that stay; a
        cell and its nucleus share the cell's label.
    ids : (N,) int64
        Every object found, those that leave included.
    dropped : dict of str to (K,) int64
        Labels that leave, by reason.
    """

    masks: dict[str, NDArray]
    ids: NDArray[np.int64]
    dropped: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Number of objects that stay."""
        return len(self.ids) - sum(len(gone) for gone in self.dropped.values())


def clean_nuclei(
    nuclei: NDArray, *, drop_border: bool, phantoms: NDArray[np.int64] = NONE
) -> Objects:
    """Take the nuclei of a field, without phantoms and without those at the border where asked.

    Parameters
    ----------
    nuclei : (H, W) integer
    drop_border : bool
        Whether objects that touch the image's border leave (``border``).
    phantoms : (K,) int64
        Labels of objects that do not stand out from their surroundings (``low_contrast``).
    """
    ids = ObjectIndex.of(nuclei).ids
    border = touches_border(nuclei) if drop_border else np.empty(0, dtype=np.int64)
    phantoms = np.setdiff1d(phantoms, border)
    kept = np.setdiff1d(ids, np.concatenate([border, phantoms])).tolist()
    return Objects(
        {"nuclei": keep_labels(nuclei, kept)}, ids, {"border": border, "low_contrast": phantoms}
    )


def clean_cells(
    cells: NDArray,
    nuclei: NDArray | None,
    nuclear_plane: NDArray,
    *,
    drop_border: bool,
    phantoms: NDArray[np.int64] = NONE,
) -> Objects:
    """Give every cell its nucleus, and take the cells that have one.

    Parameters
    ----------
    cells : (H, W) integer
    nuclei : (H, W) integer or None
        Their own labels; None: found in each cell by threshold.
    nuclear_plane : (H, W)
        The nuclear stain.
    drop_border : bool
        Whether cells that touch the image's border leave (``border``).
    phantoms : (K,) int64
        Labels, in `nuclei`, of objects that do not stand out from their surroundings; they leave
        before cells are given their nuclei.

    Returns
    -------
    Objects
        Cells leave with ``border``, ``no_nucleus``, or ``low_contrast`` where their own nucleus, of
        the same label, is a phantom. Nuclei without a cell (``no_cell``) are
        counted under labels that follow the last cell's: in no mask, they need one in the ledger.
    """
    found = ObjectIndex.of(cells).ids
    border = touches_border(cells) if drop_border else np.empty(0, dtype=np.int64)
    # Matched before the border is cleared: a nucleus of a cell at the border has a cell.
    real = nuclei
    if nuclei is not None and len(phantoms):
        real = keep_labels(nuclei, np.setdiff1d(ObjectIndex.of(nuclei).ids, phantoms).tolist())
    matched = match_cells(cells, real, nuclear_plane)
    lonely = np.setdiff1d(matched.without_nucleus, border)
    faint = np.intersect1d(lonely, phantoms)
    lonely = np.setdiff1d(lonely, faint)
    kept = np.setdiff1d(found, np.concatenate([border, lonely, faint])).tolist()
    last = int(found.max(initial=0))
    bare = last + 1 + np.arange(len(matched.without_cell), dtype=np.int64)
    return Objects(
        {"nuclei": keep_labels(matched.nuclei, kept), "cells": keep_labels(matched.cells, kept)},
        np.concatenate([found, bare]),
        {"border": border, "no_nucleus": lonely, "low_contrast": faint, "no_cell": bare},
    )
