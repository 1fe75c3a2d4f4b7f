"""A page in a real browser that notices what must not happen."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page


@dataclass
class Watched:
    """A page of a file, with everything that it complained of and asked for.

    Attributes
    ----------
    page
        Playwright's page.
    errors
        Console errors and uncaught exceptions.
    requests
        Addresses other than the file itself and data inside it.
    own
        Address of the file.
    """

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    own: str = ""

    def open(self, path: Path) -> Page:
        """Open a file; its errors and requests are those from here on."""
        self.errors.clear()
        self.requests.clear()
        if not self.own:
            self.page.on("request", lambda request: self._asked(request.url))
        self.own = path.resolve().as_uri()
        self.page.goto(self.own)
        return self.page

    def _asked(self, address: str) -> None:
        if address.partition("#")[0] != self.own and not address.startswith(("data:", "blob:")):
            self.requests.append(address)

    def width(self, pixels: int) -> tuple[int, int]:
        """Make the window so wide; the widths of its content and of the window."""
        self.page.set_viewport_size({"width": pixels, "height": 900})
        content, window = self.page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        return int(content), int(window)
