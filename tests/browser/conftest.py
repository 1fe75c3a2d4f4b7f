"""A real browser; `watched` is a page in it that may not complain or ask for anything."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from browser import Watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium or Chrome; tests are skipped where there is none."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser on the PATH ({', '.join(BROWSERS)})")
    with sync_playwright() as driver:
        # containers often have neither a sandbox nor a large /dev/shm
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        started = driver.chromium.launch(executable_path=found, args=options)
        yield started
        started.close()


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    """A page that may not complain and may not ask for anything; checked when the test ends."""
    context = browser.new_context(
        accept_downloads=True, viewport={"width": 1280, "height": 900}, permissions=[]
    )
    page = context.new_page()
    found = Watched(page)
    page.on("console", lambda m: found.errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: found.errors.append(str(error)))
    yield found
    context.close()
    assert found.errors == []
    assert found.requests == []
