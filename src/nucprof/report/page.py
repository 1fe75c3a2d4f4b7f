"""The page: records in, one HTML file out, with everything inside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucprof.report.doubts import RULES, Doubt
from nucprof.report.records import About, Section, StageRun
from nucprof.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Page:
    """Everything that the report shows.

    Attributes
    ----------
    about : About
    runs : tuple of StageRun
    doubts : sequence of Doubt
    sections : sequence of Section
    captions : mapping
        File of a figure -> its title and caption.
    data : mapping
        For the scripts: ``cells``, ``gate`` and ``map``, those that there are.
    """

    about: About
    runs: tuple[StageRun, ...]
    doubts: Sequence[Doubt] = ()
    sections: Sequence[Section] = ()
    captions: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> list[str]:
        """The files of all figures."""
        return list(self.captions)


def render(page: Page) -> str:
    """The report as HTML. Every text is escaped; the page loads nothing from elsewhere."""
    template = environment().get_template("report.html")
    return template.render(page=page, about=page.about, version=__version__, rules=RULES)


def captions(page: Page) -> str:
    """The captions of all figures as text, to go with the files."""
    parts = [f"# Figures of {page.about.name}\n"]
    for file, (title, text) in page.captions.items():
        parts.append(f"## {title}\n\n`{file}`\n\n{text}\n")
    return "\n".join(parts)


@cache
def environment() -> Environment:
    """Where templates are found; what is put into one is escaped."""
    import jinja2
    from markupsafe import Markup

    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Our own files, and SVG in which matplotlib has escaped all text.
    found.globals["part"] = lambda name: Markup((TEMPLATES / name).read_text(encoding="utf-8"))
    found.filters["drawn"] = Markup
    return found
