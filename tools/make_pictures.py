"""Make the pictures of the documentation from a processed demo plate.

``nucprof demo demo-plate --run && python tools/make_pictures.py demo-plate``
"""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.image import imread
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"
PANELS = (
    ("segment/overlays/demo/D-05-01.png", "1. nuclei (StarDist, bundled network)"),
    ("gate/scatter.png", "2. true classes from the ground-truth round"),
    ("train/rf/default/confusion.png", "3. predicted on wells never seen"),
)
#: Picture -> file below results, and the part of its width and height that is shown.
PICTURES = {
    "overlay.png": ("segment/overlays/demo/D-05-01.png", (1, 1)),
    "shifts.png": ("align/shifts-EdU_BrdU.png", (1, 1)),
    "gate.png": ("gate/scatter.png", (1, 1)),
    "importance.png": ("train/rf/default/importance.png", (1, 1)),
    "confusion-forest.png": ("train/rf/default/confusion.png", (1, 1)),
    "confusion-network.png": ("train/cnn/default/confusion.png", (1, 1)),
    "history.png": ("train/cnn/default/history.png", (1, 1)),
    "map.png": ("embed/umap.png", (0.5, 1)),
    "attention.png": ("gradcam/crops.png", (1, 0.165)),
    "attention-mean.png": ("gradcam/mean.png", (1, 1)),
    "mistakes.png": ("gradcam/mistakes.png", (1, 1)),
    "composition.png": ("predict/default/composition.png", (1, 1)),
}
WIDEST, COLOURS = 900, 128


def main(demo: Path) -> None:
    """Draw the overview, and make small copies of the figures."""
    overview(demo, DOCS / "overview.png")
    for name, (source, (width, height)) in PICTURES.items():
        picture = Image.open(demo / "results" / source).convert("RGB")
        picture = picture.crop((0, 0, round(width * picture.width), round(height * picture.height)))
        picture.thumbnail((WIDEST, WIDEST))
        target = DOCS / "pictures" / name
        target.parent.mkdir(exist_ok=True)
        picture.quantize(COLOURS).save(target, optimize=True)


def overview(demo: Path, target: Path) -> None:
    """Put three figures side by side."""
    figure = Figure(figsize=(15, 4.6), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        axes.imshow(imread(demo / "results" / name))
        axes.set_title(title, fontsize=12)
        axes.axis("off")
    figure.savefig(target, dpi=90)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
