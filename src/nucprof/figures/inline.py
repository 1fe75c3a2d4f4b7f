"""Figures inside a page: lines and text as SVG in the page's own colours and font."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

#: Colours of a figure that follow the page: dark on light, light on dark.
INK, SOFT, LINE = "#1a2027", "#5b6673", "#dde2e9"
_THEMED = {INK: "var(--ink)", SOFT: "var(--soft)", LINE: "var(--line)"}
_HEAD = re.compile(r'<svg [^>]*?width="([\d.]+)pt" height="([\d.]+)pt"[^>]*>', re.DOTALL)
_PX_PER_PT = 4 / 3


@dataclass
class Inline:
    """A target that a figure is saved to: kept as SVG and, if there is a path, written as PNG.

    ``name`` is the figure's own on its page.
    """

    name: str
    path: Path | None = None
    svg: str = ""


def as_svg(figure: Figure, name: str) -> str:
    """The figure as an ``<svg>`` element without a background, as wide as its column at most.

    Parameters
    ----------
    figure : Figure
    name : str
        Keeps the element's internal names apart from those of other figures on the page.
    """
    figure.draw_without_rendering()  # the first layout does not yet know the size of its texts
    held = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(held, format="svg", transparent=True, metadata={"Date": None}, dpi=150)
    text = held.getvalue()
    head = _HEAD.search(text)
    assert head is not None
    width, height = (float(number) for number in head.groups())
    opening = (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" '
        f'style="max-width: {_PX_PER_PT * width:.0f}px">'
    )
    body = text[head.end() :].partition("</metadata>")[2] or text[head.end() :]
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', body))
    body = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", body)
    body = re.sub(r"font-family: [^;\"]*", "font-family: var(--font)", body)
    body = re.sub(r"font: ([^;\"]*?[\d.]+px) [^;\"]*", r"font: \1 var(--font)", body)
    for colour, variable in _THEMED.items():
        body = body.replace(colour, variable)
    return opening + body.strip()
