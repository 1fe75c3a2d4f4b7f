"""From the results of a project to everything that its report shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nucprof.io.results import Results
from nucprof.report import viewer
from nucprof.report.cell_pictures import CellFiles
from nucprof.report.cells import Cells
from nucprof.report.doubts import find_doubts
from nucprof.report.facts import read_facts
from nucprof.report.page import Page
from nucprof.report.records import About, StageRun
from nucprof.report.sections import classifiers, composition, gate, images, map, plates, run
from nucprof.report.source import Source

SECTIONS = (
    run.section, plates.section, images.segmentation, images.registration, plates.waterfall,
    gate.section, classifiers.section, classifiers.importance, map.section, classifiers.gradcam,
    composition.section,
)  # fmt: skip


def build(
    results: Results,
    about: About,
    runs: Iterable[StageRun],
    file: str,
    crops: CellFiles | None = None,
    *,
    written: Results | None = None,
    outdated: Sequence[str] = (),
) -> Page:
    """Read the results, draw the figures, and find what is doubtful.

    Parameters
    ----------
    results : Results
    about : About
    runs : iterable of StageRun
        In the order of the stages.
    file : str
        Name of the project file, for commands to copy.
    crops : CellFiles, optional
        Where the pixels of single cells are; without, the page holds no pictures of cells.
    written : Results, optional
        Where figures are written, below ``report/``; default: in the results.
    outdated : sequence of str
        Stages that are not up to date.
    """
    runs = list(runs)
    held = {run.name: run for run in runs if run.status != "not needed"}
    source = Source(results, about, held, written or results)
    facts = read_facts(results, about, runs, outdated)
    cells = Cells.read(source)
    sections = [section for make in SECTIONS if (section := make(source)) is not None]
    data = {}
    if cells is not None:
        classes = gate.classes(source) or _classes(cells)
        data = {
            "cells": cells.pack(classes),
            "gate": gate.explorer(source, cells, file),
            "map": map.explorer(source, cells, classes),
            "viewer": viewer.explorer(source, cells, crops) if crops is not None else None,
        }
    return Page(
        about,
        tuple(runs),
        find_doubts(facts),
        sections,
        source.captions,
        {name: value for name, value in data.items() if value is not None},
    )


def _classes(cells: Cells) -> list[str]:
    """Classes of a project without a gate: what is predicted."""
    found: set[str] = set()
    for column in ("class", "forest", "network"):
        if column in cells.table:
            found |= set(cells.table[column].dropna().astype(str))
    return sorted(found - {"undefined"})
