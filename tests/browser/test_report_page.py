"""The report in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from browser import Watched


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
