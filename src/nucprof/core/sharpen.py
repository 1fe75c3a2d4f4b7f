"""Outlines moved to the objects' own edges in the image, within a narrow band.

A network's outline is smooth and about right; the edge in the image is sharp, but noise, haze or a
neighbour can make it wrong. So both decide about a pixel of the band: it belongs to the object if
it is brighter than a level between the object and its surroundings, by a margin that grows with
its distance outwards from the network's outline.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from nucprof.core.features._compile import compiled

#: Half the width of the band as a share of the object's diameter, and its limits: in pixels, and
#: as a share of the diameter of a small object.
BAND, BAND_MIN_PX, BAND_MOST = 0.15, 2.0, 0.25
#: Width of the ring beyond the band as a share of the diameter, and its least, pixels.
RING, RING_MIN_PX = 0.25, 2.0
#: Place of the level between the ring (0) and the object (1).
LEVEL = 0.45
#: At the outer border of the band a pixel must be brighter than the level by this share of the step
#: from ring to object; at the inner border it may be darker by as much.
MARGIN = 0.5
#: An outline moves only if the step is this many times the ring's mean deviation from its median,
#: and if core and ring have at least so many pixels.
CLEAR, ENOUGH = 3.0, 3
#: ... and the step is this share of the median of all objects: what is dimmer is often haze, whose
#: edges are not those of a nucleus.
DIM = 0.5

_CORE, _BAND, _RING = 1, 2, 3


def sharpen_outlines(plane: NDArray, labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Move every object's outline to its edge in the image.

    Parameters
    ----------
    plane : (H, W)
        The image in which the objects are bright, any real dtype.
    labels : (H, W) int32
        Objects, 0 = background; gaps allowed.

    Returns
    -------
    (H, W) int32
        The same objects under the same labels. Each is in one piece (4-connected) and has no holes
        but other objects; none takes a pixel that was another's. An object that hardly stands out
        from its ring, or much less than the others, keeps its outline.
    """
    if not labels.any():
        return labels.copy()
    boxes = ndi.find_objects(labels)
    image = np.ascontiguousarray(plane, dtype=np.float32)
    areas = np.bincount(labels.ravel())
    diameter = np.sqrt(4 / np.pi * areas)
    width = np.minimum(np.maximum(BAND_MIN_PX, BAND * diameter), BAND_MOST * diameter)
    ring = np.maximum(RING_MIN_PX, RING * diameter)
    away, owner = _distances(labels)
    zone = _zones(labels, away, owner, width, ring)
    inside, _ = _levels(image, zone, owner, _CORE, len(areas))
    outside, variation = _levels(image, zone, owner, _RING, len(areas))
    step = inside - outside
    step[~(step > CLEAR * variation)] = np.nan
    clear = step[np.isfinite(step)]
    step[~(step >= DIM * (np.median(clear) if clear.size else 0.0))] = np.nan
    out = _divide(image, labels, away, owner, zone, width, outside + LEVEL * step, step)
    reach = np.ceil(width).astype(int)
    _tidy(out, np.array([_box(box, r) for box, r in zip(boxes, reach[1:], strict=True)]))
    return out


def _box(box: tuple[slice, slice] | None, reach: int) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of an object and its band; an empty box for a gap."""
    if box is None:
        return 0, 0, 0, 0
    rows, cols = box
    return rows.start - reach, cols.start - reach, rows.stop + reach, cols.stop + reach


@compiled
def _distances(labels: NDArray[np.int32]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Distance of every pixel from the nearest pixel of another label, and the nearest object.

    Two passes over the image, in steps of 1 and the root of 2 (Borgefors, "Distance
    transformations in digital images", 1986).
    """
    height, width = labels.shape
    away = np.full((height, width), np.float32(1e9))
    owner = labels.copy()
    straight, across = np.float32(1), np.float32(np.sqrt(2))
    for sign in (1, -1):
        for i in range(height):
            y = i if sign == 1 else height - 1 - i
            v = y - sign
            for j in range(width):
                x = j if sign == 1 else width - 1 - j
                label, best, nearest = labels[y, x], away[y, x], owner[y, x]
                for step in range(-2, 2):
                    # The pixel before, and the three of the row before.
                    if step == -2:
                        r, u, length = y, x - sign, straight
                    else:
                        r, u, length = v, x + step, straight if step == 0 else across
                    if not (0 <= r < height and 0 <= u < width):
                        continue
                    if labels[r, u] == label:
                        length += away[r, u]
                    if length < best:
                        best, nearest = length, owner[r, u]
                away[y, x] = best
                if label == 0:
                    owner[y, x] = nearest
    return away, owner


@compiled
def _beyond(label: int, away: float) -> float:
    """Distance of a pixel outwards from the outline, negative inside."""
    return away - 0.5 if label == 0 else 0.5 - away


@compiled
def _zones(
    labels: NDArray[np.int32],
    away: NDArray[np.float32],
    owner: NDArray[np.int32],
    width: NDArray[np.float64],
    ring: NDArray[np.float64],
) -> NDArray[np.uint8]:
    """Say of every pixel whether it is in an object's core, band or ring, or (0) in none."""
    zone = np.zeros(labels.shape, np.uint8)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            k = owner[y, x]
            beyond = _beyond(labels[y, x], away[y, x])
            if beyond < -width[k]:
                zone[y, x] = _CORE
            elif beyond <= width[k]:
                zone[y, x] = _BAND
            elif beyond <= width[k] + ring[k]:
                zone[y, x] = _RING
    return zone


@compiled
def _levels(
    image: NDArray[np.float32],
    zone: NDArray[np.uint8],
    owner: NDArray[np.int32],
    wanted: int,
    count: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median of each object's pixels in a zone, and their mean distance from it; NaN for few."""
    first = np.zeros(count + 1, np.int64)
    for y in range(zone.shape[0]):
        for x in range(zone.shape[1]):
            if zone[y, x] == wanted:
                first[owner[y, x] + 1] += 1
    first = np.cumsum(first)
    values = np.empty(first[-1], np.float32)
    following = first.copy()
    for y in range(zone.shape[0]):
        for x in range(zone.shape[1]):
            if zone[y, x] == wanted:
                k = owner[y, x]
                values[following[k]] = image[y, x]
                following[k] += 1
    middle, spread = np.full(count, np.nan), np.full(count, np.nan)
    for k in range(1, count):
        own = values[first[k] : first[k + 1]]
        if own.size >= ENOUGH:
            middle[k] = np.median(own)
            spread[k] = np.mean(np.abs(own - middle[k]))
    return middle, spread


@compiled
def _divide(
    image: NDArray[np.float32],
    labels: NDArray[np.int32],
    away: NDArray[np.float32],
    owner: NDArray[np.int32],
    zone: NDArray[np.uint8],
    width: NDArray[np.float64],
    level: NDArray[np.float64],
    step: NDArray[np.float64],
) -> NDArray[np.int32]:
    """Decide the pixels of the bands."""
    out = labels.copy()
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            k = owner[y, x]
            if zone[y, x] != _BAND or np.isnan(step[k]):
                continue
            beyond = _beyond(labels[y, x], away[y, x])
            inside = (image[y, x] - level[k]) / step[k] > MARGIN * beyond / width[k]
            out[y, x] = k if inside else 0
    return out


@compiled
def _tidy(labels: NDArray[np.int32], boxes: NDArray[np.int64]) -> None:
    """Keep the largest piece of every object and fill its holes, in place.

    Parameters
    ----------
    labels : (H, W) int32
    boxes : (N, 4) int64
        Of the objects 1 to N: top, left, bottom, right; may reach beyond the image.
    """
    for k in range(len(boxes)):
        top, left, bottom, right = boxes[k]
        # With a margin, so that all that surrounds the object is connected.
        rows, cols = bottom - top + 2, right - left + 2
        piece = np.zeros((rows, cols), np.int32)
        for y in range(max(0, top), min(labels.shape[0], bottom)):
            for x in range(max(0, left), min(labels.shape[1], right)):
                if labels[y, x] == k + 1:
                    piece[y - top + 1, x - left + 1] = -1
        waiting = np.empty((rows * cols, 2), np.int32)
        if right > left:
            _flood(piece, waiting, 0, 0, 1, True)
        most, largest, pieces = 0, 0, 1
        for y in range(rows):
            for x in range(cols):
                if piece[y, x] == -1:
                    pieces += 1
                    size = _flood(piece, waiting, y, x, pieces, False)
                    if size > most:
                        most, largest = size, pieces
        for y in range(max(0, top), min(labels.shape[0], bottom)):
            for x in range(max(0, left), min(labels.shape[1], right)):
                found = piece[y - top + 1, x - left + 1]
                if found > 1 and found != largest:
                    labels[y, x] = 0
                elif found == 0 and labels[y, x] == 0:
                    labels[y, x] = k + 1


@compiled
def _flood(
    piece: NDArray[np.int32],
    waiting: NDArray[np.int32],
    top: int,
    left: int,
    name: int,
    corners: bool,
) -> int:
    """Give a name to all pixels connected to one, over corners too if asked; count them."""
    rows, cols = piece.shape
    before = piece[top, left]
    waiting[0, 0], waiting[0, 1] = top, left
    piece[top, left] = name
    done, last = 0, 1
    while done < last:
        y, x = waiting[done, 0], waiting[done, 1]
        done += 1
        for dy in range(-1, 2):
            for dx in range(-1, 2):
                v, u = y + dy, x + dx
                if dy != 0 and dx != 0 and not corners:
                    continue
                if 0 <= v < rows and 0 <= u < cols and piece[v, u] == before:
                    piece[v, u] = name
                    waiting[last, 0], waiting[last, 1] = v, u
                    last += 1
    return last
