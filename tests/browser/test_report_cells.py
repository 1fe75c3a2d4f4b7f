"""The cells of the report: pictures of a sample, opened from the confusion matrix."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def report(processed: Path) -> Path:
    return processed.parent / "results" / "report.html"


def test_the_matrix_is_that_of_the_metrics(watched, report):
    page = watched.open(report)
    metrics = json.loads((report.parent / "train/rf/default/metrics.json").read_text())
    rows = page.locator("#confusion-explorer tr").all()[1:]
    shown = [[int(b.inner_text()) for b in row.locator("button").all()] for row in rows]
    assert shown == metrics["confusion_matrix"]


def test_a_number_shows_its_cells_and_a_cell_opens(watched, report):
    page = watched.open(report)
    button = page.locator("#confusion-explorer .right button:enabled").first
    button.click()
    cells = int(button.inner_text())
    thumbs = page.locator("#confusion-explorer .thumbs button")
    note = page.inner_text("#confusion-explorer [data-part=cell]")
    assert f"{cells} cells, pictures of {thumbs.count()} are in this page" in note
    plate, key = thumbs.first.get_attribute("title").split("/")
    thumbs.first.click()
    page.wait_for_function(
        "key => document.querySelector('dialog canvas').dataset.drawn?.includes(key)", arg=key
    )
    facts = page.inner_text("dialog .cell-facts")
    assert f"{plate} / {key}" in facts
    assert "EdU" in facts
    content, window = watched.width(400)
    assert content <= window


def test_every_class_and_many_mistakes_have_pictures(watched, report):
    page = watched.open(report)
    labels = page.evaluate("nucprofCells.data.cells.map((cell) => cell.label)")
    assert {"astro", "neuro"} <= set(labels)
    # the whole plate fits
    assert len(labels) == page.evaluate("nucprof.cells.number")
