"""The page: records in, one HTML file out, with everything inside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucprof.report.records import About, StageRun
from nucprof.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Page:
    """Everything that the report shows."""

    about: About
    runs: tuple[StageRun, ...]


def render(page: Page) -> str:
    """The report as HTML. Every text is escaped; the page loads nothing from elsewhere."""
    template = environment().get_template("report.html")
    return template.render(page=page, about=page.about, version=__version__)


@cache
def environment() -> Environment:
    """Where templates are found; what is put into one is escaped."""
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["part"] = part
    found.filters["duration"] = duration
    return found


def part(name: str) -> str:
    """A style sheet or script of the page, to be put into it as it is."""
    from markupsafe import Markup

    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def duration(seconds: float) -> str:
    """A time in the two largest of its units."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def nonempty(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are there."""
    return {key: value for key, value in values.items() if value}
