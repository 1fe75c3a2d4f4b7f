"""The report in a real browser."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from browser import Watched
from nucprof.cli.app import build_app
from nucprof.cli.boundary import run_app
from nucprof.io.tables import read_table


@pytest.fixture(scope="module")
def report(processed: Path) -> Path:
    """The report of the small plate that every stage has run on."""
    return processed.parent / "results" / "report.html"


def test_it_opens_without_error_or_request(watched, report):
    page = watched.open(report)
    assert page.title() == "demo: nucprof report"
    assert page.locator("#run tbody tr").first.inner_text().startswith("rename")


@pytest.mark.parametrize("width", [400, 1600])
def test_nothing_is_wider_than_the_window(watched, report, width):
    watched.open(report)
    content, window = watched.width(width)
    assert content <= window


#: Heights in px at which the texts of all drawings are seen, by drawing.
TEXTS = """() => [...document.querySelectorAll(".drawing")].map((drawing) => {
  const svg = drawing.querySelector("svg");
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  const sizes = [...svg.querySelectorAll("text")].map(
    (text) => scale * parseFloat(getComputedStyle(text).fontSize));
  return [drawing.getAttribute("aria-label"), Math.min(...sizes)];
})"""


def test_figures_can_be_read_on_a_telephone(watched, report):
    page = watched.open(report)
    watched.width(400)
    tiny = [(name, size) for name, size in page.evaluate(TEXTS) if size < 6]
    assert tiny == []


def shown(page, part: str = "counts") -> dict[str, list[int]]:
    """Counts of the gate's table: class -> cells by culture, and all."""
    rows = page.locator(f"[data-part={part}] tr").all()
    return {
        row.locator("th").inner_text(): [
            int(cell.replace(",", "")) for cell in row.locator("td").all_inner_texts()
        ]
        for row in rows
    }


def gated(project: Path) -> dict[str, list[int]]:
    """The same from what `nucprof gate` wrote."""
    table = read_table(project.parent / "results" / "gate" / "counts.csv")
    cultures = sorted(set(table["Metadata_Target"]))
    found = {}
    for name in ("astro", "neuro", "undefined"):
        own = table[table["true_condition"] == name]
        cells = [int(own.loc[own["Metadata_Target"] == c, "cells"].sum()) for c in cultures]
        found[name] = [*cells, sum(cells)]
    return found


def drag(page, part: str, dx: float, dy: float) -> None:
    box = page.locator(f"[data-part={part}]").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx / 2, y + dy / 2)
    page.mouse.move(x + dx, y + dy)
    page.mouse.up()


def test_dragged_cutoffs_give_the_counts_of_the_command(watched, copied):
    page = watched.open(copied.parent / "results" / "report.html")
    before = shown(page)
    assert before == gated(copied)
    page.locator("#gate-explorer").scroll_into_view_if_needed()
    drag(page, "cut-x", 150, 0)
    drag(page, "cut-y", 0, 60)
    page.locator("[data-part=cut-x]").press("ArrowRight")
    page.wait_for_timeout(100)
    after = shown(page)
    assert after != before
    assert sum(after[name][-1] for name in after) == sum(before[name][-1] for name in before)
    command = page.locator("[data-part=command]").inner_text()
    assert command.startswith("nucprof gate project.toml --cutoff EdU=")
    words = shlex.split(command)
    assert run_app(build_app(), ["gate", str(copied), *words[3:]]) == 0
    assert gated(copied) == after
    page.locator("[data-part=reset]").click()
    assert shown(page) == before
    assert page.locator("[data-part=command]").inner_text() == "nucprof gate project.toml"


def test_the_gate_answers_to_keys_and_numbers(watched, report):
    page = watched.open(report)
    line = page.locator("[data-part=cut-y]")
    line.focus()
    before = float(line.get_attribute("aria-valuenow"))
    line.press("ArrowUp")
    page.wait_for_timeout(50)
    once = float(line.get_attribute("aria-valuenow"))
    line.press("PageUp")
    page.wait_for_timeout(50)
    assert before < once < float(line.get_attribute("aria-valuenow"))
    page.get_by_label("EdU cutoff").fill("1e6")
    page.wait_for_timeout(50)
    assert shown(page)["astro"][-1] == 0
    assert "--cutoff EdU=1000000" in page.locator("[data-part=command]").inner_text()


def test_a_cutoff_below_a_logarithmic_axis_lies_at_its_edge(watched, report):
    page = watched.open(report)
    across, up = (page.locator(f"[data-part=cut-{side}]") for side in "xy")
    page.get_by_label("EdU cutoff").fill("-5")
    page.wait_for_timeout(50)
    assert across.evaluate("e => e.style.left") == up.evaluate("e => e.style.left")
    across.press("ArrowRight")  # the keys bring it back
    page.wait_for_timeout(50)
    assert float(across.get_attribute("aria-valuenow")) > 0


#: Where a canvas has a pixel in the colour of a class.
POINT = """canvas => {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  for (let k = 0; k < width * height; k++) {
    if (data[4 * k + 2] > 150 && data[4 * k] < 20) {
      return [(k % width) / devicePixelRatio, Math.floor(k / width) / devicePixelRatio];
    }
  }
}"""


@pytest.mark.parametrize("plot", ["gate-explorer", "map-explorer"])
def test_a_click_names_a_cell_and_opens_it_in_a_viewer(watched, report, plot):
    page = watched.open(report)
    page.evaluate("window.nucprofShowCell = (plate, roi) => { window.opened = [plate, roi]; }")
    canvas = page.locator(f"#{plot} canvas")
    canvas.scroll_into_view_if_needed()
    x, y = canvas.evaluate(POINT)
    canvas.click(position={"x": x, "y": y})
    opened = page.evaluate("window.opened")
    cells = set(read_table(report.parent / "cells.parquet")["Metadata_ROI_img_name"])
    assert opened[0] == "demo"
    assert opened[1] in cells
    assert f"demo/{opened[1]}" in page.locator(f"#{plot} [data-part=cell]").inner_text()


def test_the_map_is_coloured_as_chosen(watched, report):
    page = watched.open(report)
    by = page.locator("#map-explorer select")
    titles = by.locator("option").all_inner_texts()
    assert titles == [
        "true class",
        "culture",
        "predicted by the forest",
        "predicted by the network",
    ]
    by.select_option(label="culture")
    key = page.locator("#map-explorer [data-part=key]").inner_text()
    assert "co-culture" in key


def test_the_fixture_notices_what_must_not_happen(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        '<title>x</title><link rel="icon" href="data:,"><img src="http://127.0.0.1:9/a.png">'
        "<script>throw new Error('broken')</script>"
    )
    tab = browser.new_page()
    found = Watched(tab)
    tab.on("pageerror", lambda error: found.errors.append(str(error)))
    found.open(page)
    tab.wait_for_timeout(100)
    tab.close()
    assert found.errors == ["broken"]
    assert found.requests == ["http://127.0.0.1:9/a.png"]
