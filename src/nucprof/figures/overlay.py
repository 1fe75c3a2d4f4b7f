"""Pictures of outlines on an image, for checking a segmentation by eye."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from nucprof.core.normalize import percentile_normalize

Colour = tuple[int, int, int]
NUCLEI: Colour = (255, 210, 0)
CELLS: Colour = (255, 70, 200)
#: The shorter side of a picture, at least: small images are enlarged by a whole factor.
MIN_SIDE_PX = 800
#: And the longer side becomes no longer than this by it.
MAX_SIDE_PX = 8000
#: Below 1, so that dim objects are visible next to bright ones.
_GAMMA = 0.6
#: Grey levels of a picture without cytoplasm: enough for the eye, and the PNG is written five times
#: as fast as one with three full channels.
_GREYS = 64


def draw_overlay(
    nuclei: NDArray, outlines: Sequence[tuple[NDArray, Colour]], cyto: NDArray | None = None
) -> Image.Image:
    """Draw outlines of objects on the nuclear channel.

    Parameters
    ----------
    nuclei : (H, W)
        Nuclear channel, shown in grey, or in blue where `cyto` is given.
    outlines : sequence of ((H, W) integer, colour)
        Label images and the colour of their outlines, drawn one over the other.
    cyto : (H, W), optional
        Another plane, shown in grey.

    Returns
    -------
    PIL.Image.Image
        ``k H`` by ``k W`` pixels, with a palette, or in RGB where `cyto` is given. ``k`` is the
        smallest whole number that makes the shorter side :data:`MIN_SIDE_PX`, 1 for large images;
        a longer side stays below :data:`MAX_SIDE_PX`.
        Outlines lie inside their object, two pixels of the picture wide.
    """
    factor = -(-MIN_SIDE_PX // max(1, min(nuclei.shape)))
    factor = max(1, min(factor, MAX_SIDE_PX // max(1, *nuclei.shape)))
    edges = [(_outline(_enlarge(labels, factor)), colour) for labels, colour in outlines]
    shade = _shade(nuclei)
    if cyto is not None:
        mixed = 0.75 * _shade(cyto)[..., None] + shade[..., None] * (0.1, 0.35, 0.9)
        rgb = _enlarge((255 * np.minimum(mixed, 1)).astype(np.uint8), factor)
        for edge, colour in edges:
            rgb[edge] = colour
        return Image.fromarray(rgb)
    shade *= _GREYS - 1
    index = _enlarge(np.rint(shade, out=shade).astype(np.uint8), factor)
    for number, (edge, _) in enumerate(edges, start=_GREYS):
        index[edge] = number
    picture = Image.fromarray(index)
    greys = [(round(255 * level / (_GREYS - 1)),) * 3 for level in range(_GREYS)]
    picture.putpalette(np.array([*greys, *(colour for _, colour in edges)], np.uint8).tobytes())
    return picture


def draw_two_rounds(painted: NDArray, moved: NDArray, pixel_um: float | None = None) -> Image.Image:
    """Two rounds in one picture: Cell Painting magenta, the other green, white where they agree.

    Parameters
    ----------
    painted, moved : (H, W)
        The same channel in both rounds, on one frame.
    pixel_um : float, optional
        Side of a pixel, for the scale bar; without it the bar is in pixels.
    """
    # a moved round is 0 where it shows nothing; this must not count as its darkest grey
    first, second = _shade(painted), _shade(moved, moved[moved > 0])
    # not full colours, so that nuclei that agree keep their texture instead of burning out
    rgb = np.stack([first, second, first], axis=-1) * 235
    picture = Image.fromarray(rgb.astype(np.uint8))
    add_scale_bar(picture, pixel_um)
    return picture


_NICE = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def add_scale_bar(picture: Image.Image, pixel_um: float | None, enlarged: int = 1) -> None:
    """Draw a bar of a round length into the lower right corner, in µm or else in pixels.

    Parameters
    ----------
    picture : PIL.Image.Image
    pixel_um : float or None
        Side of a pixel of the image.
    enlarged : int
        How many pixels of the picture are one pixel of the image.
    """
    unit, side = ("µm", pixel_um / enlarged) if pixel_um else ("px", 1 / enlarged)
    width, height = picture.size
    length = max((n for n in _NICE if n / side <= 0.25 * width), default=_NICE[0])
    pixels, thick, edge = round(length / side), max(2, height // 120), height // 30
    pen = ImageDraw.Draw(picture)
    right, bottom = width - edge, height - edge
    pen.rectangle((right - pixels, bottom - thick, right, bottom), fill="white")
    size = max(10, height // 24)
    text = f"{length} {unit}"
    pen.text((right - pixels / 2, bottom - thick - 4), text, fill="white", anchor="mb",
             font=ImageFont.load_default(size))  # fmt: skip


def _shade(plane: NDArray, among: NDArray | None = None) -> NDArray[np.float32]:
    """Grey values 0 to 1 in which dim objects are visible; limits from some of the pixels."""
    if among is None or not among.size:
        unit = percentile_normalize(plane, 1, 99.8)
    else:
        low, high = np.percentile(among, (1, 99.8))
        unit = (plane.astype(np.float32) - low) / max(high - low, 1e-6)
    shade: NDArray[np.float32] = np.clip(unit, 0, 1) ** _GAMMA
    return shade


def _enlarge(array: NDArray, factor: int) -> NDArray:
    return array.repeat(factor, axis=0).repeat(factor, axis=1)


def _outline(labels: NDArray) -> NDArray[np.bool_]:
    """The outer two pixels of objects."""
    outer = _edge(labels)
    return outer | _edge(np.where(outer, 0, labels))


def _edge(labels: NDArray) -> NDArray[np.bool_]:
    """Pixels of objects with a neighbour (of four) that is not of the same object."""
    edge = np.zeros(labels.shape, bool)
    down = labels[1:] != labels[:-1]
    right = labels[:, 1:] != labels[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge & (labels > 0)
