"""A field in napari: all rounds, masks, classes, attention, registration before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nucprof.errors import UserError
from nucprof.plate.keys import FieldKey, cell_key
from nucprof.project.reader import ProjectResults
from nucprof.project.view_layers import (
    LayerTuple,
    cell_layers,
    channel_layers,
    field_keys,
    mask_layers,
    registration_layers,
)


@dataclass(frozen=True)
class View:
    """What is opened.

    Attributes
    ----------
    title : str
    layers : list of tuple
        Napari's layer tuples, the lowest first.
    centre : tuple of float or None
        Where to look, ``(y, x)`` in the layers' units; None: the whole field.
    unit : str
        ``um``, or ``px`` where the pixel size is not known.
    """

    title: str
    layers: list[LayerTuple]
    centre: tuple[float, float] | None
    unit: str


def field_view(
    opened: ProjectResults, field: str, plate: str | None = None, cell: int | None = None
) -> View:
    """Everything that is known of a field, as layers.

    Parameters
    ----------
    opened : ProjectResults
    field : str
        E.g. ``B-02-01``.
    plate : str, optional
        Needed if several plates have that field.
    cell : int, optional
        Label of a cell to look at, with the attention of the trained network where there is one.

    Raises
    ------
    UserError
        There is no such field or cell, or no mask yet.
    """
    from nucprof.core.labels import ObjectIndex

    name = str(FieldKey.parse(field))
    plate = _plate(opened, name, plate)
    um = opened.pixel_size_um
    place = {"scale": (um or 1.0,) * 2, "units": ("um" if um else "pixel",) * 2}
    # A field whose registration failed can be looked at too.
    aligned = opened.files.aligned_mask(plate, opened.project.mask_kind, name).is_file()
    labels = opened.mask(plate, name, aligned=aligned)
    objects = ObjectIndex.of(labels)
    layers = [
        *channel_layers(opened, plate, name),
        *registration_layers(opened, plate, name),
        *mask_layers(opened, plate, name, labels),
    ]
    centre = None
    if cell is not None:
        if cell not in objects.ids:
            raise UserError(_why_not_there(opened, plate, name, cell))
        y, x = objects.centroids[list(objects.ids).index(cell)]
        layers += cell_layers(opened, plate, cell_key(name, cell), (y, x))
        centre = (y * (um or 1.0), x * (um or 1.0))
    placed = [
        (data, place | options | _in_units(options, um or 1.0), kind)
        for data, options, kind in layers
    ]
    unit = "um" if um else "px"
    return View(f"{opened.project.project.name}: {plate} {name}", placed, centre, unit)


def _in_units(options: dict[str, Any], um: float) -> dict[str, Any]:
    """Scale and shift of a layer, given in pixels of the field, in the layers' units."""
    return {
        key: tuple(um * value for value in options[key])
        for key in ("scale", "translate")
        if key in options
    }


def _plate(opened: ProjectResults, field: str, plate: str | None) -> str:
    images = opened.images
    keys = field_keys(images)
    holding = sorted(set(images["plate"][keys == field]))
    if plate is None and len(holding) == 1:
        return str(holding[0])
    if plate in holding:
        return str(plate)
    if not holding:
        raise UserError(f"no plate has a field {field}; fields are like {keys.iloc[0]}.")
    raise UserError(f"field {field} is on the plates {', '.join(holding)}: choose with --plate.")


def _why_not_there(opened: ProjectResults, plate: str, field: str, cell: int) -> str:
    ledger = opened.cells
    key = cell_key(field, cell)
    own = ledger[(ledger["Metadata_Plate"] == plate) & (ledger["Metadata_ROI_img_name"] == key)]
    if not len(own):
        return f"plate {plate} has no cell {key}."
    return f"cell {key} was dropped by {own['stage'].iloc[0]}: {own['reason'].iloc[0]}."


def show(view: View) -> Any:
    """Open the layers in a window of napari, and return when it is closed.

    Raises
    ------
    UserError
        Napari is not installed.
    """
    try:
        import napari
    except ImportError:
        raise UserError(
            'napari is not installed; run: pip install "nucprof[napari]" and try again.'
        ) from None
    viewer = napari.Viewer(title=view.title)
    fill(viewer, view)
    napari.run()
    return viewer


def fill(viewer: Any, view: View) -> None:
    """Add the layers to a viewer of napari, and look where the view says."""
    from napari.layers import Layer

    for data, options, kind in view.layers:
        viewer.add_layer(Layer.create(data, options, kind))
    viewer.scale_bar.visible = True
    viewer.title = view.title
    if view.centre is not None:
        viewer.camera.center = view.centre
        viewer.camera.zoom *= 4
