"""The review page: one HTML file in which a person gives cells their class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from nucprof.io.corrections import COLUMNS
from nucprof.io.digest import digest
from nucprof.learn.review_queue import Opinions, reasons
from nucprof.plate.columns import CELL, LAYOUT, PLATE, WELL
from nucprof.report.cell_pictures import CellFiles, Channel, encode, read_pixels
from nucprof.report.page import environment
from nucprof.report.source import data_uri

MARKER = "marker "
"""Column of a marker's mean intensity, before its name."""
ABOUT = {
    "uncertain": "cells between whose two likeliest classes the classifiers waver most",
    "disagree": "cells whose class the classifiers contradict, the most certain contradictions "
    "first",
    "random": "a random sample",
}


@dataclass(frozen=True)
class ShownCell:
    """A cell of a page.

    Attributes
    ----------
    plate, roi, well, culture : str
    label : str
        The class that it has now.
    said : str
        What classifiers say of it.
    markers : mapping
        Marker -> mean intensity, None where it was not measured.
    picture : str
        A data URI, see :mod:`~nucprof.report.cell_pictures`.
    """

    plate: str
    roi: str
    well: str
    culture: str
    label: str
    said: str
    markers: Mapping[str, float | None]
    picture: str


def viewer_data(
    cells: Sequence[ShownCell],
    channels: Sequence[Channel],
    *,
    size: int,
    pixel_um: float | None,
    **more: Any,
) -> dict[str, Any]:
    """What a page with the viewer holds: the element ``viewer-data``.

    Parameters
    ----------
    cells, channels
        The embedded cells, and the channels of their pictures.
    size
        Side of a picture, pixels.
    pixel_um
        Side of a pixel in µm, if it is known.
    more
        What else the page's own script needs.
    """
    return {
        "size": size,
        "um": pixel_um,
        "channels": [asdict(channel) for channel in channels],
        "nuclei": next((i for i, channel in enumerate(channels) if channel.nuclear), 0),
        "cells": [asdict(cell) for cell in cells],
        **more,
    }


def shown_cells(cells: pd.DataFrame, files: CellFiles, opinions: Opinions) -> list[ShownCell]:
    """Read the pictures of cells, and what is known of each.

    Parameters
    ----------
    cells
        Plate, well, cell key, layout, `label`, and a column :data:`MARKER` + name per marker.
    files
        Where the pixels are.
    opinions
        What classifiers say.
    """
    pictures = map(data_uri, encode(read_pixels(files, cells)))
    markers = [name for name in cells if name.startswith(MARKER)]
    measured = cells[markers].rename(columns=lambda name: name.removeprefix(MARKER))
    return [
        ShownCell(
            plate=row[PLATE],
            roi=row[CELL],
            well=row[WELL],
            culture=row[LAYOUT] if isinstance(row[LAYOUT], str) else "",
            label=row["label"],
            said=said,
            markers={k: None if pd.isna(v) else float(v) for k, v in values.items()},
            picture=picture,
        )
        for row, values, said, picture in zip(
            cells.to_dict("records"),
            measured.to_dict("records"),
            reasons(cells, opinions),
            pictures,
            strict=True,
        )
    ]


@dataclass(frozen=True)
class ReviewPage:
    """What a review page is made from.

    Attributes
    ----------
    name : str
        The project's.
    project : str
        Name of the project file.
    queue : str
    cells, channels, size, pixel_um
        As in :func:`viewer_data`.
    classes : mapping
        Class -> its colour: the classes that can be given, in the order of their keys 1 to 9.
    before : DataFrame
        Earlier answers, which the saved file repeats.
    who : str
        Name of the person, if it is known.
    """

    name: str
    project: str
    queue: str
    cells: Sequence[ShownCell]
    channels: Sequence[Channel]
    size: int
    pixel_um: float | None
    classes: Mapping[str, str]
    before: pd.DataFrame
    who: str = ""


def render_review(page: ReviewPage) -> str:
    """The page as HTML; every text is escaped, and nothing is loaded from elsewhere."""
    data = viewer_data(
        page.cells,
        page.channels,
        size=page.size,
        pixel_um=page.pixel_um,
        classes=[{"name": name, "colour": colour} for name, colour in page.classes.items()],
        columns=list(COLUMNS),
        before=page.before.to_dict("records"),
        # answers that a browser keeps belong to these cells of this project
        page=digest([page.name, page.queue, [(c.plate, c.roi) for c in page.cells]])[:16],
    )
    about = ABOUT.get(page.queue, "cells as you asked for them")
    return environment().get_template("review.html").render(
        name=page.name, project=page.project, queue=page.queue, who=page.who, about=about,
        cells=page.cells, data=data,
    )  # fmt: skip
