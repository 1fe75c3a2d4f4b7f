"""Make docs/overview.png from a processed demo plate.

``python tools/make_overview.py demo-plate``
"""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.image import imread

PANELS = (
    ("segment/overlays/demo/D-05-01.png", "1. nuclei (StarDist, bundled network)"),
    ("gate/scatter.png", "2. true classes from the ground-truth round"),
    ("train/rf/default/confusion.png", "3. predicted on wells never seen"),
)


def main(demo: Path, target: Path) -> None:
    """Put the pictures of a processed demo plate side by side."""
    figure = Figure(figsize=(15, 4.6), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        axes.imshow(imread(demo / "results" / name))
        axes.set_title(title, fontsize=12)
        axes.axis("off")
    figure.savefig(target, dpi=90)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parents[1] / "docs" / "overview.png")
