"""A field in napari: all rounds, masks, classes, attention, and the registration before and after.

:func:`field_layers` returns napari's layer tuples ``(data, options, type)``, made without napari.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nucprof.errors import UserError
from nucprof.plate.keys import CP_ROUND, FieldKey, cell_key
from nucprof.project.attention import cell_attention
from nucprof.project.reader import ProjectResults

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

LayerTuple = tuple[Any, dict[str, Any], str]
#: Percentiles of a channel that are black and white.
LIMITS = (1.0, 99.8)


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
    labels = opened.mask(plate, name)
    objects = ObjectIndex.of(labels)
    layers = [
        *_channel_layers(opened, plate, name),
        *_registration_layers(opened, plate, name),
        *_mask_layers(opened, plate, name, labels),
    ]
    centre = None
    if cell is not None:
        if cell not in objects.ids:
            raise UserError(_why_not_there(opened, plate, name, cell))
        y, x = objects.centroids[list(objects.ids).index(cell)]
        layers += _cell_layers(opened, plate, cell_key(name, cell), (y, x))
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
    holding = sorted(set(images["plate"][_keys(images) == field]))
    if plate is None and len(holding) == 1:
        return str(holding[0])
    if plate in holding:
        return str(plate)
    if not holding:
        raise UserError(f"no plate has a field {field}; fields are like {_keys(images).iloc[0]}.")
    raise UserError(f"field {field} is on the plates {', '.join(holding)}: choose with --plate.")


def _keys(images: pd.DataFrame) -> pd.Series:
    named = images[["row", "column", "site"]].astype({"column": int, "site": int})
    return named.apply(lambda r: str(FieldKey(r["row"], r["column"], r["site"])), axis=1)


def _why_not_there(opened: ProjectResults, plate: str, field: str, cell: int) -> str:
    ledger = opened.cells
    key = cell_key(field, cell)
    own = ledger[(ledger["Metadata_Plate"] == plate) & (ledger["Metadata_ROI_img_name"] == key)]
    if not len(own):
        return f"plate {plate} has no cell {key}."
    return f"cell {key} was dropped by {own['stage'].iloc[0]}: {own['reason'].iloc[0]}."


def _channel_layers(opened: ProjectResults, plate: str, field: str) -> list[LayerTuple]:
    """The channels of all rounds, on the Cell Painting frame; the nuclear stain is shown once."""
    from nucprof.io.formats.imagej import channel_colours

    project = opened.project
    planes: list[tuple[str, np.ndarray]] = []
    for of in (CP_ROUND, *project.rounds_of(plate)):
        image = opened.image(plate, field, of)
        planes += [
            (f"{of} {channel}", plane)
            for channel, plane in zip(project.round_channels(of), image, strict=True)
            if of == CP_ROUND or channel != project.channels.nuclei
        ]
    colours = channel_colours([name for name, _ in planes])
    return [
        _image(name, plane, colour) for (name, plane), colour in zip(planes, colours, strict=True)
    ]


def _image(
    name: str, plane: np.ndarray, colour: tuple[int, int, int], *, visible: bool = True
) -> LayerTuple:
    import numpy as np

    low, high = np.percentile(plane, LIMITS)
    options = {
        "name": name,
        "colormap": {"colors": [(0.0, 0.0, 0.0), tuple(map(float, colour))], "name": name},
        "contrast_limits": (float(low), float(max(high, low + 1))),
        "blending": "additive",
        "visible": visible,
    }
    return plane, options, "image"


def _registration_layers(opened: ProjectResults, plate: str, field: str) -> list[LayerTuple]:
    """The nuclear stain of every round in red, as it was imaged and as aligned; hidden at first."""
    project = opened.project
    nuclear = project.channels.nuclei
    layers = []
    for of in project.rounds_of(plate):
        channels = project.round_channels(of)
        if nuclear not in channels:
            continue
        aligned = opened.image(plate, field, of)[channels.index(nuclear)]
        before = opened.image(plate, field, of, aligned=False)[channels.index(nuclear)]
        layers += [
            _image(f"registration before: {of} {nuclear}", before, (1, 0, 0), visible=False),
            _image(f"registration after: {of} {nuclear}", aligned, (1, 0, 0), visible=False),
        ]
    return layers


def _mask_layers(
    opened: ProjectResults, plate: str, field: str, labels: np.ndarray
) -> list[LayerTuple]:
    kind = opened.project.mask_kind
    features = cell_features(opened, plate, field)
    layers: list[LayerTuple] = [
        (
            opened.mask(plate, field, aligned=False),
            {"name": f"{kind}: all segmented", "opacity": 0.4, "visible": False},
            "labels",
        ),
        (
            labels,
            {"name": f"{kind}: kept", "opacity": 0.4, "features": features, "visible": False},
            "labels",
        ),
    ]
    if "class" in features:
        layers.append(_class_layer(labels, features, kind))
    if kind == "cells":
        layers.insert(
            0, (opened.mask(plate, field, "nuclei"), {"name": "nuclei", "visible": False}, "labels")
        )
    return layers


def _class_layer(labels: np.ndarray, features: pd.DataFrame, kind: str) -> LayerTuple:
    """Outlines in the colour of the class; the status line shows what is known of a cell."""
    from nucprof.figures.canvas import class_colours

    names = sorted(set(features["class"]))
    colours = class_colours(names)
    by_label: dict[int | None, str] = {
        int(label): colours[name]
        for label, name in zip(features["index"], features["class"], strict=True)
    }
    shown = " and ".join(f"{name} {colours[name]}" for name in names)
    options = {
        "name": f"{kind}: class",
        "colormap": by_label | {None: "transparent", 0: "transparent"},
        "features": features,
        "metadata": {"colours": shown},
        "opacity": 0.9,
    }
    return labels, options, "labels"


def cell_features(opened: ProjectResults, plate: str, field: str) -> pd.DataFrame:
    """What is known of the kept cells of a field, by their label (``index``).

    ``class`` (the gate's, after corrections) and what each trained classifier predicts (out of
    fold) are there as soon as their stages have run.
    """
    from nucprof.plate.columns import CELL, PLATE, TRUE
    from nucprof.plate.keys import parse_cell_key

    ledger = opened.cells
    own = ledger[(ledger[PLATE] == plate) & (ledger["status"] == "kept")]
    own = own[own[CELL].map(lambda key: str(parse_cell_key(key)[0])) == field]
    table = own[["Metadata_ObjectNumber", CELL]].set_axis(["index", "cell"], axis=1)
    if opened.project.has_ground_truth and opened.files.classes.is_file():
        classes = opened.classes
        classes = classes[classes[PLATE] == plate].set_index(CELL)[TRUE]
        table["class"] = table["cell"].map(classes).fillna("undefined")
    for name, method in (("forest", "rf"), ("network", "cnn")):
        if opened.files.folder("train", method, "default", "predictions.csv").is_file():
            said = opened.predictions(method)
            said = said[said["plate"] == plate].drop_duplicates("ROI_img_name")
            predicted = said.set_index("ROI_img_name")["predicted"]
            table[name] = table["cell"].map(predicted).fillna("")
    return table.reset_index(drop=True)


def _cell_layers(
    opened: ProjectResults, plate: str, key: str, centre: tuple[float, float]
) -> list[LayerTuple]:
    """A frame around the cell's crop, and the attention of the network in it."""
    import numpy as np

    from nucprof.core.crops import box_start

    size = opened.crop_kind.patch_size
    top, left = box_start([centre], size)[0]
    corners = np.array([[top, left], [top + size, left + size]]) - 0.5
    options = {
        "name": key,
        "shape_type": "rectangle",
        "edge_color": "white",
        "face_color": "transparent",
        "edge_width": 0.5,
    }
    layers: list[LayerTuple] = [([corners], options, "shapes")]
    attention = cell_attention(opened, plate, key)
    if attention is not None:
        side = size / len(attention)
        shift = (side - 1) / 2  # of the centres of the map's pixels
        options = {
            "name": f"attention: {key}" + ("" if attention.any() else " (no evidence)"),
            "colormap": "inferno",
            "blending": "additive",
            "opacity": 0.6,
            "scale": (side, side),
            "translate": (top + shift, left + shift),
            "contrast_limits": (0.0, float(attention.max()) or 1.0),
        }
        layers.append((attention, options, "image"))
    return layers


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
