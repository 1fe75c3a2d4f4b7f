"""OME-Zarr 0.5 plates: images, labels, and every round as an acquisition."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nucprof.errors import ResultMissing, UserError
from nucprof.io.formats.imagej import channel_colours
from nucprof.plate.keys import CP_ROUND, FieldKey
from nucprof.project.reader import ProjectResults

_VERSION = "0.5"
_SMALLEST_PX = 256  # longest side of the smallest level


def write(results: ProjectResults, folder: Path) -> list[str]:
    """Write ``<plate>.zarr`` for every plate.

    Ground-truth rounds are written as aligned, so all acquisitions of a field have one coordinate
    system. Labels (the cells that are left after ``align``) belong to the Cell Painting images.

    Raises :class:`UserError` if no image is listed, or a raw image is not there.
    """
    fields = results.fields()
    if not fields:
        raise UserError("No image has been listed yet; run: nucprof rename PROJECT")
    working = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(working, ignore_errors=True)
    lines = []
    for plate in dict.fromkeys(plate for plate, _ in fields):
        own = [FieldKey.parse(field) for name, field in fields if name == plate]
        labelled = _write_plate(results, working / f"{plate}.zarr", plate, own)
        lines.append(f"{plate}.zarr: {len(own)} fields, {labelled} of them with labels")
    if folder.exists():
        shutil.rmtree(folder)
    working.rename(folder)
    if results.pixel_size_um is None:
        lines.append("the images give no pixel size: coordinates are in pixels")
    return lines


def _write_plate(
    results: ProjectResults, store: Path, plate: str, fields: Sequence[FieldKey]
) -> int:
    """Write one plate; returns how many fields have labels."""
    from ngio import ImageInWellPath, create_empty_plate

    held = {
        (field, number): name
        for field in fields
        for number, name in enumerate([CP_ROUND, *results.project.rounds])
        if name == CP_ROUND or results.files.aligned_image(plate, name, str(field)).is_file()
    }
    images = [
        ImageInWellPath(
            row=field.row,
            column=f"{field.column:02d}",
            path=_path(field, number),
            acquisition_id=number,
            acquisition_name=name,
        )
        for (field, number), name in held.items()
    ]
    made = create_empty_plate(str(store), plate, images=images, ngff_version=_VERSION)
    labelled = 0
    for (field, number), name in held.items():
        place = made.get_image_store(field.row, f"{field.column:02d}", _path(field, number))
        image = results.image(plate, str(field), name)
        container = _write_image(
            place, image, results.project.round_channels(name), results.pixel_size_um
        )
        if number == 0:
            labelled += _write_labels(container, results, plate, str(field))
    if results.pixel_size_um is None:
        _drop_units(store)
    return labelled


def _drop_units(store: Path) -> None:
    """Remove the unit that ngio writes to every axis: a pixel is not a micrometre."""
    import zarr

    for file in sorted(store.rglob("zarr.json")):
        group = zarr.open(file.parent, mode="r+")
        ome = dict(group.attrs).get("ome", {})
        for multiscale in ome.get("multiscales", []):
            for axis in multiscale["axes"]:
                axis.pop("unit", None)
            group.attrs["ome"] = ome


def _path(field: FieldKey, acquisition: int) -> str:
    """Name of an image in its well; the format allows letters and digits only."""
    return f"{field.site}a{acquisition}"


def _write_image(
    place: Any, image: np.ndarray, channels: Sequence[str], pixel_size_um: float | None
) -> Any:
    from ngio import Channel, create_ome_zarr_from_array
    from ngio.ome_zarr_meta import ChannelVisualisation

    colours = channel_colours(channels)
    named = [  # ngio gives a channel without a colour one at random
        Channel(
            label=name,
            wavelength_id=name,
            channel_visualisation=ChannelVisualisation(
                color="".join(f"{255 * part:02X}" for part in colour)
            ),
        )
        for name, colour in zip(channels, colours, strict=True)
    ]
    levels = 1 + max(0, int(np.log2(max(image.shape[1:]) / _SMALLEST_PX)))
    return create_ome_zarr_from_array(
        place,
        image,
        pixelsize=pixel_size_um or 1.0,
        axes_names=("c", "y", "x"),
        channels_meta=named,
        levels=levels,
        ngff_version=_VERSION,
        overwrite=True,
        consolidation_mode="auto",
    )


def _write_labels(container: Any, results: ProjectResults, plate: str, field: str) -> bool:
    """Write nuclei, and cells in cell mode; returns whether there are any."""
    kinds = ["nuclei", "cells"] if results.project.mask_kind == "cells" else ["nuclei"]
    for kind in kinds:
        try:
            mask = results.mask(plate, field, kind)
        except ResultMissing:
            return False  # the field was left out
        label = container.derive_label(kind, dtype=str(mask.dtype))
        label.set_array(mask)
        label.consolidate(mode="auto")
    return True
