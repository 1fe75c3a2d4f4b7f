"""The review page in a real browser: keys answer cells, and the file comes back through the run."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest

import nucprof
from browser import Watched
from nucprof.config import load_project
from nucprof.project.review import write_review
from nucprof.report.cell_pictures import Channel, Pixels, encode
from nucprof.report.review import ReviewPage, ShownCell, render_review
from nucprof.report.source import data_uri
from nucprof.run.pipeline import Run
from nucprof.stages import stage

HOSTILE = '"><img src=x onerror="alert(1)"></script><script>alert(2)</script>'


PICKER = """text => {
  window.held = text;
  window.showSaveFilePicker = async () => ({
    name: "corrections.csv",
    getFile: async () => new Blob([window.held]),
    createWritable: async () => ({
      write: async (text) => { window.held = text; }, close: async () => {} }),
  });
  document.getElementById("save").hidden = false;
}"""
LIGHT = """() => {
  const canvas = document.querySelector("#pictures canvas");
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return pixels.reduce((a, b) => a + b) - 255 * canvas.width ** 2;
}"""


def review_page(project: Path, queue: str = "random", count: int = 12, **more) -> Path:
    opened = nucprof.open_project(project)
    write_review(opened, project, queue=queue, count=count, **more)
    return opened.files.review(queue)


@pytest.fixture(scope="module")
def page_file(processed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("review") / "random.html"
    opened = nucprof.open_project(processed)
    write_review(opened, processed, queue="random", count=12, output=target)
    return target


def shown(page, key: str) -> str:
    """The key of the cell that the largest picture shows, once it is drawn."""
    page.wait_for_function(
        "key => document.querySelector('#pictures canvas').dataset.drawn?.includes(key)", arg=key
    )
    return page.locator("#pictures canvas").first.get_attribute("data-drawn")


def cells_of(page) -> list[dict]:
    return page.evaluate("nucprofCells.data.cells")


def download(page, target: Path) -> pd.DataFrame:
    with page.expect_download() as caught:
        page.click("#download")
    assert caught.value.suggested_filename == "corrections.csv"
    caught.value.save_as(target)
    return pd.read_csv(target, dtype=str, keep_default_na=False)


def start(watched: Watched, path: Path, who: str = "Ann"):
    page = watched.open(path)
    page.fill("#who", who)
    page.press("#who", "Enter")
    return page


def test_the_largest_picture_is_the_cell_and_its_channels_can_be_hidden(watched, page_file):
    page = start(watched, page_file)
    cells = cells_of(page)
    assert shown(page, cells[0]["roi"]) == f'["demo","{cells[0]["roi"]}"]'
    names = page.locator("#pictures .cell-figure > span:not(.scale-bar)").all_inner_texts()
    assert names == [
        "composite", "DAPI (CP)", "FITC (CP)", "Cy3 (CP)", "Cy5 (CP)", "EdU (EdU_BrdU)",
        "BrdU (EdU_BrdU)",
    ]  # fmt: skip
    assert page.evaluate(LIGHT) > 0
    page.uncheck("#edge")
    assert page.locator("#pictures [aria-pressed=true]").all_inner_texts() == [
        "DAPI (CP)", "EdU (EdU_BrdU)", "BrdU (EdU_BrdU)",
    ]  # fmt: skip
    for button in page.locator("#pictures [aria-pressed=true]").all()[::-1]:
        button.click()
    page.wait_for_timeout(200)
    assert page.evaluate(LIGHT) == 0


def test_keys_answer_cells_and_undo_takes_back(watched, page_file, tmp_path):
    page = start(watched, page_file)
    cells = cells_of(page)
    for key in ("1", "2", "0", "Space", "2"):
        page.keyboard.press(key)
    page.keyboard.press("u")
    assert page.inner_text("#answer") == "5 of 12: no answer yet"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("1")
    assert page.inner_text("#answer") == "8 of 12: no answer yet"
    table = download(page, tmp_path / "c.csv")
    assert table.columns.tolist() == [
        "plate", "ROI_img_name", "true_condition", "was", "who", "when",
    ]  # fmt: skip
    numbers = [0, 1, 2, 3, 6]
    assert table["ROI_img_name"].tolist() == [cells[n]["roi"] for n in numbers]
    labels = [cells[n]["label"] for n in numbers]
    assert table["was"].tolist() == labels
    assert table["true_condition"].tolist() == ["astro", "neuro", "undefined", labels[3], "astro"]
    assert set(table["who"]) == {"Ann"}
    assert pd.to_datetime(table["when"]).notna().all()


def test_nobody_answers_without_a_name(watched, page_file):
    page = watched.open(page_file)
    page.keyboard.press("1")
    assert "Type your name first" in page.inner_text("#message")
    page.keyboard.type("1a")  # goes into the field, not to the cells
    assert page.input_value("#who") == "1a"
    page.press("#who", "Enter")
    assert page.inner_text("#answer") == "1 of 12: no answer yet"


def test_answers_are_kept_per_person_until_they_are_saved(watched, page_file):
    page = start(watched, page_file)
    page.keyboard.press("1")
    page.keyboard.press("1")
    page.on("dialog", lambda dialog: dialog.accept())
    page = start(watched, page_file)
    assert page.inner_text("#answer") == "3 of 12: no answer yet"
    assert page.locator("#strip [data-answer=astro]").count() == 2
    page.fill("#who", "Bob")
    page.press("#who", "Enter")
    assert page.inner_text("#answer") == "1 of 12: no answer yet"
    assert page.locator("#strip [data-answer]").count() == 0


def test_a_file_is_kept_up_to_date_where_the_browser_allows_it(watched, page_file):
    page = watched.open(page_file)
    earlier = "demo,Z-01-01_0001,astro,'=neuro," + '"B, ""x"""'
    head = "plate,ROI_img_name,true_condition,was,who,when"
    page.evaluate(PICKER, f"{head.removesuffix(',when')}\r\n{earlier}\r\n")
    page.fill("#who", "Ann")
    page.press("#who", "Enter")
    page.click("#save")
    page.keyboard.press("2")
    page.wait_for_function("window.held.includes(',neuro,')")
    lines = page.evaluate("window.held").splitlines()
    assert lines[:2] == [head, f"{earlier},"], "others' rows are kept"
    assert lines[2].startswith(f"demo,{cells_of(page)[0]['roi']},neuro,")
    assert "saved in corrections.csv" in page.inner_text("#message")


def test_the_file_comes_back_through_gate_and_train(watched, copied, tmp_path):
    page = start(watched, review_page(copied, "class:astro", 6), "=Ann")
    cells = cells_of(page)
    mixed = [n for n, cell in enumerate(cells) if cell["culture"] == "co-culture"]
    for _ in cells:
        page.keyboard.press("2")
    download(page, copied.parent / "corrections.csv")
    text = (copied.parent / "corrections.csv").read_text(encoding="utf-8")
    assert "'=Ann" in text, "no spreadsheet runs a name as a formula"
    text = copied.read_text(encoding="utf-8")
    copied.write_text(text + '\n[gate]\ncorrections = "corrections.csv"\n', encoding="utf-8")
    run = Run(load_project(copied))
    before = run.project.project.output / "gate" / "GT_data.csv"
    gated = run.run_stage(stage("gate"))
    assert any(
        "corrections: 6 cells reviewed (=Ann 6), 0.0% agree with the gate, 6 changed" in line
        for line in gated.summary.lines
    )
    table = pd.read_csv(before).set_index("ROI_img_name")
    own = table.loc[[cell["roi"] for cell in cells]]
    assert set(own["true_condition"]) == {"neuro"}
    assert set(own["gate_condition"]) == {"astro"}
    # hundreds of forests on permuted labels, and the search, would take most of the time
    with (
        patch("nucprof.learn.forest.chance.ARRANGEMENTS", 3),
        patch("nucprof.learn.forest.fit.SHAPES", ((4, 1),)),
        patch("nucprof.learn.forest.fit.TREES", (10,)),
    ):
        assert run.run_stage(stage("train-rf")).status == "done"
    folder = run.project.project.output / "train" / "rf" / "default"
    trained = pd.read_csv(folder / "predictions.csv").set_index("ROI_img_name")
    for number in mixed:
        assert trained.loc[cells[number]["roi"], "true_condition"] == "neuro"
    assert run.run_stage(stage("train-cnn")).status == "done"
    network = run.project.project.output / "train" / "cnn" / "default"
    tested = pd.read_csv(network / "predictions.csv")
    own = tested[tested["ROI_img_name"].isin([cells[number]["roi"] for number in mixed])]
    assert set(own["true_condition"]) <= {"neuro"}
    assert pd.read_csv(network / "rounds.csv")["reviewed"].tolist() == [0, 6]
    rounds = pd.read_csv(folder / "rounds.csv")
    assert rounds["reviewed"].tolist() == [0, 6]
    assert run.run_stage(stage("report")).status == "done"
    report = (run.project.project.output / "report.html").read_text(encoding="utf-8")
    assert "6 cells reviewed (=Ann 6), 0.0% agree with the gate, 6 changed" in report
    assert "Rounds of review: forest" in report
    # a later page leaves the answered cells out, and repeats their answers in its file
    page = start(watched, review_page(copied, "random", 200, who="=Ann"), "=Ann")
    again = {cell["roi"] for cell in cells_of(page)}
    assert not again & {cell["roi"] for cell in cells}
    page.keyboard.press("1")
    assert len(download(page, tmp_path / "second.csv")) == 7


@pytest.mark.parametrize("width", [400, 1600])
def test_nothing_is_wider_than_the_window(watched, page_file, width):
    start(watched, page_file)
    content, window = watched.width(width)
    assert content <= window


def test_names_are_text(watched, tmp_path):
    pixels = Pixels("p", "B-02-01_0001", np.ones((2, 4, 4), np.float32), np.eye(4, dtype=bool))
    picture = data_uri(encode([pixels])[0])
    cell = ShownCell(
        plate=HOSTILE, roi="B-02-01_0001", well="B02", culture=HOSTILE, label=HOSTILE,
        said=HOSTILE, markers={HOSTILE: None}, picture=picture,
    )  # fmt: skip
    page = ReviewPage(
        name=HOSTILE, project=HOSTILE, queue=HOSTILE, cells=[cell], size=4, pixel_um=None,
        channels=[Channel(HOSTILE, HOSTILE, "#00ff00"), Channel("b", "CP", "#ff0000")],
        classes={HOSTILE: "#00ff00"}, before=pd.DataFrame(), who=HOSTILE[:30],
    )  # fmt: skip
    (tmp_path / "page.html").write_text(render_review(page), encoding="utf-8")
    tab = watched.open(tmp_path / "page.html")
    assert tab.inner_text("h1") == HOSTILE
    assert tab.locator("img").count() == 0
    assert HOSTILE in tab.inner_text("#facts")


def test_a_cell_opens_in_the_viewer_and_one_that_is_not_embedded_says_where_it_is(
    watched, page_file
):
    page = start(watched, page_file)
    roi = cells_of(page)[3]["roi"]
    page.evaluate("roi => nucprofShowCell('demo', roi)", roi)
    page.wait_for_function(
        "roi => document.querySelector('dialog canvas').dataset.drawn?.includes(roi)", arg=roi
    )
    assert roi in page.inner_text("dialog .cell-facts")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    page.evaluate("nucprofShowCell('rep 1', 'Z-09-02_12345')")
    text = page.inner_text("dialog")
    assert "not embedded here; the page holds 12 cells" in text
    assert 'nucprof review project.toml --queue "rep 1"/Z-09-02_12345' in text
    assert 'nucprof view project.toml Z-09-02 --plate "rep 1" --cell 12345' in text
