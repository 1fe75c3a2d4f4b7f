"""Where the parts of the report get their data from, and where they put their figures."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nucprof.figures.colours import project_colours
from nucprof.figures.inline import Inline
from nucprof.io.files import atomic
from nucprof.io.pictures import read_picture
from nucprof.io.results import Results
from nucprof.plate.keys import WellKey
from nucprof.report.records import About, Figure, StageRun

if TYPE_CHECKING:
    import pandas as pd

#: Quality of embedded pictures: photographs of cells show no difference above it.
_JPEG_QUALITY = 84


@dataclass(frozen=True)
class Source:
    """The results of a project, as the parts of the report see them.

    Attributes
    ----------
    results : Results
    about : About
    runs : dict
        What is recorded of every stage that is part of the results.
    written : Results
        Where figures are written: the same results, or another folder.
    captions : dict
        File -> title and caption of every figure that was made, in order.
    """

    results: Results
    about: About
    runs: dict[str, StageRun]
    written: Results
    captions: dict[str, tuple[str, str]] = field(default_factory=dict)

    def has(self, stage: str) -> bool:
        """Whether a stage has results."""
        return stage in self.runs

    def colours(self, names: Sequence[str]) -> dict[str, str]:
        """The project's colours of classes or cultures."""
        return project_colours(self.written.colours, names)

    def table(self, *names: str) -> pd.DataFrame | None:
        """A table below the results; None where there is none."""
        from nucprof.io.tables import read_table

        path = self.results.folder(*names)
        return read_table(path) if path.is_file() else None

    def draw(
        self, name: str, title: str, caption: str, draw: Callable[[Inline], None], *,
        wide: bool = False, double: bool = False,
    ) -> Figure:  # fmt: skip
        """Draw a figure: as ``report/NAME.png``, and for the page."""
        path = self.written.folder("report", f"{name}.png")
        with atomic(path) as temporary:
            target = Inline(name, temporary)
            draw(target)
        file = self.written.relative(path)
        self.captions[file] = (title, caption)
        return Figure(title, caption, file, svg=target.svg, wide=wide, double=double)

    def picture(
        self, path: Path, title: str, caption: str, *, width_px: int, wide: bool = False,
        folded: bool = False,
    ) -> Figure | None:  # fmt: skip
        """A picture that a stage made, made smaller for the page; None where there is none."""
        if not path.is_file():
            return None
        file = self.results.relative(path)
        self.captions[file] = (title, caption)
        image = embedded(path, width_px)
        return Figure(title, caption, file, image=image, wide=wide, folded=folded)


def embedded(path: Path, width_px: int) -> str:
    """A picture as a ``data:`` address, ``width_px`` wide at most."""
    picture = read_picture(path).convert("RGB")
    width, height = picture.size
    if width > width_px:
        picture = picture.resize((width_px, max(1, round(height * width_px / width))))
    held = io.BytesIO()
    picture.save(held, format="jpeg", quality=_JPEG_QUALITY, optimize=True)
    return data_uri(held.getvalue())


def data_uri(jpeg: bytes) -> str:
    """A JPEG as it is embedded in a page."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def place(well: str) -> tuple[str, int]:
    """Row letters and column of a well, as the figures take it."""
    key = WellKey.parse(well)
    return key.row, key.column
