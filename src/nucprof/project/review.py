"""Pages on which people review single cells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nucprof.errors import UserError
from nucprof.plate.keys import CP_ROUND
from nucprof.project.reader import ProjectResults

if TYPE_CHECKING:
    import pandas as pd

MOST_CELLS = 2000
#: What the first bytes of every review page say (`review.html`).
_MARK, _HEAD = b'<meta name="generator" content="nucprof review">', 500


def write_review(
    opened: ProjectResults,
    path: Path,
    *,
    queue: str,
    count: int,
    who: str = "",
    output: Path | None = None,
) -> list[str]:
    """Write a review page.

    Parameters
    ----------
    opened : ProjectResults
    path : Path
        The project file.
    queue : str
        See :func:`~nucprof.learn.review_queue.queue`.
    count : int
        Cells on the page, at most :data:`MOST_CELLS`.
    who : str
        Name of the person. Cells that this person has answered are left out; without a name, cells
        that anybody has answered.
    output : Path, optional
        The page; default: ``review/<queue>.html`` below the results.

    Returns
    -------
    list of str
        What was written, for the user.

    Raises
    ------
    UserError
        There is nothing to show, or a result that it needs does not exist.
    """
    from nucprof.io.corrections import read_corrections
    from nucprof.io.files import write_text
    from nucprof.learn.review_queue import queue as served_cells

    if output is not None:
        _check_output(output)
    if not 1 <= count <= MOST_CELLS:
        raise UserError(f"--n {count}: a page holds 1 to {MOST_CELLS} cells.")
    files = [file for file in opened.project.gate.corrections if file.is_file()]
    before = read_corrections(files)
    cells = reviewable_cells(opened)
    mine = before[before["who"] == who] if who else before
    # A cell that is asked for by its key is shown again.
    rest = cells if "_" in queue.rpartition("-")[2] else _without(cells, mine)
    opinions = known_opinions(opened)
    size = opened.crop_kind.patch_size
    served = served_cells(queue, rest, opinions, size=size, seed=opened.project.project.seed)
    if not len(served):
        raise UserError(f"--queue {queue}: no cell is left to review.")
    shown = served.head(count)
    page = _page(opened, path, shown, opinions, queue=queue, before=before, who=who)
    target = output or opened.files.review(queue)
    write_text(target, page)
    wells = shown[["Metadata_Plate", "Metadata_Well"]].drop_duplicates()
    contradict = int((served["score"] > 0).sum())
    return [
        f"Wrote {target}: {len(shown)} of {len(served)} cells of the queue '{queue}', from "
        f"{len(wells)} well{'s' if len(wells) != 1 else ''} ({target.stat().st_size / 1e6:.1f} MB)",
        *((f"{contradict} cells contradict; the others follow",) if queue == "disagree" else ()),
        "Open it in a browser; save corrections.csv beside the project file",
        *(() if files else ('Then name it there: [gate] corrections = "corrections.csv"',)),
    ]


def _check_output(output: Path) -> None:
    """Refuse a page that would replace a file that is no page of this kind."""
    if output.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--output {output}: name a page for a browser, a file that ends in .html.")
    if output.is_file() and _MARK not in output.read_bytes()[:_HEAD]:
        raise UserError(f"--output {output} exists and is no review page; choose another name.")


def _without(cells: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    from nucprof.plate.columns import KEY

    answered = pd.MultiIndex.from_frame(answers[["plate", "ROI_img_name"]])
    return cells[~pd.MultiIndex.from_frame(cells[KEY]).isin(answered)].reset_index(drop=True)


def reviewable_cells(opened: ProjectResults) -> pd.DataFrame:
    """Every cell with a crop: keys, well, culture, centre, its class (``label``) and its markers.

    The class is the gate's (after corrections) or, without ground truth, the culture of the well.
    """
    from nucprof.core.markers import UNDEFINED
    from nucprof.io.tables import read_table
    from nucprof.plate.columns import CELL, KEY, LAYOUT, PLATE, TRUE, WELL
    from nucprof.report.cell_pictures import CellFiles

    centre = ["Metadata_Center_X", "Metadata_Center_Y"]
    features = opened.files.features(CP_ROUND)
    opened.require(features, "features")
    cells = read_table(features, [PLATE, WELL, CELL, LAYOUT, *centre])
    crops = CellFiles.of(opened.project).index()
    cells = cells.merge(crops[KEY], on=KEY)
    if opened.project.has_ground_truth:
        cells = cells.merge(opened.classes[[*KEY, TRUE]], on=KEY)
        cells = cells.rename(columns={TRUE: "label"})
    else:
        cells["label"] = cells[LAYOUT].where(cells[LAYOUT] != opened.project.gate.mixed_culture)
    cells["label"] = cells["label"].fillna(UNDEFINED)
    return _with_markers(opened, cells)


def _with_markers(opened: ProjectResults, cells: pd.DataFrame) -> pd.DataFrame:
    from nucprof.io.tables import read_columns, read_table
    from nucprof.plate.columns import KEY, mean_intensity
    from nucprof.report.review import MARKER
    from nucprof.stages.gate import markers_of

    compartment = "Cells" if opened.project.mask_kind == "cells" else "Nuclei"
    for marker, of in markers_of(opened.project).items():
        path = opened.files.features(of)
        column = mean_intensity(compartment, marker)
        if path.is_file() and column in read_columns(path):
            opened.require(path, "features")
            found = read_table(path, [*KEY, column]).rename(columns={column: MARKER + marker})
            cells = cells.merge(found, on=KEY, how="left")
    return cells


def known_opinions(opened: ProjectResults) -> dict[str, pd.DataFrame]:
    """What the project's classifiers say of cells of wells that they had not seen."""
    from nucprof.learn.review_queue import opinion

    found = {}
    for name, method in (("forest", "rf"), ("network", "cnn")):
        if opened.files.folder("train", method, "default", "predictions.csv").is_file():
            found[name] = opinion(opened.predictions(method))
    return found


def _page(
    opened: ProjectResults,
    path: Path,
    shown: pd.DataFrame,
    opinions: dict[str, pd.DataFrame],
    *,
    queue: str,
    before: pd.DataFrame,
    who: str,
) -> str:
    from nucprof.figures.colours import project_colours
    from nucprof.plate.columns import CELL, PLATE
    from nucprof.report.cell_pictures import CellFiles
    from nucprof.report.review import ReviewPage, render_review, shown_cells

    files = CellFiles.of(opened.project)
    fields = shown[CELL].str.rpartition("_")[0]
    for plate, name in dict.fromkeys(zip(shown[PLATE], fields, strict=True)):
        opened.require(files.stack(plate, name), "crop")
    return render_review(
        ReviewPage(
            name=opened.project.project.name,
            project=path.name,
            queue=queue,
            cells=shown_cells(shown, files, opinions),
            channels=files.channels,
            size=files.crops.patch_size,
            pixel_um=opened.pixel_size_um,
            classes=project_colours(opened.files.colours, _classes(opened)),
            before=before,
            who=who,
        )
    )


def _classes(opened: ProjectResults) -> list[str]:
    """The classes in the order of their keys: the gate's, or the layout's monocultures."""
    if opened.project.has_ground_truth:
        return [name.removeprefix("p_") for name in opened.classes if name.startswith("p_")]
    from nucprof.io.tables import read_table
    from nucprof.plate.columns import LAYOUT

    features = opened.require(opened.files.features(CP_ROUND), "features")
    cultures = read_table(features, [LAYOUT])[LAYOUT].dropna()
    return sorted({*cultures} - {opened.project.gate.mixed_culture})
