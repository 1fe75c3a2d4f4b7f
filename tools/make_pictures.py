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
#: Picture -> file below results, and the height of the upper part that is shown.
PICTURES = {
    "overlay.png": ("segment/overlays/demo/D-05-01.png", None),
    "shifts.png": ("align/shifts-EdU_BrdU.png", None),
    "gate.png": ("gate/scatter.png", None),
    "importance.png": ("train/rf/default/importance.png", None),
    "confusion-forest.png": ("train/rf/default/confusion.png", None),
    "confusion-network.png": ("train/cnn/default/confusion.png", None),
    "history.png": ("train/cnn/default/history.png", None),
    "map.png": ("embed/umap.png", None),
    "attention.png": ("gradcam/crops.png", 700),
    "attention-mean.png": ("gradcam/mean.png", None),
    "mistakes.png": ("gradcam/mistakes.png", None),
    "composition.png": ("predict/default/composition.png", None),
}
WIDEST, COLOURS = 900, 128


def main(demo: Path) -> None:
    """Draw the overview, and make small copies of the figures."""
    overview(demo, DOCS / "overview.png")
    for name, (source, upper) in PICTURES.items():
        picture = Image.open(demo / "results" / source).convert("RGB")
        if upper:
            picture = picture.crop((0, 0, picture.width, upper))
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
