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
    ("segment/overlays/demo/E-03-01.png", "1. nuclei (StarDist, bundled network)"),
    ("gate/scatter.png", "2. true classes from the ground-truth round"),
    ("train/rf/default/confusion.png", "3. predicted on wells never seen"),
)
WHOLE = (0, 0, 1, 1)
#: Picture -> file below results (the first one), and the part of it: left, top, right, bottom.
PICTURES = {
    "overlay.png": ("segment/overlays/demo/E-03-01.png", WHOLE),
    "shifts.png": ("align/shifts-EdU_BrdU.png", WHOLE),
    "two-rounds.png": ("align/overlays/demo/EdU_BrdU-*.png", WHOLE),
    "gate.png": ("gate/scatter.png", WHOLE),
    "importance.png": ("train/rf/default/importance.png", WHOLE),
    "confusion-forest.png": ("train/rf/default/confusion.png", WHOLE),
    "confusion-network.png": ("train/cnn/default/confusion.png", WHOLE),
    "history.png": ("train/cnn/default/history.png", WHOLE),
    "map.png": ("embed/umap.png", WHOLE),
    "attention.png": ("gradcam/crops.png", (0, 0, 1, 0.16)),
    "attention-mean.png": ("gradcam/mean.png", WHOLE),
    "mistakes.png": ("gradcam/mistakes.png", WHOLE),
    "composition.png": ("predict/default/composition.png", WHOLE),
}
LARGEST, COLOURS = (900, 560), 128


def main(demo: Path) -> None:
    """Draw the overview, and make small copies of the figures."""
    overview(demo, DOCS / "overview.png")
    for name, (source, part) in PICTURES.items():
        first = min((demo / "results").glob(source))
        picture = Image.open(first).convert("RGB")
        sides = (picture.width, picture.height) * 2
        picture = picture.crop([round(a * b) for a, b in zip(part, sides, strict=True)])
        picture.thumbnail(LARGEST)
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
