"""Nuclei by StarDist: a network predicts star-convex outlines, the best of which are kept.

The network runs as one compiled graph on tiles of one fixed size: same masks as
``StarDist2D.predict_instances``, less time and a bounded memory. If the image is resized for the
network, the outlines are scaled back instead of the mask, so that they are smooth at
full resolution.

Schmidt, Weigert, Broaddus and Myers, "Cell detection with star-convex polygons" (2018).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from nucprof.core.normalize import percentile_normalize
from nucprof.core.sharpen import sharpen_outlines
from nucprof.errors import DataError, ModelError
from nucprof.machine import has_tensorflow
from nucprof.segmentation.outlines import fill_outlines
from nucprof.segmentation.stardist_model import (
    FloatImage,
    Network,
    OutOfMemoryError,
    Precision,
    read_config,
    read_thresholds,
)
from nucprof.segmentation.symmetries import average_symmetries
from nucprof.segmentation.tiles import Tiles

log = logging.getLogger(__name__)

Labels = npt.NDArray[np.int32]

#: Side of a tile in network pixels, without its margin, on first try.
TILE_PX = 2048
#: Tiles are never made smaller than this when memory runs out.
MIN_TILE_PX = 128
#: Rows of the output at the image's border where no nucleus is centred, as in StarDist.
BORDER = 2

_LOADED: dict[tuple[Path, str, str], Network] = {}


@dataclass(frozen=True, eq=False)
class Scored:
    """Nuclei of a field with the network's probability of each.

    Attributes
    ----------
    labels : (H, W) int32
        0 = background; gaps where an outline is hidden by others.
    probability : (N,) float32
        Of label ``i`` at ``i - 1``.
    """

    labels: Labels
    probability: FloatImage


class StarDistBackend:
    """Segment nuclei with one StarDist model.

    Parameters
    ----------
    folder
        The model: ``config.json``, ``thresholds.json``, ``weights_best.h5``.
    prob_thresh, nms_thresh
        Object probability and allowed overlap; the model's own where None.
    pmin, pmax
        Percentiles of the image that become 0 and 1.
    scale
        Factor by which the image is resized before the network sees it.
    threads
        CPU threads of the network; the masks do not depend on it.
    precision
        Number format of multiplications on a CPU: float32, or bfloat16, which takes half the time
        if the CPU supports it and moves a few outlines by a pixel.
    augment
        Whether to average the network's output over the eight rotations and mirror images.
    sharpen
        Whether outlines are moved to the nuclei's edges in the image
        (:func:`nucprof.core.sharpen.sharpen_outlines`).
    device
        ``cpu``: TensorFlow if it is installed (it uses a GPU if it finds one), else torch; a torch
        device, e.g. ``cuda`` or ``mps``: torch.

    Raises
    ------
    ModelError
        If the folder contains no model that can be loaded, or one for several channels.
    """

    def __init__(
        self,
        folder: Path,
        *,
        prob_thresh: float | None = None,
        nms_thresh: float | None = None,
        pmin: float = 1.0,
        pmax: float = 99.0,
        scale: float = 1.0,
        threads: int = 1,
        precision: Precision = "float32",
        augment: bool = False,
        sharpen: bool = True,
        device: str = "cpu",
    ) -> None:
        if not scale > 0:
            raise DataError(f"scale must be positive, got {scale}")
        self.network = load_network(
            Path(folder).resolve(), precision=precision, device=device, threads=threads
        )
        self.prob_thresh = self.network.prob_thresh if prob_thresh is None else prob_thresh
        self.nms_thresh = self.network.nms_thresh if nms_thresh is None else nms_thresh
        self.pmin, self.pmax, self.scale = pmin, pmax, scale
        self.threads, self.augment, self.sharpen = threads, augment, sharpen
        self.tile = TILE_PX

    def segment(self, image: npt.NDArray[np.generic]) -> Labels:
        """Segment one plane.

        Parameters
        ----------
        image
            ``(H, W)`` of any real dtype.

        Returns
        -------
        ``(H, W)`` int32, 0 = background, nuclei 1..n; all 0 for a constant image.
        """
        return self.segment_plane(image).labels

    def segment_plane(self, image: npt.NDArray[np.generic]) -> Scored:
        """As :meth:`segment`, with the probability of each nucleus."""
        found = self.segment_scored(percentile_normalize(image, self.pmin, self.pmax))
        if not self.sharpen:
            return found
        return replace(found, labels=sharpen_outlines(image, found.labels))

    def segment_scored(self, unit: FloatImage) -> Scored:
        """Segment a normalised plane ``(H, W)``, or a part of one; outlines are the network's."""
        from threadpoolctl import threadpool_limits

        if unit.size == 0 or not unit.any():
            return Scored(np.zeros(unit.shape, np.int32), np.zeros(0, np.float32))
        with threadpool_limits(limits=self.threads, user_api="openmp"):
            return self.draw(*self.candidates(unit), unit.shape)

    def candidates(
        self, unit: FloatImage
    ) -> tuple[FloatImage, FloatImage, npt.NDArray[np.float64], tuple[float, float]]:
        """Everything in a normalised image that may be a nucleus.

        Returns
        -------
        Probability ``(n,)``; ray lengths ``(n, rays)`` in pixels of the resized image; centre
        ``(n, 2)`` in pixels of the given one; and how many of its pixels one of the resized image
        measures, in y and x.
        """
        small = _resize(unit, self.scale)
        prob, dist, points = self._predict(small)
        back = unit.shape[0] / small.shape[0], unit.shape[1] / small.shape[1]
        # Pixel centres: p of the resized image lies at (p + 0.5) * back - 0.5 of the given one.
        return prob, dist, (points + 0.5) * np.array(back) - 0.5, back

    def _predict(self, image: FloatImage) -> tuple[FloatImage, FloatImage, npt.NDArray[np.int64]]:
        """Candidates of all tiles; smaller tiles when the device runs out of memory."""
        while True:
            try:
                return self._predict_tiles(image)
            except OutOfMemoryError as error:
                if self.tile <= MIN_TILE_PX:
                    raise ModelError(
                        f"out of memory with tiles of {self.tile} px already: free the device, or "
                        'run on the CPU (execution.device = "cpu")'
                    ) from error
                self.tile //= 2
                log.warning("out of memory: continuing with tiles of %d px", self.tile)

    def _predict_tiles(
        self, image: FloatImage
    ) -> tuple[FloatImage, FloatImage, npt.NDArray[np.int64]]:
        """Probability (n,), ray lengths (n, rays) and place (n, 2) of all candidates."""
        net = self.network
        tiles = Tiles(image.shape, self.tile, net.margin, net.divisor)
        fill = [(0, to - n) for n, to in zip(image.shape, tiles.shape, strict=True)]
        padded = np.pad(image, fill, mode="reflect" if min(image.shape) > 1 else "edge")
        # As StarDist does, nothing is centred on the outermost two rows of the output.
        edge = BORDER * net.grid
        last = np.minimum(image.shape, np.array(tiles.shape) - edge)
        probs, dists, points = [], [], []
        for row, col in tiles:
            window = padded[row.start : row.stop, col.start : col.stop]
            if self.augment:
                prob, dist = average_symmetries(net.predict, window, net.grid)
            else:
                prob, dist = net.predict(window)
            part = row.inner(net.grid), col.inner(net.grid)
            peaks = _candidates(prob, self.prob_thresh)
            prob, dist = prob[part], dist[part]
            places = np.argwhere(peaks[part])
            place = places * net.grid + (row.first, col.first)
            valid = np.all((place >= edge) & (place < last), axis=1)
            rows, cols = places[valid].T
            probs.append(prob[rows, cols])
            dists.append(np.maximum(dist[rows, cols], 1e-3))
            points.append(place[valid])
        return np.concatenate(probs), np.concatenate(dists), np.concatenate(points)

    def draw(
        self,
        prob: FloatImage,
        dist: FloatImage,
        centres: npt.NDArray[np.float64],
        back: tuple[float, float],
        shape: tuple[int, ...],
    ) -> Scored:
        """Keep the best of overlapping candidates and draw them into an image of ``shape``.

        The other arguments are what :meth:`candidates` returns.
        """
        from stardist.nms import non_maximum_suppression_sparse

        if len(prob) == 0:
            return Scored(np.zeros(shape, np.int32), np.zeros(0, np.float32))
        places = np.rint((centres + 0.5) / back - 0.5).astype(np.int64)
        _, _, _, kept = non_maximum_suppression_sparse(
            dist, prob, places, nms_thresh=self.nms_thresh
        )
        labels = fill_outlines(dist[kept], centres[kept], prob[kept], shape, back)
        return Scored(labels, np.asarray(prob[kept], dtype=np.float32))


def _candidates(prob: FloatImage, threshold: float) -> npt.NDArray[np.bool_]:
    """Places of a map (h, w) that may become nuclei: local maxima, and a quarter of the others.

    Neighbours have nearly the same outline, so a quarter of them is enough where a local maximum is
    suppressed and a neighbour is not; this saves most of the time of suppression.
    """
    peaks = prob == ndi.maximum_filter(prob, 3)
    peaks[::2, ::2] = True
    return np.asarray(peaks & (prob > threshold))


def _resize(image: FloatImage, scale: float) -> FloatImage:
    """Resize by linear interpolation; smoothed first when it gets smaller."""
    shape = tuple(max(1, round(n * scale)) for n in image.shape)
    if shape == image.shape:
        return image
    factors = np.array(shape) / np.array(image.shape)
    if scale < 1:
        image = ndi.gaussian_filter(image, 0.5 * (1 / scale - 1) + 0.2, truncate=3.0)
    zoomed = ndi.zoom(image, factors, order=1, mode="nearest", grid_mode=True)
    return np.asarray(zoomed, dtype=np.float32)


def load_network(folder: Path, *, precision: Precision, device: str, threads: int) -> Network:
    """Load a model, or return the one that this process has already loaded.

    Parameters
    ----------
    folder
        The model: ``config.json``, ``thresholds.json``, ``weights_best.h5``.
    precision
        Number format of multiplications on the CPU; weights and results are float32.
    device
        ``cpu``: TensorFlow if it is installed (it uses a GPU if it finds one); else torch.
    threads
        CPU threads.
    """
    key = (folder, precision, device)
    if key not in _LOADED:
        config = read_config(folder)
        if device == "cpu" and has_tensorflow():
            from nucprof.segmentation.stardist_tensorflow import load_predict as in_tensorflow

            predict = in_tensorflow(folder, precision, threads)
        else:
            from nucprof.segmentation.stardist_torch import load_predict as in_torch

            predict = in_torch(folder, config, device, threads)
        prob, nms = read_thresholds(folder)
        _LOADED[key] = Network(predict, config.grid, config.divisor, config.reach, prob, nms)
    elif device == "cpu" and has_tensorflow():
        from nucprof.segmentation.stardist_tensorflow import check_threads

        check_threads(threads)
    return _LOADED[key]
