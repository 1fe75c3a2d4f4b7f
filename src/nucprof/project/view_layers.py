"""The layers of a field for napari, as its tuples ``(data, options, type)``, made without napari.

Scale and place in the options are in pixels of the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nucprof.plate.keys import CP_ROUND, FieldKey
from nucprof.project.attention import cell_attention
from nucprof.project.reader import ProjectResults

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

LayerTuple = tuple[Any, dict[str, Any], str]
#: Percentiles of a channel that are black and white.
LIMITS = (1.0, 99.8)


def channel_layers(opened: ProjectResults, plate: str, field: str) -> list[LayerTuple]:
    """The channels of all rounds, on the Cell Painting frame; the nuclear stain is shown once.

    A round that could not be aligned is shown as it was imaged, and its layers say so.
    """
    from nucprof.io.formats.imagej import channel_colours

    project = opened.project
    layers = []
    for of in _imaged(opened, plate, field):
        aligned = of == CP_ROUND or _is_aligned(opened, plate, field, of)
        image = opened.image(plate, field, of, aligned=aligned)
        shown = {
            channel: plane
            for channel, plane in zip(project.round_channels(of), image, strict=True)
            if of == CP_ROUND or channel != project.channels.nuclei
        }
        note = "" if aligned else " (not aligned)"
        colours = channel_colours(list(shown))
        layers += [
            _image(f"{of} {channel}{note}", plane, colour)
            for (channel, plane), colour in zip(shown.items(), colours, strict=True)
        ]
    return layers


def _imaged(opened: ProjectResults, plate: str, field: str) -> list[str]:
    """The rounds in which a field was imaged."""
    images = opened.images
    own = images[(images["plate"] == plate) & (field_keys(images) == field)]
    return [of for of in (CP_ROUND, *opened.project.rounds_of(plate)) if of in set(own["round"])]


def field_keys(images: pd.DataFrame) -> pd.Series:
    """The field of every row of the index of images, e.g. ``B-02-01``."""
    named = images[["row", "column", "site"]].astype({"column": int, "site": int})
    return named.apply(lambda r: str(FieldKey(r["row"], r["column"], r["site"])), axis=1)


def _is_aligned(opened: ProjectResults, plate: str, field: str, of: str) -> bool:
    return opened.files.aligned_image(plate, of, field).is_file()


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


def registration_layers(opened: ProjectResults, plate: str, field: str) -> list[LayerTuple]:
    """The nuclear stain of every round in red, as it was imaged and as aligned; hidden at first."""
    project = opened.project
    nuclear = project.channels.nuclei
    layers = []
    for of in _imaged(opened, plate, field)[1:]:
        channels = project.round_channels(of)
        if nuclear not in channels:
            continue
        for when, aligned in (("before", False), ("after", True)):
            if aligned and not _is_aligned(opened, plate, field, of):
                continue
            plane = opened.image(plate, field, of, aligned=aligned)[channels.index(nuclear)]
            name = f"registration {when}: {of} {nuclear}"
            layers.append(_image(name, plane, (1, 0, 0), visible=False))
    return layers


def mask_layers(
    opened: ProjectResults, plate: str, field: str, labels: np.ndarray
) -> list[LayerTuple]:
    """All segmented objects, those that were kept (`labels`), and these coloured by class."""
    from nucprof.figures.colours import project_colours

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
        names = sorted(set(features["class"]))
        colours = project_colours(opened.files.colours, names)
        layers.append(_class_layer(labels, features, colours, kind))
    if kind == "cells":
        nuclei = opened.mask(plate, field, "nuclei", aligned=False)
        layers.insert(0, (nuclei, {"name": "nuclei", "visible": False}, "labels"))
    return layers


def _class_layer(
    labels: np.ndarray, features: pd.DataFrame, colours: Mapping[str, str], kind: str
) -> LayerTuple:
    """Outlines in the colour of the class; the status line shows what is known of a cell."""
    by_label: dict[int | None, str] = {
        int(label): colours[name]
        for label, name in zip(features["index"], features["class"], strict=True)
    }
    options = {
        "name": f"{kind}: class",
        "colormap": by_label | {None: "transparent", 0: "transparent"},
        "features": features,
        "metadata": {"colours": dict(colours)},
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


def cell_layers(
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
