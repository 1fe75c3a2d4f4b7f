"""Drawing cells of two types, which differ only in their distributions, as real ones do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

CLASSES = ("astro", "neuro")
CHANNELS = ("DAPI", "FITC", "Cy3", "Cy5")
MARKERS = ("EdU", "BrdU")


@dataclass(frozen=True)
class Look:
    """Appearance of one cell type: mean and spread of each property.

    Lengths in pixels, intensities in grey levels above background.
    """

    radius: tuple[float, float]
    elongation: tuple[float, float]
    dna: tuple[float, float]
    chromatin: float  # relative strength of the nucleus's texture
    body: tuple[float, float]  # reach of the cell body beyond the nucleus
    intensity: dict[str, tuple[float, float]]
    granules: float  # per cell, in the third channel


LOOKS = {
    "astro": Look(
        (10.5, 1.0),
        (1.35, 0.15),
        (2600, 450),
        0.16,
        (9.0, 1.5),
        {"FITC": (1500, 400), "Cy3": (900, 250), "Cy5": (1100, 300)},
        5,
    ),
    "neuro": Look(
        (8.6, 0.8),
        (1.12, 0.08),
        (3300, 500),
        0.30,
        (5.0, 1.2),
        {"FITC": (1150, 350), "Cy3": (1200, 300), "Cy5": (850, 250)},
        9,
    ),
}


@dataclass(frozen=True)
class Cell:
    """One drawn cell: its type, centre (pixels) and whether it shows each marker."""

    kind: str
    y: float
    x: float
    radius: float
    positive: tuple[bool, bool]


def place(
    rng: np.random.Generator, shape: tuple[int, int], count: int, kinds: tuple[str, ...]
) -> list[Cell]:
    """Scatter cells so that nuclei touch at most; 3% carry no marker and 2% carry both."""
    cells: list[Cell] = []
    for _ in range(count * 30):
        if len(cells) == count:
            break
        kind = kinds[int(rng.integers(len(kinds)))]
        radius = max(5.0, rng.normal(*LOOKS[kind].radius))
        y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        if any((c.y - y) ** 2 + (c.x - x) ** 2 < (1.15 * (c.radius + radius)) ** 2 for c in cells):
            continue
        own = CLASSES.index(kind)
        positive = [i == own for i in range(2)]
        fate = rng.random()
        if fate < 0.03:
            positive[own] = False
        elif fate < 0.05:
            positive = [True, True]
        cells.append(Cell(kind, y, x, radius, (positive[0], positive[1])))
    return cells


def draw(
    rng: np.random.Generator, cells: list[Cell], shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a field without noise.

    Returns
    -------
    painting : (4, H, W) float64
        The Cell Painting channels, :data:`CHANNELS`.
    truth : (2, H, W) float64
        The marker channels, :data:`MARKERS`.
    labels : (H, W) uint16
        Nuclei; label i + 1 is ``cells[i]``.
    """
    painting = np.zeros((len(CHANNELS), *shape))
    truth = np.zeros((len(MARKERS), *shape))
    labels = np.zeros(shape, np.uint16)
    texture = ndi.gaussian_filter(rng.normal(size=shape), 1.6)
    texture /= texture.std()
    for number, cell in enumerate(cells, start=1):
        look = LOOKS[cell.kind]
        window, nucleus, body = _outline(rng, cell, look, shape)
        inside = nucleus > 0.5
        labels[window][inside & (labels[window] == 0)] = number
        dna = max(800.0, rng.normal(*look.dna))
        grain = np.clip(1 + look.chromatin * texture[window], 0.2, 2.5)
        painting[0][window] += dna * nucleus * grain
        for channel, name in enumerate(CHANNELS[1:], start=1):
            strength = max(100.0, rng.normal(*look.intensity[name]))
            painting[channel][window] += strength * body * (0.45 if name == "Cy5" else 1.0)
        painting[3][window] += 0.8 * max(100.0, rng.normal(*look.intensity["Cy5"])) * nucleus
        painting[2][window] += _granules(rng, body, look)
        for marker in range(len(MARKERS)):
            strength = (
                rng.lognormal(np.log(900), 0.3) if cell.positive[marker] else rng.uniform(0, 60)
            )
            truth[marker][window] += (
                strength * nucleus * np.clip(1 + 0.25 * texture[window], 0.3, 2)
            )
    return painting, truth, labels


def _outline(
    rng: np.random.Generator, cell: Cell, look: Look, shape: tuple[int, int]
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """Soft masks (0 to 1) of a cell's nucleus and body within a window of the field."""
    elongation = max(1.0, rng.normal(*look.elongation))
    long, short = cell.radius * np.sqrt(elongation), cell.radius / np.sqrt(elongation)
    reach = max(2.0, rng.normal(*look.body))
    half = int(np.ceil(long + reach + 4))
    top, left = max(0, int(cell.y) - half), max(0, int(cell.x) - half)
    window = (
        slice(top, min(shape[0], int(cell.y) + half)),
        slice(left, min(shape[1], int(cell.x) + half)),
    )
    y, x = np.mgrid[window]
    angle = rng.uniform(0, np.pi)
    along = (x - cell.x) * np.cos(angle) + (y - cell.y) * np.sin(angle)
    across = (y - cell.y) * np.cos(angle) - (x - cell.x) * np.sin(angle)

    def soft(extra: float, edge: float) -> np.ndarray:
        a, b = long + extra, short + extra
        distance = (np.hypot(along / a, across / b) - 1) * np.sqrt(a * b)
        mask: np.ndarray = 1 / (1 + np.exp(np.clip(distance / edge, -50, 50)))
        return mask

    return window, soft(0.0, 0.7), soft(reach, 1.8)


def _granules(rng: np.random.Generator, body: np.ndarray, look: Look) -> np.ndarray:
    spots = np.zeros(body.shape)
    where = np.argwhere(body > 0.5)
    if len(where):
        chosen = where[rng.integers(len(where), size=rng.poisson(look.granules))]
        spots[chosen[:, 0], chosen[:, 1]] = 9000
    blurred: np.ndarray = ndi.gaussian_filter(spots, 1.1)
    return blurred
